//! The live side: streams that should begin with a ClientHello.
//!
//! A flow lives from its first segment until its hello is complete, can never be one, or its time
//! is over; then it is remembered as done until that time, so that what still arrives of it (the
//! kernel copies by position, not by meaning) opens no new flow. Every flow gives exactly one
//! [`Outcome`]. Flows and bytes are capped: at the cap the oldest flow gives way.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use bot_common::abi::{
    flow::{FLOW_LIFETIME_NS, FLOW_SEGMENTS},
    record::{HelloSegment, SEGMENTS_PER_PACKET},
};
use thiserror::Error;

use super::{
    FlowKey, Full, Reassembly,
    record::{self, MAX_STREAM},
};
use crate::tls::{ClientHello, NotHello, Parsed};

/// Bounds of everything that traffic can grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Flows remembered, done ones included.
    pub flows: usize,
    /// Bytes held for flows in progress.
    pub bytes: usize,
    /// Gaps in one flow.
    pub fragments: usize,
    /// Segments of one flow.
    pub segments: u32,
    /// From a flow's first segment until it is given up and forgotten, nanoseconds.
    pub lifetime: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 65_536,
            bytes: 32 << 20,
            fragments: 64,
            segments: FLOW_SEGMENTS * SEGMENTS_PER_PACKET,
            lifetime: FLOW_LIFETIME_NS,
        }
    }
}

/// Bytes of a stream and where they belong.
#[derive(Clone, Copy, Debug)]
pub struct FlowSegment<'a> {
    /// The flow.
    pub flow: FlowKey,
    /// Sequence number of the stream's first byte, as far as is known.
    pub start: u32,
    /// Sequence number of the first of these bytes.
    pub seq: u32,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> From<&'a HelloSegment> for FlowSegment<'a> {
    fn from(segment: &'a HelloSegment) -> Self {
        Self {
            flow: FlowKey::from(&segment.header),
            start: segment.header.start,
            seq: segment.header.seq,
            bytes: segment.bytes(),
        }
    }
}

/// Why a flow gave no hello.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, Ord, PartialEq, PartialOrd)]
pub enum Failure {
    /// Its bytes were not complete in time.
    #[error("the ClientHello was not complete in time")]
    Timeout,
    /// It does not begin with a TLS handshake record.
    #[error("the stream does not begin with a TLS handshake record")]
    NotTls,
    /// Its first handshake message is another one.
    #[error("the first handshake message is not a ClientHello")]
    NotClientHello,
    /// A record of another type stands between the records of the hello.
    #[error("a record of another type interrupts the ClientHello")]
    Interrupted,
    /// The hello is larger than can be held.
    #[error("the ClientHello is too large")]
    TooLarge,
    /// A length inside the hello contradicts another one.
    #[error("the ClientHello contradicts its own lengths")]
    Malformed,
    /// It came with too many gaps or in too many segments.
    #[error("the ClientHello came in too many fragments")]
    TooManyFragments,
    /// Too many flows or bytes were in progress, and this flow was the oldest.
    #[error("too many flows were in progress")]
    Evicted,
    /// A new connection took the same addresses and ports.
    #[error("a new connection replaced this one")]
    Replaced,
}

impl Failure {
    /// Every cause, in the order of its code.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::NotTls,
        Self::NotClientHello,
        Self::Interrupted,
        Self::TooLarge,
        Self::Malformed,
        Self::TooManyFragments,
        Self::Evicted,
        Self::Replaced,
    ];

    /// Stable name, as it stands in logs, JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NotTls => "not_tls",
            Self::NotClientHello => "not_client_hello",
            Self::Interrupted => "interrupted",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::TooManyFragments => "too_many_fragments",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
        }
    }
}

impl From<NotHello> for Failure {
    fn from(reason: NotHello) -> Self {
        match reason {
            NotHello::NotTls => Self::NotTls,
            NotHello::NotClientHello => Self::NotClientHello,
            NotHello::Interrupted => Self::Interrupted,
            NotHello::TooLarge => Self::TooLarge,
            NotHello::Malformed => Self::Malformed,
        }
    }
}

/// What became of a flow.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The flow.
    pub flow: FlowKey,
    /// When its first segment was pushed, on the caller's clock, nanoseconds.
    pub began: u64,
    /// Segments that brought other bytes for a place that was taken: somebody tries to show the
    /// server and the filter different hellos.
    pub conflicts: u32,
    /// The hello, or why there is none.
    pub result: Result<ClientHello, Failure>,
}

/// Outcomes by kind since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Complete hellos.
    pub hellos: u64,
    /// Flows in which copies of the same bytes differed.
    pub conflicting: u64,
    failures: [u64; Failure::ALL.len()],
}

impl Totals {
    /// Flows that failed for this cause.
    pub fn failed(&self, cause: Failure) -> u64 {
        self.failures.get(cause as usize).copied().unwrap_or(0)
    }

    fn count(&mut self, outcome: &Outcome) {
        self.conflicting += u64::from(outcome.conflicts > 0);
        match outcome.result {
            Ok(_) => self.hellos += 1,
            Err(cause) => {
                if let Some(count) = self.failures.get_mut(cause as usize) {
                    *count += 1;
                }
            }
        }
    }
}

/// Assembles the hellos of many flows.
#[derive(Debug)]
pub struct FlowAssembler {
    limits: Limits,
    flows: HashMap<FlowKey, Flow>,
    /// Every flow by the time at which it began, and by arrival among equals.
    by_age: BTreeSet<(u64, u64, FlowKey)>,
    arrivals: u64,
    bytes: usize,
    /// Outcomes of flows other than the one just pushed; drained by [`Self::expire`].
    aside: Vec<Outcome>,
    totals: Totals,
}

