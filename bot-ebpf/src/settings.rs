//! Run-time settings, written by the agent.

use aya_ebpf::{macros::map, maps::Array};
use bot_common::abi::settings::Settings;

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

static DEFAULT: Settings = Settings {
    enforce_until: 0,
    bypass_until: 0,
    seed: 0,
    reports_per_second: 0,
    hellos_per_second: 0,
};

/// The settings in force. Fields may change between two reads; each is a word of its own.
#[inline(always)]
pub(crate) fn current() -> &'static Settings {
    SETTINGS.get(0).unwrap_or(&DEFAULT)
}
