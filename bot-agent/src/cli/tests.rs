//! The command line as a whole: every help text, and the exit code of every kind of error.

use clap::CommandFactory as _;

use super::*;

#[test]
fn definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_texts() {
    let mut command = Cli::command().term_width(100);
    command.build();
    insta::assert_snapshot!("bot-agent", command.render_help().to_string());
    for sub in command.get_subcommands_mut() {
        let name = format!("bot-agent-{}", sub.get_name());
        let text = sub.clone().term_width(100).render_long_help().to_string();
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn every_command_has_examples() {
    for sub in Cli::command().get_subcommands() {
        let help = sub.get_after_help().map(ToString::to_string);
        assert!(
            help.is_some_and(|help| help.contains("bot-agent ")),
            "{} has no examples",
            sub.get_name()
        );
    }
}

#[test]
fn errors_become_their_exit_codes() {
    let failure = |code| anyhow::Error::from(ClientError::from(Failure::new(code, "x")));
    for (code, expected) in [
        (FailureCode::BadConfig, ExitCode::BadConfig),
        (FailureCode::ForeignProgram, ExitCode::ForeignProgram),
        (FailureCode::Invalid, ExitCode::Failure),
        (FailureCode::KernelTooOld, ExitCode::KernelTooOld),
        (FailureCode::MissingPrivilege, ExitCode::MissingPrivilege),
    ] {
        assert_eq!(exit_code(&failure(code)), expected);
        assert_eq!(exit_code(&failure(code).context("around it")), expected);
    }
    let missing = ClientError::NotRunning { path: "x".into() };
    assert_eq!(exit_code(&missing.into()), ExitCode::NotRunning);
    assert_eq!(exit_code(&anyhow::anyhow!("x")), ExitCode::Failure);
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let gone = io::Error::from(io::ErrorKind::BrokenPipe);
    assert!(is_broken_pipe(
        &anyhow::Error::from(gone).context("writing")
    ));
    assert!(!is_broken_pipe(&anyhow::anyhow!("x")));
}

#[test]
fn a_cause_is_said_once() {
    let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
    let lost = ClientError::Lost {
        path: "/run/x".into(),
        source: cause,
    };
    let text = message(&anyhow::Error::from(lost).context("3 of 9 are done"));
    assert_eq!(
        text,
        "3 of 9 are done: lost the agent on /run/x: unexpected end of file"
    );
}
