//! Mode and bypass: what is asked for, what the kernel's deadline words say, what survives.
//!
//! Pure. An enforce that waits for its confirmation is never stored: the kernel's deadline is all
//! there is of it, so that a crash, a restart or a reboot falls back too.

use std::time::Duration;

use bot_common::abi::settings::{FOREVER, Settings};

use crate::{
    control::{
        protocol::{Failure, FailureCode, Mode},
        server::Peer,
        view::{BypassView, ModeView, whole_seconds},
    },
    rules::time::{Deadline, Now},
    store::Bypass,
};

/// The reason of what was set while the agent did not answer.
pub(super) const WITHOUT_AGENT: &str = "set without the agent";

/// The mode that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ModeState {
    base: Mode,
    pending: Option<Pending>,
    bypass: Option<Bypass>,
}

/// An enforce that waits for its confirmation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pending {
    deadline: Deadline,
    /// Who set it; nobody when it was found in the kernel after a restart.
    by: Option<Peer>,
}

/// What came to its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The confirmation did not come in time: monitor again.
    Enforce,
    /// The bypass is over.
    Bypass(Bypass),
}

impl ModeState {
    /// The stored state, and what the kernel still says of an earlier agent.
    ///
    /// A deadline found in the kernel stays; so does a bypass that was set while no agent ran.
    pub fn restore(
        base: Mode,
        stored: Option<Bypass>,
        kernel: Option<&Settings>,
        now: Now,
    ) -> Self {
        let mut state = Self {
            base,
            pending: None,
            bypass: stored.filter(|bypass| is_live(bypass, now)),
        };
        let Some(kernel) = kernel else {
            return state;
        };
        if base == Mode::Monitor
            && kernel.enforce_until != FOREVER
            && let Some(deadline) = from_kernel(kernel.enforce_until, now)
        {
            state.pending = Some(Pending { deadline, by: None });
        }
        state.bypass = match (kernel.bypass_until, state.bypass) {
            // Ended in the kernel, by `resume` without an agent or by its deadline.
            (until, _) if until <= now.boot_ns => None,
            (_, Some(stored)) => Some(stored),
            (until, None) => Some(Bypass {
                until: from_kernel(until, now),
                reason: "set while no agent ran".into(),
            }),
        };
        state
    }

    /// The two words for the kernel.
    pub fn words(&self, now: Now) -> (u64, u64) {
        let enforce = match (self.base, self.pending) {
            (Mode::Enforce, _) => FOREVER,
            (Mode::Monitor, Some(pending)) => pending.deadline.on_boot_clock(now),
            (Mode::Monitor, None) => 0,
        };
        let bypass = match &self.bypass {
            Some(Bypass { until: None, .. }) => FOREVER,
            Some(Bypass {
                until: Some(until), ..
            }) => until.on_boot_clock(now),
            None => 0,
        };
        (enforce, bypass)
    }

    /// The mode to store.
    pub fn base(&self) -> Mode {
        self.base
    }

    /// The bypass to store.
    pub fn bypass(&self) -> Option<&Bypass> {
        self.bypass.as_ref()
    }

    /// Monitor from now on.
    pub fn monitor(&mut self) {
        self.base = Mode::Monitor;
        self.pending = None;
    }

    /// Enforce from now on, for good.
    pub fn enforce(&mut self) {
        self.base = Mode::Enforce;
        self.pending = None;
    }

    /// Enforce until `within` is over or the confirmation comes.
    pub fn enforce_within(&mut self, within: Duration, by: Peer, now: Now) -> Result<(), Failure> {
        if self.base == Mode::Enforce {
            return Err(refused(
                "enforce is in force already and confirmed; to try again: `bot-agent mode monitor` first",
            ));
        }
        if within.is_zero() {
            return Err(invalid("no time at all is given to confirm"));
        }
        let deadline =
            Deadline::after(now, within).ok_or_else(|| invalid("no clock can hold that time"))?;
        self.pending = Some(Pending {
            deadline,
            by: Some(by),
        });
        Ok(())
    }

