//! Interfaces: which are wanted, which are filtered, and what to do when one comes back.

use std::collections::BTreeMap;

use super::observe::Names;
use crate::{
    control::{
        protocol::{Failure, FailureCode, XdpMode},
        view::Interface,
    },
    datapath::{AttachError, Attachment, Datapath, EntryPoint, XdpRequest},
    event::{Attach, Body, Detach},
    host::interface::{self, XdpMode as Mode},
};

/// How an interface shall be filtered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wish {
    /// Where.
    pub xdp: XdpMode,
    /// Also in the place of a program that is not ours.
    pub replace: bool,
}

/// What is wanted and what is.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    wanted: BTreeMap<String, Wish>,
    attached: BTreeMap<String, Attachment>,
    /// Wanted names whose device has another name now, and that name.
    moved: BTreeMap<String, String>,
    /// Those that no earlier agent had attached to.
    fresh: Vec<String>,
    /// Why a wanted interface is not filtered; told once, not each time it is tried.
    failed: BTreeMap<String, String>,
}

impl Interfaces {
    /// Names by index, for events.
    pub(super) fn names(&self) -> Names {
        let attached = self.attached.values();
        attached
            .map(|attachment| (attachment.ifindex, attachment.iface.clone()))
            .collect()
    }

    /// Wants nothing any more, and detaches from everything, whoever attached it.
    pub(super) fn remove_all(&mut self, datapath: &mut Datapath) -> Result<Vec<Body>, AttachError> {
        let mut names = datapath.detach_every()?;
        names.extend(std::mem::take(self).wanted.into_keys());
        names.sort_unstable();
        names.dedup();
        Ok(names
            .into_iter()
            .map(|iface| {
                Body::Detach(Detach {
                    iface,
                    reason: "asked for".into(),
                })
            })
            .collect())
    }

    /// Wanted interfaces.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &str> {
        self.wanted.keys().map(String::as_str)
    }

    /// Wants an interface, and attaches to it. It stays wanted only if that worked.
    pub(super) fn add(
        &mut self,
        datapath: &mut Datapath,
        iface: &str,
        wish: Wish,
    ) -> Result<Vec<Body>, AttachError> {
        let body = self.attach(datapath, iface, wish)?;
        self.wanted.insert(iface.to_owned(), wish);
        Ok(body)
    }

    /// Detaches from what was attached anew; adopted links stay, and filter on.
    pub(super) fn undo(&mut self, datapath: &mut Datapath) -> Vec<Body> {
        let fresh = std::mem::take(&mut self.fresh);
        let mut events = Vec::new();
        for iface in fresh {
            match self.remove(datapath, &iface, "the agent could not start") {
                Ok(event) => events.extend(event),
                Err(error) => events.push(Body::error(error.to_string())),
            }
        }
        events
    }

    /// Wants an interface that may come later.
    pub(super) fn want(&mut self, iface: &str, wish: Wish) {
        self.wanted.insert(iface.to_owned(), wish);
    }

    /// Does not want an interface any more, and detaches from it. `None`: it was not wanted.
    pub(super) fn remove(
        &mut self,
        datapath: &mut Datapath,
        iface: &str,
        reason: &str,
    ) -> Result<Option<Body>, AttachError> {
        let wanted = self.wanted.remove(iface).is_some();
        self.failed.remove(iface);
        self.attached.remove(iface);
        self.moved
            .retain(|before, now| before != iface && now != iface);
        self.fresh.retain(|fresh| fresh != iface);
        let detached = datapath.detach(iface)?;
        Ok((wanted || detached).then(|| {
            Body::Detach(Detach {
                iface: iface.to_owned(),
                reason: reason.to_owned(),
            })
        }))
    }

    /// After a change of the host's links: forgets what is gone, attaches to what is back.
    pub(super) fn look_again(&mut self, datapath: &mut Datapath) -> Vec<Body> {
        let mut events = Vec::new();
        let present = match interface::list() {
            Ok(present) => present,
            Err(error) => {
                return vec![Body::error(format!("cannot list interfaces: {error}"))];
            }
        };
        for (iface, attachment) in std::mem::take(&mut self.attached) {
            // A device that was made anew with an old one's index has no program.
            let found = present
                .iter()
                .find(|found| found.index == attachment.ifindex && found.xdp.is_some());
            match found {
                Some(found) if found.name == iface => {
                    self.attached.insert(iface, attachment);
                }
                Some(found) => {
                    events.push(self.renamed(&iface, &found.name, attachment));
                }
                None => events.push(Body::Detach(Detach {
                    iface,
                    reason: "the device is gone".into(),
                })),
            }
        }
        let is_present = |iface: &str| present.iter().any(|found| found.name == iface);
        let missing: Vec<(String, Wish)> = self
            .wanted
            .iter()
            .filter(|(iface, _)| !self.attached.contains_key(*iface) && is_present(iface))
            .map(|(iface, wish)| (iface.clone(), *wish))
            .collect();
        for (iface, wish) in missing {
            match self.attach(datapath, &iface, wish) {
                Ok(bodies) => events.extend(bodies),
                Err(error) => {
                    let message = error.to_string();
                    if self.failed.get(&iface) != Some(&message) {
                        events.push(Body::error(message.clone()));
                        self.failed.insert(iface, message);
                    }
                }
            }
        }
        events
    }

    /// The link stays on a device that gets another name. A new device of the old name is wanted
    /// as before.
    fn renamed(&mut self, before: &str, now: &str, mut attachment: Attachment) -> Body {
        let wish = self.wanted.get(before).copied().unwrap_or_default();
        let first = self.moved.iter().find(|(_, name)| *name == before);
        let first = first.map(|(first, _)| first.clone());
        if first.is_some() {
            // The name in between was wanted for this device only.
            self.wanted.remove(before);
        }
        let first = first.unwrap_or_else(|| before.to_owned());
        if first == now {
            self.moved.remove(now);
        } else {
            self.moved.insert(first, now.to_owned());
        }
        self.wanted.insert(now.to_owned(), wish);
        now.clone_into(&mut attachment.iface);
        self.attached.insert(now.to_owned(), attachment);
        Body::error(format!(
            "{before} is called {now} now and is filtered on; name it so in `interfaces`"
        ))
    }

    /// For people. A wanted name whose device is filtered under another name is not missing.
    pub(super) fn view(&self) -> Vec<Interface> {
        let attached = self.attached.values().map(view_of);
        let missing = self
            .wanted
            .keys()
            .filter(|iface| !self.attached.contains_key(*iface))
            .filter(|iface| {
                let now = self.moved.get(*iface);
                now.is_none_or(|now| !self.attached.contains_key(now))
            })
            .map(|iface| Interface {
                iface: iface.clone(),
                ifindex: interface::by_name(iface)
                    .ok()
                    .flatten()
                    .map(|interface| interface.index),
                xdp: None,
                program: None,
            });
        attached.chain(missing).collect()
    }

    fn attach(
        &mut self,
        datapath: &mut Datapath,
        iface: &str,
        wish: Wish,
    ) -> Result<Vec<Body>, AttachError> {
        let request = match wish.xdp {
            XdpMode::Auto => XdpRequest::Auto,
            XdpMode::Native => XdpRequest::Native,
            XdpMode::Generic => XdpRequest::Generic,
        };
        let attached = datapath.attach(iface, request, wish.replace)?;
        let view = view_of(&attached.attachment);
        let mut events = vec![Body::Attach(Attach {
            iface: iface.to_owned(),
            ifindex: attached.attachment.ifindex,
            mode: view.xdp.unwrap_or_default(),
            program: view.program.unwrap_or_default(),
            adopted: attached.adopted,
        })];
        if let Some(why) = attached.native_refused {
            events.push(Body::error(format!(
                "{iface} is filtered behind the driver (generic XDP: slower, after the copy into an skb), \
                 because the driver refused: {why}"
            )));
        }
        if attached.adopted {
            let kept = attached.attachment.mode;
            events.extend(other_mode(iface, request, kept).map(Body::error));
        }
        // A new device of the old name: both are there now.
        self.moved.remove(iface);
        if !attached.adopted {
            self.fresh.push(iface.to_owned());
        }
        self.failed.remove(iface);
        self.attached.insert(iface.to_owned(), attached.attachment);
        Ok(events)
    }
}

