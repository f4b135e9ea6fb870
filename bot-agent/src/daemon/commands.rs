//! Requests over the control socket, each carried out at once and as a whole.

use std::time::Duration;

use super::{Daemon, Wish, interfaces::failure, rules::failed, timing::Timing};
use crate::{
    control::{
        protocol::{Failure, FailureCode, Logs, Mode, Request, Response, Version, XdpMode},
        server::{Answer, Call, Peer},
    },
    event::{Body, Bypass, ModeChange},
    host,
    policy::Only,
    rules::rule::RuleAction,
    store::Change,
};

/// Past events shown when nobody says how many or since when.
const LAST_EVENTS: usize = 100;

impl Daemon {
    pub(super) fn call(&mut self, call: Call) {
        let Call {
            request,
            peer,
            read,
            reply,
        } = call;
        let timing = Timing::since(read);
        self.adopt_mode();
        if let Request::Feeds(asked) = request {
            return self.feeds_call(asked, reply);
        }
        let answer = self
            .answer(request, peer, timing)
            .unwrap_or_else(|failure| Answer::Lines(vec![Response::Error(failure)]));
        // A client that has gone does not want its answer any more.
        drop(reply.send(answer));
    }

    fn answer(&mut self, request: Request, peer: Peer, timing: Timing) -> Result<Answer, Failure> {
        let line = match request {
            Request::List(list) => return self.list(&list).map(Answer::Lines),
            Request::Logs(logs) => return Ok(self.logs(logs)),
            // Answered by themselves, some of them later.
            Request::Feeds(_) => return Ok(Answer::Lines(Vec::new())),
            Request::Allow(put) => self.put(RuleAction::Allow, &put, timing),
            Request::Block(put) => self.put(RuleAction::Block, &put, timing),
            Request::Import(import) => self.import(import, timing),
            Request::Unallow(take) => self.take(RuleAction::Allow, &take, timing),
            Request::Unblock(take) => self.take(RuleAction::Block, &take, timing),
            Request::Asn { of } => self.asn(&of),
            Request::Check { address } => self.check(address),
            Request::Status {} => self.status(),
            Request::Mode {
                set,
                confirm_within_seconds,
            } => self.set_mode(set, confirm_within_seconds, peer),
            Request::Confirm { same_session } => self.confirm(peer, same_session),
            Request::Bypass { reason, seconds } => self.bypass(&reason, seconds, peer),
            Request::Resume {} => self.resume(peer),
            Request::Only {
                ports,
                from,
                monitor,
            } => self.only(&Only {
                ports,
                from,
                monitor,
            }),
            Request::OnlyList {} => self.onlys().map(Response::Onlys),
            Request::OnlyRemove { ports } => self.only_remove(&ports),
            Request::Reload {} => self.reload().map(|message| Response::Ok { message }),
            Request::Attach {
                iface,
                xdp,
                replace,
            } => self.attach(&iface, xdp, replace),
            Request::Detach { iface } => self.detach(iface.as_deref()),
            Request::Version {} => Ok(Response::Version(Version::ours())),
        }?;
        Ok(Answer::Lines(vec![line]))
    }

    fn set_mode(
        &mut self,
        set: Option<Mode>,
        within: Option<u64>,
        peer: Peer,
    ) -> Result<Response, Failure> {
        let now = host::now();
        match (set, within.map(Duration::from_secs)) {
            (None, None) => return Ok(Response::Mode(self.mode.view(now))),
            (None | Some(Mode::Monitor), Some(_)) => {
                return Err(Failure::new(
                    FailureCode::Invalid,
                    "only `enforce` can wait for a confirmation",
                ));
            }
            (Some(Mode::Monitor), None) => self.stand(Mode::Monitor)?,
            (Some(Mode::Enforce), None) => self.stand(Mode::Enforce)?,
            (Some(Mode::Enforce), Some(within)) => {
                let before = self.mode.clone();
                self.mode.enforce_within(within, peer, now)?;
                self.written_or(before)?;
            }
        }
        self.tell_mode(&format!("set by uid {}", peer.uid));
        Ok(Response::Mode(self.mode.view(now)))
    }

    fn confirm(&mut self, peer: Peer, same_session: bool) -> Result<Response, Failure> {
        let now = host::now();
        self.mode.clone().confirm(peer, same_session, now)?;
        self.stand(Mode::Enforce)?;
        self.tell_mode(&format!("confirmed by uid {}", peer.uid));
        Ok(Response::Mode(self.mode.view(now)))
    }

    /// A mode for good. Enforcing is stored first; monitor comes into force first, because a
    /// rescue must not depend on the disk.
    fn stand(&mut self, mode: Mode) -> Result<(), Failure> {
        let before = self.mode.clone();
        let changes = [Change::Mode(mode)];
        match mode {
            Mode::Enforce => {
                let stored = self.filter.store.commit(&changes);
                stored.map_err(|error| failed(format!("the mode was not changed: {error}")))?;
                self.mode.enforce();
                let undo = [Change::Mode(before.base())];
                self.written_or(before).inspect_err(|_| {
                    if let Err(error) = self.filter.store.commit(&undo) {
                        tracing::warn!("the stored mode could not be taken back: {error}");
                    }
                })
            }
            Mode::Monitor => {
                self.mode.monitor();
                self.written_or(before)?;
                self.filter.store.commit(&changes).map_err(|error| {
                    failed(format!(
                        "monitor is in force, but is not stored and will not survive a restart: {error}"
                    ))
                })
            }
        }
    }

