//! Carrying out a plan.

use super::{
    open::Datapath,
    tables::{TableError, Tables},
};
use crate::policy::prefix_plan::Step;

/// The step that failed; those before it are done, those after it are not.
#[derive(Debug, thiserror::Error)]
#[error("step {index} of the plan: {source}")]
pub struct ApplyError {
    /// Position in the plan.
    pub index: usize,
    /// Why.
    pub source: TableError,
}

impl Datapath {
    /// Carries out a plan in its order, which keeps every address on its old or its new verdict
    /// at each instant.
    pub fn apply(&mut self, plan: &[Step]) -> Result<(), ApplyError> {
        let tables: &mut Tables = self;
        for (index, step) in plan.iter().enumerate() {
            match *step {
                Step::ResetHits(id) => tables.reset_hits(id),
                Step::WriteVerdict(id, verdict) => tables.write_verdict(id, verdict),
                Step::Upsert(prefix, id) => tables.upsert(prefix, id),
                Step::Remove(prefix) => tables.remove(prefix),
            }
            .map_err(|source| ApplyError { index, source })?;
        }
        Ok(())
    }
}
