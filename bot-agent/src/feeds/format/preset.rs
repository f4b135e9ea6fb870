//! The table of presets: what known publishers' files look like, as data (`presets.toml`).

use std::sync::LazyLock;

use serde::Deserialize;

use super::reader::Reader;

/// A format with a name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Preset {
    pub(super) name: String,
    /// What it is, in a few words.
    pub(super) about: String,
    /// What the first row of a text begins with, if it is to be taken for this.
    #[serde(default)]
    pub(super) begins: String,
    #[serde(rename = "format")]
    pub(super) reader: Reader,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    preset: Vec<Preset>,
}

/// All presets, in the order in which a content is tried.
pub(super) fn all() -> &'static [Preset] {
    static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
        let table = toml::from_str(include_str!("presets.toml"));
        #[expect(
            clippy::expect_used,
            reason = "a part of the program, which tests read"
        )]
        let Table { preset } = table.expect("the table of presets is right");
        preset
    });
    &PRESETS
}

/// The preset of this name.
pub(super) fn named(name: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.name == name)
}

/// The preset of a text that says nothing else.
pub(super) fn plain() -> &'static Preset {
    #[expect(
        clippy::expect_used,
        reason = "a part of the program, which tests read"
    )]
    named("plain").expect("plain is a preset")
}
