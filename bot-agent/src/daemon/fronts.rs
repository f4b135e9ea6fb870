//! Who stands in front of clients: declared proxies, and who should be one.

use std::sync::Arc;

use bot_common::address::Address;

use super::Daemon;
use crate::{
    asn::Database,
    config::Proxy,
    feeds::{
        proxy::FrontProxies,
        rails::{Kind, popular},
        reputation::{Told, prefixes},
    },
    lists::ListIds,
    policy::{List, ListKind, Score, list_of_proxy},
    rules::prefix::Prefix,
};

/// The lists of declared proxies: feeds and scores say nothing about them, because behind their
/// addresses are other people. Lists and feeds that they name are looked up in `lists` and in what feeds `told`.
pub(super) fn lists(
    proxies: &[Proxy],
    lists: &[List],
    told: &[Told<'_>],
    database: Option<&Database>,
    ids: &mut ListIds,
) -> Vec<List> {
    let of_proxy = |proxy: &Proxy| {
        let name = list_of_proxy(&proxy.name);
        let addresses = addresses(proxy, lists, told, database);
        let entries = addresses.into_iter().map(|prefix| (prefix, Score::MAX));
        List::new(ids.of(&name), name.into(), ListKind::Popular, entries)
    };
    proxies.iter().map(of_proxy).collect()
}

/// All addresses of a proxy.
fn addresses(
    proxy: &Proxy,
    lists: &[List],
    told: &[Told<'_>],
    database: Option<&Database>,
) -> Vec<Prefix> {
    let mut all = proxy.addresses.clone();
    for name in &proxy.from {
        if let Some(list) = lists.iter().find(|list| **list.name() == **name) {
            all.extend(list.entries().map(|(prefix, _)| prefix));
        } else {
            let meant = told.iter().filter(|one| one.feed.name == *name);
            all.extend(meant.flat_map(|one| prefixes(one.snapshot, database)));
        }
    }
    all
}

/// Watches for proxies that are not `declared`.
pub(super) fn watch_for(declared: impl IntoIterator<Item = Prefix>) -> FrontProxies {
    let cdns = popular().filter(|network| network.kind == Kind::Cdn);
    let cdns = cdns.map(|network| (network.prefix, Arc::from(network.who)));
    FrontProxies::new(cdns, declared)
}

impl Daemon {
    /// The proxies are these from now on. What was counted so far is forgotten.
    pub(super) fn watch_fronts(&mut self) {
        let database = self.databases.get().ok();
        let told = self.feeds.all_told();
        let proxies = self.config.proxies.iter();
        let declared =
            proxies.flat_map(|proxy| addresses(proxy, &self.file_lists, &told, database));
        self.fronts = watch_for(declared);
    }

    /// A hello came from there.
    pub(super) fn hello_from(&mut self, source: Address) {
        self.fronts.hello(source);
        self.ask_who(source);
    }

    /// What is to be declared.
    pub(super) fn front_notes(&self) -> Option<String> {
        self.fronts.advice().map(|advice| advice.to_string())
    }
}
