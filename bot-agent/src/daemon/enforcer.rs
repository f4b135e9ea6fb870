//! The kernel's tables kept true to the policy: what must be written, and what is behind each id.
//!
//! Two steps. [`Enforcer::prepare`] works out which verdicts and ranges a change takes; it refuses what
//! does not fit, and changes nothing that a packet sees. [`Enforcer::publish`] puts them in force: a few
//! prefixes in place, anything larger as a new generation. Verdicts are written before any range
//! refers to them; those that nothing refers to any more are collected later and rest before they
//! say something else.

use std::collections::HashMap;

use bot_common::{
    abi::{
        counter::Hits,
        ports::{GROUP_LINES, GroupLine, Groups},
        verdict::{Verdict, VerdictId},
    },
    address::Address,
};

use crate::{
    datapath::{Datapath, TableError},
    policy::{self, Enforced, Inputs, Limits, Owner, PortGroups, Room, TableFull},
    rules::{prefix::Prefix, rule::RuleId, time::Now},
    table::{Image, Ranges},
};

mod cursor;
mod rehearse;

use cursor::Cursor;

/// A change that concerns more prefixes than this, or one wider than these, is a new generation.
const MOST_REGIONS: usize = 256;
const WIDEST_IPV4: u8 = 96 + 8;
const WIDEST_IPV6: u8 = 24;

/// What the kernel holds, as the agent knows it.
pub(super) struct Enforcer {
    /// The kernel's side.
    pub datapath: Datapath,
    limits: Limits,
    enforced: Enforced,
    /// Hits of ids that say something else by now.
    kept_hits: HashMap<Owner, Hits>,
    /// Differences between the policy and the kernel that were found and mended.
    repairs: u64,
    /// Where the next look for differences begins.
    cursor: Cursor,
}

/// Why a change is not in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnforceError {
    /// It does not fit; the kernel was not touched.
    #[error(transparent)]
    Full(#[from] TableFull),
    /// The kernel refused.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A change that is worked out, and whose verdicts are written.
#[must_use = "nothing is in force before it is published"]
pub(super) enum Prepared {
    /// What each of these prefixes says from now on.
    Regions(Vec<(Prefix, Ranges)>),
    /// A whole table, the ids that it refers to, and how many prefixes its policy names.
    Whole(Box<Image>, Vec<VerdictId>, usize),
}

/// What a change concerns.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// These prefixes and nothing else.
    Prefixes(Vec<Prefix>),
    /// Anything.
    Everything,
}

impl Reach {
    /// Of overlapping prefixes the widest, unless a new generation costs less.
    pub(super) fn of(prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        let mut prefixes: Vec<Prefix> = prefixes.into_iter().collect();
        prefixes.sort_unstable();
        prefixes.dedup_by(|inner, outer| outer.covers(*inner));
        let is_wide = |prefix: &Prefix| {
            let widest = if prefix.is_v4() {
                WIDEST_IPV4
            } else {
                WIDEST_IPV6
            };
            prefix.bits() < widest
        };
        if prefixes.len() > MOST_REGIONS || prefixes.iter().any(is_wide) {
            Self::Everything
        } else {
            Self::Prefixes(prefixes)
        }
    }
}

impl Enforcer {
    /// Takes over what the kernel's tables hold. They are not changed before the first change.
    pub(super) fn new(datapath: Datapath, limits: Limits) -> Result<Self, TableError> {
        let live = ids_in(&datapath.ranges());
        let mut enforced = Enforced::from_kernel(limits, &datapath.verdicts()?, live);
        // Rules that were stored under a greater limit are not lost to a smaller one.
        *enforced.room_mut() = Room::for_what_is_there(limits.prefixes);
        Ok(Self {
            datapath,
            limits,
            enforced,
            kept_hits: HashMap::new(),
            repairs: 0,
            cursor: Cursor::default(),
        })
    }

    /// The port groups that the kernel holds, and which of them its table asks about.
    pub(super) fn port_groups(&self) -> Result<PortGroups, TableError> {
        let lines = (0..GROUP_LINES).map(|index| self.datapath.port_groups(index));
        let lines: Vec<GroupLine> = lines.collect::<Result<_, _>>()?;
        let ids = self.enforced.owners();
        let asked = ids.filter_map(|(id, _)| self.enforced.verdict(id));
        let asked = asked.fold(Groups::NONE, |all, verdict| all.or(verdict.ports));
        Ok(PortGroups::from_lines(&lines, asked))
    }

    /// Works out what `reach` takes. An error leaves everything as it was.
    pub(super) fn prepare(
        &mut self,
        inputs: &Inputs<'_>,
        reach: &Reach,
        now: Now,
    ) -> Result<Prepared, EnforceError> {
        match self.work_out(inputs, reach, now) {
            Err(EnforceError::Full(_)) => {
                self.collect(now);
                self.work_out(inputs, reach, now)
            }
            worked_out => worked_out,
        }
    }

