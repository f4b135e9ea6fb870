//! What `block` and `allow` share: targets, lifetime, the question before wide rules.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use super::{
    global::{Global, Output},
    parts, show,
    text::text_of,
};
use crate::{
    control::{
        client::Client,
        network::NetworkView,
        protocol::{Put, Request, Response},
        view::{Changed, SHOWN_RULES},
    },
    exit_code::ExitCode,
    rules::{
        duration::{self, DurationError},
        prefix::Prefix,
        rule::Scope,
        subject::{Country, Subject},
        target::{Target, parse_list},
    },
};

/// Addresses (IPv4) or networks of 64 bits (IPv6) from which on a command is a wide one.
const WIDE_UNITS: u128 = 65_536;
/// Entries above which a command is a wide one.
const WIDE_ENTRIES: usize = 1_000;

/// Options of commands that make rules.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[derive(Args, Clone, Debug)]
pub(super) struct PutArgs {
    /// Addresses (192.0.2.7), networks (198.51.100.0/24), ranges (192.0.2.7-192.0.2.19) and AS
    /// numbers (AS64500)
    #[arg(value_name = "TARGET", required_unless_present_any = ["from_file", "country"])]
    pub targets: Vec<String>,

    /// Also everything in a country, by the letters of ISO 3166; may be repeated
    #[arg(long, value_name = "XX")]
    pub country: Vec<Country>,

    /// Also every target in FILE, one a line; # and ; begin comments; - is standard input. All of it
    /// is applied, or nothing
    #[arg(long, short, value_name = "FILE")]
    pub from_file: Option<PathBuf>,

    /// How long: 90s, 30m, 4h, 7d, 2w, 1h30m
    #[arg(long, short, value_name = "TIME", value_parser = lifetime, conflicts_with = "permanent")]
    pub duration: Option<Duration>,

    /// Without end
    #[arg(long)]
    pub permanent: bool,

    /// Why; shown by check, list and every event
    #[arg(long, short, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Say what would happen and change nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,

    /// Also networks wider than /8 (IPv4) or /19 (IPv6), AS numbers and countries that are larger
    /// still, and addresses the agent protects
    #[arg(long)]
    pub force: bool,

    /// Do not ask before a wide rule
    #[arg(long, short)]
    pub yes: bool,
}

/// Makes the rules; `request` says which kind.
pub(super) fn run(
    args: &PutArgs,
    (monitor, scope): (bool, Option<Scope>),
    request: impl Fn(Put) -> Request,
    global: &Global,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let targets = gather(args)?;
    for target in &targets {
        target
            .check_width(args.force)
            .map_err(|error| anyhow!("{error}; if that is meant, say so with --force"))?;
    }
    let put = &|targets: &[Target], place: parts::Place, dry_run| {
        request(Put {
            targets: targets
                .iter()
                .map(|target| target.given().to_owned())
                .collect(),
            seconds: args.duration.map(|duration| duration.as_secs()),
            permanent: args.permanent,
            reason: args.reason.clone().unwrap_or_default(),
            monitor,
            scope,
            force: args.force,
            dry_run,
            more: place.more,
            before: place.before,
        })
    };
    let mut client = global.connect()?;
    // How much an ASN or a country has, only the agent knows.
    let wide = is_wide(&targets);
    let named = targets.iter().any(|target| target.named().is_some());
    if (wide || named) && !args.yes && !args.dry_run {
        let preview = send(&mut client, &targets, true, put)?;
        if (wide || is_wide_of(&preview.networks)) && !confirmed(args, &preview)? {
            bail!("nothing was changed");
        }
    }
    let changed = send(&mut client, &targets, args.dry_run, put)?;
    show_changed(&changed, global.output, out)?;
    Ok(ExitCode::Ok)
}

/// A duration, for which there is a way to say that it has no end.
fn lifetime(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| match error {
        DurationError::TooLong(_) => format!("{error}; for no end at all use --permanent"),
        error @ (DurationError::Syntax(_) | DurationError::Unit(_) | DurationError::Zero(_)) => {
            error.to_string()
        }
    })
}

/// Every target named, from the command line and the file.
pub(super) fn gather(args: &PutArgs) -> anyhow::Result<Vec<Target>> {
    let mut targets = gather_from(&args.targets, args.from_file.as_deref())?;
    let countries = args.country.iter().copied().map(Subject::Country);
    targets.extend(countries.map(Target::from));
    Ok(targets)
}

/// Every target named, in order.
pub(super) fn gather_from(words: &[String], file: Option<&Path>) -> anyhow::Result<Vec<Target>> {
    let mut targets = words
        .iter()
        .map(|word| word.parse())
        .collect::<Result<Vec<Target>, _>>()?;
    if let Some(file) = file {
        let (name, text) = read(file)?;
        let listed = parse_list(&text).map_err(|error| {
            let lines = error.to_string().replace('\n', "\n  ");
            anyhow!("{name} has bad lines; nothing was changed\n  {lines}")
        })?;
        targets.extend(listed.into_iter().map(|(_, target)| target));
        if targets.is_empty() {
            bail!("{name} names no target");
        }
    }
    Ok(targets)
}

