//! `bot-agent feeds formats`

use std::io::Write;

use crate::{
    cli::{
        global::{Global, Output},
        show,
    },
    exit_code::ExitCode,
    feeds::format::Format,
};

/// Runs the command.
pub(super) fn run(global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut table = show::Table::new(["FORMAT", "WHAT"]);
    for (name, about) in Format::presets() {
        match global.output {
            Output::Human => table.row([name, about].map(str::to_owned), out)?,
            Output::Json => show::json(&serde_json::json!({"format": name, "about": about}), out)?,
            Output::Raw => writeln!(out, "{name}\t{about}")?,
        }
    }
    table.end(out)?;
    Ok(ExitCode::Ok)
}
