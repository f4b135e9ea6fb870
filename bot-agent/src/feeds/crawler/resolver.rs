//! Asks DNS: the shell around the desk.
//!
//! Lookups run beside the loop, which takes what they found with [`Verifier::found`]. Each has an end
//! of its own, whatever the servers do.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bot_common::address::Address;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time,
};

use super::{
    desk::{Asked, Desk, Limits},
    index::{Crawler, Crawlers},
    verify::{Finding, Next, Question, Reply},
};
use crate::host::clock::boot_ns;

/// How DNS is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// The only server to ask; `None`: those of `/etc/resolv.conf`.
    pub server: Option<SocketAddr>,
    /// How long a server may take; it is asked twice.
    pub patience: Duration,
    /// How much is asked and kept.
    pub limits: Limits,
}

/// DNS cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("crawlers cannot be verified: the servers of /etc/resolv.conf are not known: {0}")]
pub struct StartError(#[from] NetError);

/// Finds out which addresses are crawlers'. Times are those of `CLOCK_BOOTTIME`.
#[derive(Debug)]
pub struct Verifier {
    crawlers: Arc<Crawlers>,
    resolver: TokioResolver,
    /// For a whole lookup, aliases and second tries included.
    end: Duration,
    desk: Desk,
    lookups: JoinSet<Next>,
    asking: HashMap<Id, Address>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            server: None,
            patience: Duration::from_secs(2),
            limits: Limits::default(),
        }
    }
}

impl Verifier {
    /// A verifier that knows nobody yet. Nothing is asked before [`Verifier::ask`] and
    /// [`Verifier::found`].
    pub fn start(crawlers: Crawlers, options: Options) -> Result<Self, StartError> {
        Ok(Self {
            crawlers: Arc::new(crawlers),
            resolver: resolver(options)?,
            end: options.patience * 4,
            desk: Desk::new(options.limits, boot_ns()),
            lookups: JoinSet::new(),
            asking: HashMap::new(),
        })
    }

    /// Asks who an address is, or says what is known. Returns at once.
    pub fn ask(&mut self, address: Address) -> Asked {
        self.desk.ask(address, boot_ns())
    }

    /// Waits for the next finding; for ever while there is nothing to find out. May be dropped and
    /// called again at any time.
    pub async fn found(&mut self) -> Finding {
        loop {
            while let Some(question) = self.desk.next(boot_ns()) {
                self.look_up(question);
            }
            let wake_ns = self.desk.wake_ns();
            tokio::select! {
                Some(ended) = self.lookups.join_next_with_id() => {
                    if let Some(finding) = self.ended(ended) {
                        return finding;
                    }
                }
                () = until(wake_ns) => {}
            }
        }
    }

    /// Crawlers that are verified now, each with the end of that on `CLOCK_BOOTTIME`, nanoseconds.
    pub fn verified(&self) -> impl Iterator<Item = (Address, &Crawler, u64)> {
        self.desk.verified(boot_ns())
    }

    /// What is known and what waits.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    fn look_up(&mut self, question: Question) {
        let address = question.address();
        let (resolver, crawlers) = (self.resolver.clone(), Arc::clone(&self.crawlers));
        let end = self.end;
        let task = async move {
            match question {
                Question::Names(state) => {
                    let name = Name::from(state.address().to_ip());
                    let reply = look_up(&resolver, name, RecordType::PTR, end, host_name);
                    state.names(reply.await, &crawlers)
                }
                Question::Addresses(state) => {
                    let kind = if state.address().is_v4() {
                        RecordType::A
                    } else {
                        RecordType::AAAA
                    };
                    let reply = match Name::from_ascii(state.host().as_str()) {
                        Ok(name) => look_up(&resolver, name, kind, end, ip).await,
                        Err(_) => Reply::Nothing(None),
                    };
                    state.addresses(&reply)
                }
            }
        };
        let id = self.lookups.spawn(task).id();
        self.asking.insert(id, address);
    }

    fn ended(&mut self, ended: Result<(Id, Next), JoinError>) -> Option<Finding> {
        match ended {
            Ok((id, next)) => {
                self.asking.remove(&id);
                self.desk.answered(next, boot_ns())
            }
            // It panicked over an answer.
            Err(error) => {
                let address = self.asking.remove(&error.id())?;
                Some(self.desk.lost(address, boot_ns()))
            }
        }
    }
}

/// The resolver: no search list, no hosts file, no memory of its own.
fn resolver(options: Options) -> Result<TokioResolver, NetError> {
    let mut builder = match options.server {
        Some(server) => {
            TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default())
        }
        None => TokioResolver::builder_tokio()?,
    };
    let opts = builder.options_mut();
    opts.timeout = options.patience;
    opts.attempts = 1;
    opts.num_concurrent_reqs = 1;
    opts.use_hosts_file = ResolveHosts::Never;
    opts.cache_size = 0;
    builder.build()
}

fn only(server: SocketAddr) -> ResolverConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = server.port();
    tcp.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
    ResolverConfig::from_name_servers(vec![server])
}

/// The records of a kind that a name has.
async fn look_up<T>(
    resolver: &TokioResolver,
    mut name: Name,
    kind: RecordType,
    end: Duration,
    read: impl Fn(&RData) -> Option<T>,
) -> Reply<T> {
    name.set_fqdn(true);
    match time::timeout(end, resolver.lookup(name, kind)).await {
        Ok(Ok(lookup)) => {
            // Aliases on the way count as well: the shortest life is that of the whole answer.
            let seconds = lookup.answers().iter().map(|record| record.ttl).min();
            let ttl = Duration::from_secs(seconds.unwrap_or(0).into());
            let records = lookup.answers().iter();
            Reply::Records(
                records.filter_map(|record| read(&record.data)).collect(),
                ttl,
            )
        }
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
            Reply::Nothing(none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into())))
        }
        Ok(Err(_)) | Err(_) => Reply::Failed,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an alias, or what was not asked for"
)]
fn host_name(data: &RData) -> Option<String> {
    match data {
        RData::PTR(name) => Some(name.to_ascii()),
        _ => None,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an alias, or what was not asked for"
)]
fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    }
}

/// Waits for a time of `CLOCK_BOOTTIME`; for ever without one.
async fn until(wake_ns: Option<u64>) {
    match wake_ns {
        Some(wake_ns) => {
            let left = Duration::from_nanos(wake_ns.saturating_sub(boot_ns()));
            time::sleep(left).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