    /// Puts a change in force. After an error each address has its old verdict or its new one.
    pub(super) fn publish(
        &mut self,
        prepared: Prepared,
        inputs: &Inputs<'_>,
        now: Now,
    ) -> Result<(), EnforceError> {
        match prepared {
            Prepared::Regions(regions) => {
                for (region, ranges) in regions {
                    if !self.datapath.update(region, &ranges)? {
                        return self.publish_whole(inputs, now);
                    }
                    if !self.agrees(region, &ranges) {
                        self.repairs += 1;
                        return self.publish_whole(inputs, now);
                    }
                }
                self.enforced.room_mut().settle(inputs.named_at_most());
            }
            Prepared::Whole(image, ids, named) => {
                self.datapath.swap(*image)?;
                self.enforced.sweep(ids, now);
                self.enforced.room_mut().settle(named);
            }
        }
        Ok(())
    }

    /// Compares a part of the kernel's tables with the policy, another one each time, and mends what
    /// differs. Nothing should.
    ///
    /// Where ranges differ, somebody else wrote into the generation, and nothing in it can be
    /// trusted, what is free and what is used included: a whole new one takes its place.
    pub(super) fn look_for_differences(
        &mut self,
        inputs: &Inputs<'_>,
        now: Now,
    ) -> Result<(), EnforceError> {
        for id in self.cursor.ids() {
            if let Some(wanted) = self.enforced.verdict(id)
                && self.datapath.verdict(id)? != wanted
            {
                self.repairs += 1;
                self.datapath.write_verdict(id, wanted)?;
            }
        }
        let mut compared = 0;
        for _ in 0..Cursor::at_once() {
            let region = self.cursor.next_region();
            let wanted = self.assign(&policy::compile_within(inputs, region, now), now)?;
            compared += wanted.v4.len() + wanted.v6.len();
            if !self.agrees(region, &wanted) {
                self.repairs += 1;
                return self.publish_whole(inputs, now);
            }
            if compared > cursor::RANGES {
                break;
            }
        }
        Ok(())
    }

    fn publish_whole(&mut self, inputs: &Inputs<'_>, now: Now) -> Result<(), EnforceError> {
        let whole = self.work_out(inputs, &Reach::Everything, now)?;
        self.publish(whole, inputs, now)
    }

    /// Whether the generation in force says this about a region, to whoever reads it all and to whoever
    /// asks about an address.
    fn agrees(&self, region: Prefix, wanted: &Ranges) -> bool {
        let v4 = wanted.v4.iter();
        let v4 = v4.map(|range| (Address::from_v4(range.first.to_be_bytes()), range.id));
        let v6 = wanted.v6.iter();
        let v6 = v6.map(|range| (Address::from_v6(range.first.to_be_bytes()), range.id));
        // A mapped address is IPv4, whatever IPv6 ranges say.
        let mut asked = v4
            .chain(v6)
            .filter(|(address, _)| address.is_v4() == region.is_v4());
        self.datapath.ranges_within(region) == *wanted
            && asked.all(|(address, id)| self.datapath.verdict_id(address) == id)
    }

    /// Differences that were found and mended.
    pub(super) fn repairs(&self) -> u64 {
        self.repairs
    }

    /// How many prefixes may be named.
    pub(super) fn room(&self) -> Room {
        self.enforced.room()
    }

    /// Another limit, for changes from now on. One that is lowered must hold what is named.
    pub(super) fn limit_prefixes(
        &mut self,
        limit: usize,
        inputs: &Inputs<'_>,
        now: Now,
    ) -> Result<(), TableFull> {
        let named = || policy::named(inputs, now);
        self.set_room(self.room().with_limit(limit, named)?);
        Ok(())
    }

    /// What [`Self::room`] was before.
    pub(super) fn set_room(&mut self, room: Room) {
        self.limits.prefixes = room.limit();
        *self.enforced.room_mut() = room;
    }

    /// What is used of what there is. The prefixes are counted as for the limit.
    pub(super) fn used(&self, inputs: &Inputs<'_>, now: Now) -> (Limits, Limits) {
        let used = Limits {
            prefixes: policy::named(inputs, now),
            verdicts: self.enforced.verdicts(),
        };
        (used, self.limits)
    }

    /// Whom the hits of an id count for.
    pub(super) fn owner(&self, id: VerdictId) -> Option<Owner> {
        self.enforced.owner(id)
    }