#[derive(Debug)]
struct Flow {
    began: u64,
    arrival: u64,
    start: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Open { data: Reassembly, segments: u32 },
    Done,
}

impl FlowAssembler {
    /// An empty assembler.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            flows: HashMap::new(),
            by_age: BTreeSet::new(),
            arrivals: 0,
            bytes: 0,
            aside: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Adds a segment at `now` (any monotonic clock, nanoseconds). Returns the outcome of its flow
    /// if this segment decides it.
    pub fn push(&mut self, segment: &FlowSegment<'_>, now: u64) -> Option<Outcome> {
        if segment.bytes.is_empty() {
            return None;
        }
        self.replace_older_connection(segment);
        if !self.flows.contains_key(&segment.flow) {
            self.open(segment, now);
        }
        let flow = self.flows.get_mut(&segment.flow)?;
        let before = flow.held();
        let result = flow.add(segment, &self.limits);
        self.bytes = self.bytes + flow.held() - before;
        let outcome = result.map(|result| self.close(segment.flow, result));
        self.shrink(segment.flow);
        outcome.flatten()
    }

    /// Ends flows whose time is over at `now`. Returns their outcomes, and those of flows that
    /// gave way to others since the last call. Call it at least once a second.
    pub fn expire(&mut self, now: u64) -> Vec<Outcome> {
        while let Some(&(began, _, key)) = self.by_age.first()
            && now.saturating_sub(began) >= self.limits.lifetime
        {
            self.forget(key, Failure::Timeout);
        }
        std::mem::take(&mut self.aside)
    }

    /// Outcomes so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Flows remembered.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A stream that begins elsewhere is another connection between the same ports, unless the
    /// other beginning lies so near that it is this connection, seen from another segment on.
    fn replace_older_connection(&mut self, segment: &FlowSegment<'_>) {
        let Some(flow) = self.flows.get(&segment.flow) else {
            return;
        };
        let moved = i64::from(segment.start.wrapping_sub(flow.start).cast_signed());
        if moved.unsigned_abs() >= MAX_STREAM as u64 {
            self.forget(segment.flow, Failure::Replaced);
        }
    }

    fn open(&mut self, segment: &FlowSegment<'_>, now: u64) {
        self.arrivals += 1;
        let data = Reassembly::new(
            segment.start,
            // The hello's last bytes may come with others behind them.
            2 * MAX_STREAM,
            self.limits.fragments,
        );
        if let Entry::Vacant(slot) = self.flows.entry(segment.flow) {
            slot.insert(Flow {
                began: now,
                arrival: self.arrivals,
                start: segment.start,
                state: State::Open { data, segments: 0 },
            });
            self.by_age.insert((now, self.arrivals, segment.flow));
        }
    }

    /// Ends a flow and remembers it as done.
    fn close(&mut self, key: FlowKey, result: Result<ClientHello, Failure>) -> Option<Outcome> {
        let flow = self.flows.get_mut(&key)?;
        let State::Open { data, .. } = std::mem::replace(&mut flow.state, State::Done) else {
            return None;
        };
        self.bytes -= data.held();
        let outcome = Outcome {
            flow: key,
            began: flow.began,
            conflicts: data.conflicts(),
            result,
        };
        self.totals.count(&outcome);
        Some(outcome)
    }

    /// Ends a flow, if it is not done, and forgets it.
    fn forget(&mut self, key: FlowKey, cause: Failure) {
        if let Some(outcome) = self.close(key, Err(cause))
            && self.aside.len() < self.limits.flows
        {
            self.aside.push(outcome);
        }
        if let Some(flow) = self.flows.remove(&key) {
            self.by_age.remove(&(flow.began, flow.arrival, key));
        }
    }

    /// Lets the oldest flows give way until the caps hold; never the one just pushed.
    fn shrink(&mut self, current: FlowKey) {
        while self.flows.len() > self.limits.flows || self.bytes > self.limits.bytes {
            let mut oldest = self.by_age.iter().map(|(_, _, key)| *key);
            let Some(key) = oldest.find(|key| *key != current) else {
                return;
            };
            self.forget(key, Failure::Evicted);
        }
    }
}

impl Flow {
    fn held(&self) -> usize {
        match &self.state {
            State::Open { data, .. } => data.held(),
            State::Done => 0,
        }
    }

    /// Adds a segment; the result if it decides the flow.
    fn add(
        &mut self,
        segment: &FlowSegment<'_>,
        limits: &Limits,
    ) -> Option<Result<ClientHello, Failure>> {
        let State::Open { data, segments } = &mut self.state else {
            return None;
        };
        *segments += 1;
        if *segments > limits.segments {
            return Some(Err(Failure::TooManyFragments));
        }
        data.begin_at(segment.start);
        match data.insert(segment.seq, segment.bytes) {
            Ok(true) => {}
            // Beyond the window no hello can reach: one stray segment must not hide it.
            Ok(false) | Err(Full::Window) => return None,
            Err(Full::Fragments) => return Some(Err(Failure::TooManyFragments)),
        }
        match record::client_hello(data.head(), 0) {
            Parsed::Complete(found) => Some(Ok(found.hello)),
            Parsed::NeedMore => None,
            Parsed::Never(reason) => Some(Err(reason.into())),
        }
    }
}