    /// Keeps enforcing: `by` proves that a new login still works.
    pub fn confirm(&mut self, by: Peer, same_session: bool, now: Now) -> Result<(), Failure> {
        let Some(pending) = self.pending.filter(|pending| !pending.deadline.passed(now)) else {
            return Err(refused("nothing waits for a confirmation"));
        };
        if let Some(setter) = pending.by {
            if setter.connection == by.connection {
                return Err(refused(
                    "the confirmation must come over a new connection: that one can be made is what it proves",
                ));
            }
            // Two unknown sessions prove nothing; a known one is never an unknown one.
            if setter.session == by.session && !same_session {
                return Err(refused(if by.session.is_some() {
                    "the confirmation must come from another login session than the one that set the mode: \
                     log in anew and run `bot-agent confirm` there (scripts: --same-session)"
                } else {
                    "the confirmation must come from another login session than the one that set the mode, \
                     and the agent can see neither (another PID namespace): log in anew, and if that \
                     works, run `bot-agent confirm --same-session` there"
                }));
            }
        }
        self.enforce();
        Ok(())
    }

    /// Everything passes from now on.
    pub fn start_bypass(
        &mut self,
        limit: Option<Duration>,
        reason: String,
        now: Now,
    ) -> Result<(), Failure> {
        let until = match limit {
            Some(limit) if limit.is_zero() => {
                return Err(invalid("a bypass of no time at all"));
            }
            Some(limit) => Some(
                Deadline::after(now, limit)
                    .ok_or_else(|| invalid("no clock can hold that time"))?,
            ),
            None => None,
        };
        self.bypass = Some(Bypass { until, reason });
        Ok(())
    }

    /// Filters again.
    pub fn resume(&mut self) -> Option<Bypass> {
        self.bypass.take()
    }

    /// Takes over words that somebody wrote into the kernel since the agent wrote `written`: a
    /// rescue that did not wait for it. Tells whether the mode and the bypass are others now.
    pub fn adopt(&mut self, written: (u64, u64), kernel: (u64, u64), now: Now) -> (bool, bool) {
        let others = (written.0 != kernel.0, written.1 != kernel.1);
        if others.0 {
            match kernel.0 {
                FOREVER => self.enforce(),
                word => {
                    self.monitor();
                    let pending = |deadline| Pending { deadline, by: None };
                    self.pending = from_kernel(word, now).map(pending);
                }
            }
        }
        if others.1 {
            self.bypass = (kernel.1 > now.boot_ns).then(|| Bypass {
                until: from_kernel(kernel.1, now),
                reason: WITHOUT_AGENT.into(),
            });
        }
        others
    }

    /// What has ended by `now`.
    pub fn expire(&mut self, now: Now) -> Vec<Ended> {
        let mut ended = Vec::new();
        let over = |pending: &mut Pending| pending.deadline.passed(now);
        if self.pending.take_if(over).is_some() {
            ended.push(Ended::Enforce);
        }
        let bypass = self.bypass.take_if(|bypass| !is_live(bypass, now));
        ended.extend(bypass.map(Ended::Bypass));
        ended
    }

    /// For people.
    pub fn view(&self, now: Now) -> ModeView {
        let pending = self
            .pending
            .filter(|pending| !pending.deadline.passed(now))
            .map(|pending| pending.deadline);
        let mode = match (self.base, pending) {
            (Mode::Monitor, None) => Mode::Monitor,
            (Mode::Enforce, _) | (_, Some(_)) => Mode::Enforce,
        };
        ModeView {
            mode,
            until: pending.map(|deadline| whole_seconds(deadline.wall)),
            remaining_seconds: pending.map(|deadline| deadline.remaining(now).as_secs()),
            bypass: self
                .bypass
                .as_ref()
                .filter(|bypass| is_live(bypass, now))
                .map(|bypass| BypassView {
                    until: bypass.until.map(|deadline| whole_seconds(deadline.wall)),
                    remaining_seconds: bypass
                        .until
                        .map(|deadline| deadline.remaining(now).as_secs()),
                    reason: Some(bypass.reason.clone()),
                }),
        }
    }
}