/// What to tell people when the link taken over does not run where it was asked for: its mode
/// cannot be changed in place.
fn other_mode(iface: &str, request: XdpRequest, kept: Option<Mode>) -> Option<String> {
    let asked = match request {
        XdpRequest::Auto => return None,
        XdpRequest::Native => Mode::Native,
        XdpRequest::Generic => Mode::Generic,
    };
    let kept = kept.filter(|kept| *kept != asked)?;
    Some(format!(
        "{iface} is filtered in {kept} mode by the link taken over; {asked} needs \
         `bot-agent detach {iface}` and `bot-agent attach {iface} --xdp {asked}` \
         (a short gap without the filter)"
    ))
}

/// An attachment for people.
pub(super) fn view_of(attachment: &Attachment) -> Interface {
    let elsewhere = attachment.iface.is_empty();
    Interface {
        iface: if elsewhere {
            format!("#{}", attachment.ifindex)
        } else {
            attachment.iface.clone()
        },
        ifindex: Some(attachment.ifindex),
        xdp: attachment
            .mode
            .map(|mode| mode.to_string())
            .or_else(|| elsewhere.then(|| "in another network namespace".to_owned())),
        program: attachment.program.map(|program| {
            match program {
                EntryPoint::Frags => "frags",
                EntryPoint::Plain => "plain",
            }
            .to_owned()
        }),
    }
}

/// A refusal to attach, for the control socket.
pub(super) fn failure(error: &AttachError) -> Failure {
    let code = match error {
        AttachError::Foreign { .. } | AttachError::ForeignLink { .. } => {
            FailureCode::ForeignProgram
        }
        AttachError::NoSuchInterface(_) => FailureCode::Invalid,
        AttachError::Folder(_)
        | AttachError::Link { .. }
        | AttachError::Netlink(_)
        | AttachError::Pin { .. }
        | AttachError::Refused { .. } => FailureCode::Failed,
    };
    Failure::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_taken_over_in_another_mode_than_asked_for_is_told() {
        let told = other_mode("veth0", XdpRequest::Generic, Some(Mode::Native)).unwrap();
        assert_eq!(
            told,
            "veth0 is filtered in native mode by the link taken over; generic needs \
             `bot-agent detach veth0` and `bot-agent attach veth0 --xdp generic` \
             (a short gap without the filter)"
        );
        assert!(other_mode("veth0", XdpRequest::Native, Some(Mode::Generic)).is_some());
    }

    #[test]
    fn a_link_taken_over_as_asked_for_is_not_worth_a_word() {
        for (request, kept) in [
            (XdpRequest::Auto, Some(Mode::Generic)),
            (XdpRequest::Auto, Some(Mode::Native)),
            (XdpRequest::Generic, Some(Mode::Generic)),
            (XdpRequest::Native, Some(Mode::Native)),
            (XdpRequest::Native, None),
        ] {
            assert_eq!(other_mode("veth0", request, kept), None);
        }
    }
}
