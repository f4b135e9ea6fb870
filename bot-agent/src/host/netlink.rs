//! Blocking netlink requests: a dump is one request and as many datagrams as its answer takes.
//!
//! Answers come from the kernel within microseconds, so they are read in place rather than
//! through the event loop. Listening for changes is [`super::watch`].
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink messages are open-ended: what is not asked for is skipped"
)]

use std::{fmt::Debug, io};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// Why the kernel's answer is missing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request or the answer did not get through, or the kernel refused.
    #[error("netlink: asking for {what}: {source}")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The answer is not what the kernel's headers describe.
    #[error("netlink: the kernel's answer on {what} is cut short")]
    Malformed {
        /// What was asked for.
        what: &'static str,
    },
}

impl Error {
    /// The kernel's error number, if it sent one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Request { source, .. } => source.raw_os_error(),
            Self::Malformed { .. } => None,
        }
    }
}

/// Everything the kernel has on `message`; `protocol` is one of `NETLINK_*`.
pub(super) fn dump<M>(what: &'static str, protocol: isize, message: M) -> Result<Vec<M>, Error>
where
    M: Debug + NetlinkDeserializable + NetlinkSerializable,
{
    let mut answers = Vec::new();
    each(what, protocol, message, |answer| answers.push(answer))?;
    Ok(answers)
}

/// The same, one after another: for answers too many to keep.
pub(super) fn each<M>(
    what: &'static str,
    protocol: isize,
    message: M,
    take: impl FnMut(M),
) -> Result<(), Error>
where
    M: Debug + NetlinkDeserializable + NetlinkSerializable,
{
    exchange(what, protocol, NLM_F_REQUEST | NLM_F_DUMP, message, take)
}

/// Asks for one object.
pub(super) fn get<M>(what: &'static str, protocol: isize, message: M) -> Result<Vec<M>, Error>
where
    M: Debug + NetlinkDeserializable + NetlinkSerializable,
{
    let mut answers = Vec::new();
    let flags = NLM_F_REQUEST | NLM_F_ACK;
    exchange(what, protocol, flags, message, |answer| {
        answers.push(answer);
    })?;
    Ok(answers)
}

fn exchange<M>(
    what: &'static str,
    protocol: isize,
    flags: u16,
    message: M,
    mut take: impl FnMut(M),
) -> Result<(), Error>
where
    M: Debug + NetlinkDeserializable + NetlinkSerializable,
{
    let failed = |source| Error::Request { what, source };
    let mut socket = Socket::new(protocol).map_err(failed)?;
    socket.bind_auto().map_err(failed)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;

    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = 1;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0).map_err(failed)?;

    loop {
        let (datagram, _) = socket.recv_from_full().map_err(failed)?;
        for message in messages::<M>(&datagram) {
            // A message newer than its parser costs itself, not the others.
            let message = match message {
                Ok(message) => message,
                Err(Unreadable::Message(reason)) => {
                    tracing::debug!(what, reason, "netlink message skipped");
                    continue;
                }
                Err(Unreadable::Length) => return Err(Error::Malformed { what }),
            };
            match message.payload {
                NetlinkPayload::InnerMessage(answer) => take(answer),
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => match error.code {
                    None => return Ok(()),
                    Some(_) => return Err(failed(error.to_io())),
                },
                _ => {}
            }
        }
    }
}

/// A message that could not be read.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Unreadable {
    /// The rest of the datagram has no bounds.
    Length,
    /// This one; the next can be.
    Message(String),
}

/// The messages of one datagram.
pub(super) fn messages<M: NetlinkDeserializable>(
    datagram: &[u8],
) -> impl Iterator<Item = Result<NetlinkMessage<M>, Unreadable>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((message, after)) = split_message(rest) else {
            rest = &[];
            return Some(Err(Unreadable::Length));
        };
        rest = after;
        Some(
            NetlinkMessage::deserialize(message)
                .map_err(|error| Unreadable::Message(error.to_string())),
        )
    })
}

/// Cuts off the first message: `nlmsg_len` counts its header, the next begins at a multiple of 4.
fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    if length < NETLINK_HEADER_LEN {
        return None;
    }
    let message = bytes.get(..length)?;
    let next = length.next_multiple_of(4);
    Some((message, bytes.get(next..).unwrap_or_default()))
}

const NETLINK_HEADER_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_cut_by_the_lengths_they_state() {
        let mut datagram = [0; 40];
        datagram[0] = 18;
        datagram[20] = 20;
        let (first, rest) = split_message(&datagram).unwrap();
        assert_eq!((first.len(), rest.len()), (18, 20));
        let (second, rest) = split_message(rest).unwrap();
        assert_eq!((second.len(), rest.len()), (20, 0));
    }

    #[test]
    fn lengths_that_lie_end_the_datagram() {
        for length in [0, 15, 41] {
            let mut datagram = [0; 40];
            datagram[0] = length;
            assert_eq!(split_message(&datagram), None);
        }
        assert_eq!(split_message(&[1, 0]), None);
    }
}