    /// What each owner that is `wanted` matched so far.
    pub(super) fn hits(
        &self,
        wanted: impl Fn(&Owner) -> bool,
    ) -> Result<HashMap<Owner, Hits>, TableError> {
        let kept = self.kept_hits.iter().filter(|(owner, _)| wanted(owner));
        let mut hits: HashMap<Owner, Hits> = kept.map(|(owner, hits)| (*owner, *hits)).collect();
        let (ids, owners): (Vec<VerdictId>, Vec<Owner>) = self
            .enforced
            .owners()
            .filter(|(_, owner)| wanted(owner))
            .unzip();
        for (owner, found) in owners.iter().zip(self.datapath.hits(&ids)?) {
            add(hits.entry(*owner).or_default(), found);
        }
        Ok(hits)
    }

    /// Nobody asks for the hits of this rule any more.
    pub(super) fn forget(&mut self, rule: RuleId) {
        self.kept_hits.remove(&Owner::Rule(rule));
    }

    /// The kernel's own answer about an address, with the hits of each verdict of it.
    pub(super) fn lookup(
        &self,
        address: Address,
    ) -> Result<Vec<(VerdictId, Verdict, Hits)>, TableError> {
        let found = self.datapath.lookup(address)?;
        let ids: Vec<VerdictId> = found.iter().map(|(id, _)| *id).collect();
        let hits = self.datapath.hits(&ids)?;
        let rows = found.into_iter().zip(hits);
        Ok(rows
            .map(|((id, verdict), hits)| (id, verdict, hits))
            .collect())
    }

    /// Learns again what the kernel holds, after it refused something half-way.
    pub(super) fn read_anew(&mut self, now: Now) -> Result<(), TableError> {
        let live = ids_in(&self.datapath.ranges());
        let room = self.room();
        self.enforced = Enforced::read_anew(self.limits, &self.datapath.verdicts()?, live, now);
        self.set_room(room);
        Ok(())
    }

    fn work_out(
        &mut self,
        inputs: &Inputs<'_>,
        reach: &Reach,
        now: Now,
    ) -> Result<Prepared, EnforceError> {
        if let Some(prefixes) = self.in_place(inputs, reach) {
            let regions = prefixes.iter().map(|region| {
                let compiled = policy::compile_within(inputs, *region, now);
                Ok((*region, self.assign(&compiled, now)?))
            });
            return regions.collect::<Result<_, _>>().map(Prepared::Regions);
        }
        let compiled = policy::compile(inputs, now);
        let named = compiled.prefixes.unwrap_or(inputs.named_at_most());
        let ranges = self.assign(&compiled, now)?;
        let image = Image::build(&ranges).map_err(|full| TableError::Room { full })?;
        Ok(Prepared::Whole(Box::new(image), ids_in(&ranges), named))
    }

    /// The prefixes that are changed in place; nothing: a new generation is made.
    ///
    /// Only a generation of this agent's own can be changed in place; and near the limit everything
    /// is counted.
    fn in_place<'r>(&self, inputs: &Inputs<'_>, reach: &'r Reach) -> Option<&'r [Prefix]> {
        let Reach::Prefixes(prefixes) = reach else {
            return None;
        };
        let fits = || inputs.named_at_most() <= self.room().most();
        (self.datapath.usage().is_some() && fits()).then_some(prefixes)
    }

    /// Gives ids to what was compiled, and writes those that are new.
    fn assign(&mut self, compiled: &policy::Compiled, now: Now) -> Result<Ranges, EnforceError> {
        let datapath = &self.datapath;
        let hint = |address: Address| datapath.verdict_id(address);
        let assigned = self.enforced.assign(compiled, hint, now)?;
        self.keep_hits();
        for fresh in &assigned.fresh {
            if fresh.reset {
                self.datapath.reset_hits(fresh.id)?;
            }
            self.datapath.write_verdict(fresh.id, fresh.verdict)?;
        }
        Ok(assigned.ranges)
    }

    /// Ids that are taken back into use lose their hits: they are read before that.
    fn keep_hits(&mut self) {
        for (id, owner) in self.enforced.take_reclaimed() {
            if let Ok(found) = self.datapath.hits(&[id]) {
                let kept = self.kept_hits.entry(owner).or_default();
                for hits in found {
                    add(kept, hits);
                }
            }
        }
    }

    /// Ids that nothing refers to any more begin to rest.
    fn collect(&mut self, now: Now) {
        let live = ids_in(&self.datapath.ranges());
        self.enforced.sweep(live, now);
    }
}

/// Every id that ranges refer to, once.
fn ids_in(ranges: &Ranges) -> Vec<VerdictId> {
    let v4 = ranges.v4.iter().map(|range| range.id);
    let v6 = ranges.v6.iter().map(|range| range.id);
    let mut ids: Vec<VerdictId> = v4.chain(v6).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn add(sum: &mut Hits, more: Hits) {
    sum.packets = sum.packets.saturating_add(more.packets);
    sum.bytes = sum.bytes.saturating_add(more.bytes);
}