fn is_live(bypass: &Bypass, now: Now) -> bool {
    bypass.until.is_none_or(|until| !until.passed(now))
}

/// What the kernel's words say, when there is no agent to ask.
pub fn view_of_settings(settings: &Settings, now: Now) -> ModeView {
    let base = if settings.enforce_until == FOREVER {
        Mode::Enforce
    } else {
        Mode::Monitor
    };
    let mut view = ModeState::restore(base, None, Some(settings), now).view(now);
    if let Some(bypass) = &mut view.bypass {
        bypass.reason = None;
    }
    view
}

/// A deadline word as a deadline; `None` for [`FOREVER`] and for what has passed.
fn from_kernel(word: u64, now: Now) -> Option<Deadline> {
    if word == FOREVER {
        return None;
    }
    let left = word.checked_sub(now.boot_ns).filter(|left| *left > 0)?;
    Deadline::after(now, Duration::from_nanos(left))
}

fn refused(message: &str) -> Failure {
    Failure::new(FailureCode::Refused, message)
}

fn invalid(message: &str) -> Failure {
    Failure::new(FailureCode::Invalid, message)
}

#[cfg(test)]
mod tests {
    use rustix::process::Pid;

    use super::*;
    use crate::rules::time::BootId;

    const MINUTE: Duration = Duration::from_mins(1);

    fn now(seconds: u64) -> Now {
        Now {
            wall: jiff::Timestamp::from_second(1_000_000 + i64::try_from(seconds).unwrap())
                .unwrap(),
            boot_ns: (1 + seconds) * 1_000_000_000,
            boot: BootId(1),
        }
    }

    fn peer(connection: u64, session: i32) -> Peer {
        Peer {
            connection,
            uid: 0,
            session: Pid::from_raw(session),
        }
    }

    fn fresh() -> ModeState {
        ModeState::restore(Mode::Monitor, None, None, now(0))
    }

    #[test]
    fn an_unconfirmed_enforce_is_a_deadline_and_nothing_to_store() {
        let mut state = fresh();
        state.enforce_within(MINUTE, peer(1, 10), now(0)).unwrap();
        assert_eq!(state.words(now(0)), (61_000_000_000, 0));
        assert_eq!(state.base(), Mode::Monitor);
        assert_eq!(state.view(now(10)).remaining_seconds, Some(50));
        assert!(state.view(now(10)).enforces());
        assert_eq!(state.expire(now(59)), []);
        assert_eq!(state.expire(now(60)), [Ended::Enforce]);
        assert_eq!(state.words(now(60)), (0, 0));
    }

    #[test]
    fn only_a_new_session_confirms() {
        let mut state = fresh();
        assert!(state.confirm(peer(2, 11), false, now(0)).is_err());
        state.enforce_within(MINUTE, peer(1, 10), now(0)).unwrap();
        assert!(state.confirm(peer(1, 10), true, now(1)).is_err());
        assert!(state.confirm(peer(2, 10), false, now(1)).is_err());
        assert!(state.confirm(peer(2, 11), false, now(61)).is_err());
        assert_eq!(state.base(), Mode::Monitor);
        state.confirm(peer(2, 11), false, now(1)).unwrap();
        assert_eq!(state.base(), Mode::Enforce);
        assert_eq!(state.words(now(100)), (FOREVER, 0));
    }

    #[test]
    fn sessions_that_cannot_be_seen_prove_nothing() {
        let mut state = fresh();
        state.enforce_within(MINUTE, peer(1, 0), now(0)).unwrap();
        assert!(state.confirm(peer(2, 0), false, now(1)).is_err());
        state.clone().confirm(peer(2, 0), true, now(1)).unwrap();
        state.confirm(peer(2, 11), false, now(1)).unwrap();
    }