fn read(file: &Path) -> anyhow::Result<(String, String)> {
    let (name, bytes) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        let read = io::stdin().read_to_end(&mut bytes);
        read.context("cannot read standard input")?;
        ("standard input".to_owned(), bytes)
    } else {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
        (name, bytes)
    };
    let text = text_of(bytes).with_context(|| format!("cannot read {name}"))?;
    Ok((name, text))
}

/// Whether an operator should look at the numbers first.
pub(super) fn is_wide(targets: &[Target]) -> bool {
    let mut entries = 0;
    let mut units = 0u128;
    for prefix in targets.iter().flat_map(Target::prefixes) {
        entries += 1;
        units = units.saturating_add(units_of(*prefix));
    }
    entries > WIDE_ENTRIES || units >= WIDE_UNITS
}

/// The same for ASNs and countries.
fn is_wide_of(networks: &[NetworkView]) -> bool {
    let units = networks.iter().map(|network| {
        let v6 = network.addresses_v6 >> 64;
        network.addresses_v4.saturating_add(v6)
    });
    networks.len() >= SHOWN_RULES || units.fold(0, u128::saturating_add) >= WIDE_UNITS
}

fn units_of(prefix: Prefix) -> u128 {
    if prefix.is_v4() {
        prefix.size()
    } else {
        prefix.size() >> 64
    }
}

fn confirmed(args: &PutArgs, preview: &Changed) -> anyhow::Result<bool> {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "{}", show::preview(preview))?;
    let from_stdin = args.from_file.as_deref() == Some(Path::new("-"));
    if from_stdin || !io::stdin().is_terminal() || !stderr.is_terminal() {
        bail!("this is a wide rule and nobody can be asked here: say --yes if it is meant");
    }
    write!(stderr, "Go on? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Sends the targets; `request` makes one of some of them.
fn send(
    client: &mut Client,
    targets: &[Target],
    dry_run: bool,
    request: impl Fn(&[Target], parts::Place, bool) -> Request,
) -> anyhow::Result<Changed> {
    let answer = parts::send(client, targets, !dry_run, |part, place| {
        request(part, place, dry_run)
    })?;
    let Response::Changed(changed) = answer else {
        return Err(client.unexpected(&answer).into());
    };
    Ok(*changed)
}

fn show_changed(changed: &Changed, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    match output {
        Output::Human => writeln!(out, "{}", show::changed(changed))?,
        Output::Json => show::json(changed, out)?,
        Output::Raw => {
            for rule in &changed.rules {
                writeln!(out, "{}\t{}", rule.rule.0, rule.subject)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(words: &[&str]) -> bool {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        is_wide(&gather_from(&words, None).unwrap())
    }

    #[test]
    fn a_16_is_wide_and_so_are_its_halves_together() {
        assert!(wide(&["10.0.0.0/16"]));
        assert!(!wide(&["10.0.0.0/17"]));
        assert!(wide(&["10.0.0.0/17", "10.0.128.0/17"]));
        assert!(wide(&["10.0.0.0-10.1.0.0"]));
    }

    #[test]
    fn ipv6_counts_by_64s() {
        assert!(!wide(&["2001:db8::/64"]));
        assert!(!wide(&["2001:db8::/49"]));
        assert!(wide(&["2001:db8::/48"]));
    }

    #[test]
    fn many_entries_are_wide() {
        let words: Vec<String> = (0..=255)
            .flat_map(|c| (0..4).map(move |d| format!("10.0.{c}.{d}")))
            .collect();
        assert!(is_wide(&gather_from(&words, None).unwrap()));
        assert!(!is_wide(&gather_from(&words[..1000], None).unwrap()));
    }

    #[test]
    fn files_have_comments_and_bad_lines_are_all_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list");
        std::fs::write(&file, "# head\n192.0.2.1 ; one\n\n198.51.100.0/24\n").unwrap();
        assert_eq!(gather_from(&[], Some(&file)).unwrap().len(), 2);
        std::fs::write(&file, "x\n192.0.2.1\n10.0.0.1/8\n").unwrap();
        let error = format!("{:#}", gather_from(&[], Some(&file)).unwrap_err());
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].ends_with("has bad lines; nothing was changed"));
        assert!(lines[1].starts_with("  line 1: "), "{error}");
        assert!(lines[2].starts_with("  line 3: "), "{error}");
        std::fs::write(&file, "# nothing\n").unwrap();
        assert!(gather_from(&[], Some(&file)).is_err());
    }
}
