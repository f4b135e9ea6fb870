//! `bot-agent completions`

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::exit_code::ExitCode;

/// Write shell completions to standard output
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent completions [OPTIONS] <SHELL>", after_help = "\
Examples:
  bot-agent completions bash > /usr/share/bash-completion/completions/bot-agent")]
pub(super) struct Args {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    out.write_all(script(args.shell).as_bytes())?;
    Ok(ExitCode::Ok)
}

fn script(shell: Shell) -> String {
    // The generator panics when its writer fails, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bot-agent", &mut script);
    let script = String::from_utf8_lossy(&script);
    if shell == Shell::Bash {
        // clap_complete 4.6 sets `cmd` to one spelling of a name with a hyphen, and looks for
        // another, so that nothing after the subcommand is completed.
        script.replace("bot__subcmd__agent", "bot__agent")
    } else {
        script.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// What bash offers for the last of the words.
    fn offered(words: &[&str]) -> Vec<String> {
        let mut bash = Command::new("bash")
            .args(["--norc", "-c"])
            .arg(
                r#"
                eval "$(cat)"
                function=$(complete -p bot-agent)
                function=${function#*-F }
                COMP_WORDS=("$@")
                COMP_CWORD=$(($# - 1))
                "${function%% *}" "$1" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
                printf '%s\n' "${COMPREPLY[@]}"
                "#,
            )
            .arg("bash")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = bash.stdin.take().unwrap();
        stdin.write_all(script(Shell::Bash).as_bytes()).unwrap();
        drop(stdin);
        let output = bash.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_subcommands() {
        assert_eq!(offered(&["bot-agent", "unbl"]), ["unblock"]);
        let config = offered(&["bot-agent", "config", ""]);
        for command in ["check", "default", "show"] {
            assert!(config.iter().any(|word| word == command), "{config:?}");
        }
    }

    #[test]
    fn bash_completes_the_values_of_arguments() {
        let mode = offered(&["bot-agent", "mode", ""]);
        for value in ["monitor", "enforce"] {
            assert!(mode.iter().any(|word| word == value), "{mode:?}");
        }
        assert_eq!(offered(&["bot-agent", "mode", "e"]), ["enforce"]);
    }

    #[test]
    fn bash_completes_the_values_of_a_subcommands_options() {
        assert_eq!(
            offered(&["bot-agent", "pcap", "-o", ""]),
            ["human", "json", "tsv"]
        );
        assert_eq!(
            offered(&["bot-agent", "list", "-o", ""]),
            ["human", "json", "raw"]
        );
    }

    #[test]
    fn every_case_bash_looks_for_is_one_it_sets() {
        let script = script(Shell::Bash);
        let set: Vec<&str> = script
            .lines()
            .filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"'))
            .collect();
        let sought: Vec<&str> = script
            .lines()
            .filter_map(|line| line.trim().strip_suffix(')'))
            .filter(|label| label.starts_with("bot__") && !label.contains(','))
            .collect();
        assert!(sought.len() > 1);
        for label in sought {
            assert!(set.contains(&label), "{label} is never set");
        }
    }
}
