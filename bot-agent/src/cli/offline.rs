//! Commands that also work when no agent runs.

use super::global::{Global, Places};
use crate::{
    control::client::{Client, ClientError},
    daemon::Offline,
};

/// Whom to ask.
pub(super) enum Whom {
    /// The running agent.
    Agent(Client),
    /// The pinned tables.
    Tables(Box<Offline>, Places),
}

/// The agent, or the tables if it does not run.
pub(super) fn find(global: &Global) -> anyhow::Result<Whom> {
    let places = global.places_of_client();
    match Client::connect(&places.socket) {
        Ok(client) => Ok(Whom::Agent(client)),
        Err(error @ ClientError::NotRunning { .. }) => match Offline::open(&places.pin_dir) {
            Ok(offline) => Ok(Whom::Tables(Box::new(offline), places)),
            Err(tables) => Err(anyhow::Error::from(tables).context(error)),
        },
        Err(error) => Err(error.into()),
    }
}
