use clap::Parser;
#[derive(Parser)]
struct Cli { #[command(flatten)] args: bot_agent::cli::pcap::Args }
fn main() -> std::process::ExitCode {
    if let Err(e) = bot_agent::cli::pcap::run(&Cli::parse().args) { eprintln!("bot-agent: {e:#}"); return 2.into(); }
    0.into()
}
