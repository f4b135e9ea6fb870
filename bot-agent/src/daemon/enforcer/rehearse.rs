//! Rehearsals: whether a change would do, without a trace of it.
//!
//! Ids are given out on a copy of what is known of them, and no verdict is written.

use bot_common::address::Address;

use super::{EnforceError, Enforcer, Reach, ids_in};
use crate::{
    datapath::TableError,
    policy::{self, Enforced, Inputs},
    rules::time::Now,
    table::Image,
};

impl Enforcer {
    /// Refuses what [`Self::prepare`] would refuse.
    pub(in crate::daemon) fn rehearse(
        &self,
        inputs: &Inputs<'_>,
        reach: &Reach,
        now: Now,
    ) -> Result<(), EnforceError> {
        let mut copy = self.enforced.clone();
        match self.work_out_on(&mut copy, inputs, reach, now) {
            Err(EnforceError::Full(_)) => {
                copy.sweep(ids_in(&self.datapath.ranges()), now);
                self.work_out_on(&mut copy, inputs, reach, now)
            }
            worked_out => worked_out,
        }
    }

    fn work_out_on(
        &self,
        copy: &mut Enforced,
        inputs: &Inputs<'_>,
        reach: &Reach,
        now: Now,
    ) -> Result<(), EnforceError> {
        let hint = |address: Address| self.datapath.verdict_id(address);
        if let Some(prefixes) = self.in_place(inputs, reach) {
            for region in prefixes {
                let compiled = policy::compile_within(inputs, *region, now);
                copy.assign(&compiled, hint, now)?;
            }
            return Ok(());
        }
        let assigned = copy.assign(&policy::compile(inputs, now), hint, now)?;
        let image = Image::build(&assigned.ranges);
        image.map_err(|full| TableError::Room { full })?;
        Ok(())
    }
}