    pub(super) fn tell_mode(&mut self, reason: &str) {
        let view = self.mode.view(host::now());
        self.emit(Body::Mode(ModeChange {
            mode: view.mode.to_string(),
            until: view.until,
            reason: reason.to_owned(),
        }));
    }

    fn bypass(
        &mut self,
        reason: &str,
        seconds: Option<u64>,
        peer: Peer,
    ) -> Result<Response, Failure> {
        if reason.trim().is_empty() {
            return Err(Failure::new(
                FailureCode::Invalid,
                "say why: a bypass needs a reason",
            ));
        }
        let now = host::now();
        let before = self.mode.clone();
        self.mode
            .start_bypass(seconds.map(Duration::from_secs), reason.to_owned(), now)?;
        self.written_or(before)?;
        let view = self.mode.view(now);
        self.emit(Body::Bypass(Bypass {
            active: true,
            until: view.bypass.as_ref().and_then(|bypass| bypass.until),
            reason: format!("{reason} (uid {})", peer.uid),
        }));
        self.store_bypass("everything passes")?;
        Ok(Response::Mode(view))
    }

    fn resume(&mut self, peer: Peer) -> Result<Response, Failure> {
        let now = host::now();
        let before = self.mode.clone();
        let Some(bypass) = self.mode.resume() else {
            return Ok(Response::Mode(self.mode.view(now)));
        };
        self.written_or(before)?;
        self.emit(Body::Bypass(Bypass {
            active: false,
            until: None,
            reason: format!("ended by uid {} ({})", peer.uid, bypass.reason),
        }));
        self.store_bypass("filtering again")?;
        Ok(Response::Mode(self.mode.view(now)))
    }

    fn store_bypass(&mut self, done: &str) -> Result<(), Failure> {
        let change = Change::Bypass(self.mode.bypass().cloned());
        self.filter.store.commit(&[change]).map_err(|error| {
            failed(format!(
                "{done}, but that is not stored and will not survive a reboot: {error}"
            ))
        })
    }

    /// Writes the mode to the kernel; if it refuses, the mode is what it was before.
    fn written_or(&mut self, before: super::ModeState) -> Result<(), Failure> {
        self.write_settings().inspect_err(|_| self.mode = before)
    }

    pub(super) fn write_settings(&mut self) -> Result<(), Failure> {
        let (enforce_until, bypass_until) = self.mode.words(host::now());
        let datapath = &mut self.filter.enforcer.datapath;
        let settings = super::wishes::settings(&self.config, enforce_until, bypass_until);
        datapath
            .set_settings(&settings)
            .map_err(|error| failed(format!("the kernel refused: {error}")))?;
        self.written = Some((enforce_until, bypass_until));
        Ok(())
    }

    fn attach(&mut self, iface: &str, xdp: XdpMode, replace: bool) -> Result<Response, Failure> {
        let wish = Wish { xdp, replace };
        let events = self
            .interfaces
            .add(&mut self.filter.enforcer.datapath, iface, wish)
            .map_err(|error| failure(&error))?;
        self.emit_all(events);
        Ok(Response::Attached(self.interfaces.view()))
    }

    fn detach(&mut self, iface: Option<&str>) -> Result<Response, Failure> {
        let datapath = &mut self.filter.enforcer.datapath;
        let events = if let Some(name) = iface {
            let event = self.interfaces.remove(datapath, name, "asked for");
            let event = event.map_err(|error| failure(&error))?.ok_or_else(|| {
                Failure::new(
                    FailureCode::Invalid,
                    format!("{name} is not filtered (`bot-agent status` lists what is)"),
                )
            })?;
            vec![event]
        } else {
            let events = self.interfaces.remove_all(datapath);
            events.map_err(|error| failure(&error))?
        };
        self.emit_all(events);
        Ok(Response::Attached(self.interfaces.view()))
    }

    fn logs(&self, logs: Logs) -> Answer {
        let since = logs.since_seconds.and_then(|seconds| {
            let wall = host::now().wall;
            wall.checked_sub(Duration::from_secs(seconds)).ok()
        });
        let unasked = match (since, logs.follow) {
            (Some(_), _) => usize::MAX,
            (None, true) => 10,
            (None, false) => LAST_EVENTS,
        };
        let limit = logs.limit.unwrap_or(unasked);
        // Follow before looking back: nothing falls between.
        let live = logs.follow.then(|| self.sink.follow());
        let past = self.sink.recent().select(&logs.filter, since, limit);
        let mut past: Vec<Response> = past
            .into_iter()
            .map(|event| Response::Event(Box::new(event)))
            .collect();
        let Some(live) = live else {
            past.push(Response::end(past.len()));
            return Answer::Lines(past);
        };
        Answer::Follow {
            past,
            live,
            filter: logs.filter,
        }
    }
}