    #[test]
    fn a_script_may_confirm_from_its_own_session() {
        let mut state = fresh();
        state.enforce_within(MINUTE, peer(1, 10), now(0)).unwrap();
        state.confirm(peer(2, 10), true, now(1)).unwrap();
        assert_eq!(state.base(), Mode::Enforce);
    }

    #[test]
    fn a_restart_keeps_the_deadline_that_the_kernel_holds() {
        let mut before = fresh();
        before.enforce_within(MINUTE, peer(1, 10), now(0)).unwrap();
        let kernel = Settings {
            enforce_until: before.words(now(0)).0,
            ..Settings::default()
        };
        let mut after = ModeState::restore(Mode::Monitor, None, Some(&kernel), now(30));
        assert_eq!(after.words(now(30)).0, kernel.enforce_until);
        after.confirm(peer(1, 10), false, now(31)).unwrap();
        let late = ModeState::restore(Mode::Monitor, None, Some(&kernel), now(61));
        assert_eq!(late.words(now(61)), (0, 0));
    }

    #[test]
    fn bypass_stands_above_the_mode_and_ends_by_itself() {
        let mut state = fresh();
        state.enforce();
        state
            .start_bypass(Some(MINUTE), "looks wrong".into(), now(0))
            .unwrap();
        assert!(!state.view(now(1)).enforces());
        assert_eq!(state.words(now(1)), (FOREVER, 61_000_000_000));
        assert!(matches!(&state.expire(now(60))[..], [Ended::Bypass(_)]));
        assert!(state.view(now(60)).enforces());
    }

    #[test]
    fn bypass_and_resume_without_an_agent_are_found() {
        let kernel = Settings {
            bypass_until: FOREVER,
            ..Settings::default()
        };
        let state = ModeState::restore(Mode::Enforce, None, Some(&kernel), now(0));
        assert_eq!(state.words(now(0)), (FOREVER, FOREVER));
        let stored = state.bypass().cloned();
        let resumed = Settings::default();
        let state = ModeState::restore(Mode::Enforce, stored, Some(&resumed), now(0));
        assert_eq!(state.words(now(0)), (FOREVER, 0));
    }

    #[test]
    fn a_stored_bypass_survives_a_reboot() {
        let stored = Bypass {
            until: None,
            reason: "why".into(),
        };
        let state = ModeState::restore(Mode::Enforce, Some(stored), None, now(0));
        assert_eq!(state.words(now(0)), (FOREVER, FOREVER));
    }

    #[test]
    fn what_was_set_behind_its_back_is_taken_over() {
        let mut state = fresh();
        state.enforce();
        let written = state.words(now(0));
        assert_eq!(state.adopt(written, written, now(1)), (false, false));
        let rescued = (written.0, FOREVER);
        assert_eq!(state.adopt(written, rescued, now(1)), (false, true));
        assert_eq!(state.words(now(1)), rescued);
        assert_eq!(state.bypass().unwrap().reason, WITHOUT_AGENT);
        assert_eq!(state.adopt(rescued, (0, 0), now(2)), (true, true));
        assert_eq!((state.base(), state.bypass()), (Mode::Monitor, None));
        let minute = (61_000_000_000, 62_000_000_000);
        assert_eq!(state.adopt((0, 0), minute, now(0)), (true, true));
        assert_eq!(state.words(now(0)), minute);
    }

    #[test]
    fn settings_alone_say_the_mode() {
        let settings = Settings {
            enforce_until: FOREVER,
            bypass_until: 0,
            ..Settings::default()
        };
        assert!(view_of_settings(&settings, now(0)).enforces());
        assert!(!view_of_settings(&Settings::default(), now(0)).enforces());
    }
}
