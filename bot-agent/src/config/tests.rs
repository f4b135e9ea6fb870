//! The configuration as people write it, well and badly.

use super::*;
use crate::rules::rule::{Origin, RuleAction, Scope};

/// Tables that may come often.
const OF_MANY: [&str; 6] = ["rule", "list", "feed", "policy", "proxy", "only"];

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

fn parse(text: &str) -> Result<Config, ConfigError> {
    layered(&[("bot-agent.toml", text)])
}

fn layered(files: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let texts = files
        .iter()
        .map(|(file, text)| (PathBuf::from(file), (*text).to_owned()));
    Config::from_texts(texts.collect()).map(|(config, _)| config)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The example with every commented key uncommented.
fn uncommented() -> String {
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with('[') || key.starts_with(char::is_alphabetic) => key.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(|line| bare(line) + "\n").collect()
}

#[test]
fn the_example_says_the_defaults_as_it_is_and_uncommented() {
    assert_eq!(parse("").unwrap(), Config::default());
    assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
    let all = parse(&uncommented()).unwrap();
    assert_eq!((all.rules.len(), all.lists.len()), (3, 1));
    assert_eq!((all.feeds.len(), all.policies.len()), (2, 1));
    assert_eq!((all.proxies.len(), all.onlys.len()), (1, 1));
    let without_tables = Config {
        rules: Vec::new(),
        lists: Vec::new(),
        feeds: Vec::new(),
        policies: Vec::new(),
        proxies: Vec::new(),
        onlys: Vec::new(),
        ..all
    };
    assert_eq!(without_tables, Config::default());
}

#[test]
fn the_example_and_the_document_have_every_key() {
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in uncommented().lines().filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            found.push((section.clone(), key.to_owned()));
        }
    }
    let known = show::KEYS
        .iter()
        .map(|(table, key)| ((*table).to_owned(), (*key).to_owned()));
    let known: Vec<_> = known.collect();
    let standing: Vec<_> = found
        .iter()
        .filter(|(table, _)| !OF_MANY.contains(&table.as_str()))
        .cloned()
        .collect();
    assert_eq!(standing, known);
    let keys = [
        ("rule", "action source scope monitor force reason"),
        ("list", "name file action scope"),
        (
            "feed",
            "name file url format every action weight category group min_confidence half_life grace \
             scope monitor loosen bearer basic headers ca timeout max_bytes",
        ),
        ("policy", "category action ports scope monitor"),
        ("proxy", "name addresses from"),
        ("only", "ports from monitor"),
    ];
    for (table, keys) in keys {
        for key in keys.split_whitespace() {
            let wanted = (table.to_owned(), key.to_owned());
            assert!(found.contains(&wanted), "{table}.{key}");
        }
    }
    for (table, key) in found {
        let header = if OF_MANY.contains(&table.as_str()) {
            format!("## [[{table}]]")
        } else {
            format!("## [{table}]")
        };
        let (_, chapter) = DOCUMENT
            .split_once(&header)
            .unwrap_or_else(|| panic!("no {header}"));
        let chapter = chapter.split("\n## ").next().unwrap();
        assert!(
            chapter.contains(&format!("| `{key}` |")),
            "{header} does not explain `{key}`"
        );
    }
}

#[test]
fn the_document_and_the_example_state_the_same_defaults() {
    let mut of_many = false;
    for line in uncommented().lines() {
        of_many |= line.starts_with("[[");
        let Some((key, value)) = line.split_once(" = ").filter(|_| !of_many) else {
            continue;
        };
        if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') && key != "socket" {
            let row = format!("| `{key}` | `{value}` |");
            assert!(
                DOCUMENT.contains(&row),
                "docs/configuration.md has no row {row}"
            );
        }
    }
}

#[test]
fn what_is_shown_says_the_same() {
    let text = r#"
        [agent]
        interfaces = ["eth0", "br-1"]
        run_dir = "/tmp/run"
        [control]
        group = "wheel"
        [services]
        tcp = [443, 80]
        [hello]
        ports = "any"
        [protect]
        failsafe_ports = []
        addresses = ["192.0.2.1-192.0.2.2", "2001:db8::/32"]
        [log]
        file = "/var/log/bot-agent.log"
        format = "json"
        [block]
        default_duration = "1h30m"
        [[rule]]
        action = "block"
        source = ["198.51.100.0/24", "2001:db8::1"]
        scope = "services"
        reason = "say \"please\""
        [[rule]]
        action = "allow"
        source = "198.51.100.7"
        [reputation]
        challenge = 0
        [[feed]]
        name = "a"
        url = "https://192.0.2.1/a"
        weight = 7
        half_life = "1d"
        headers = { "X-Key" = "/key" }
        bearer = "credential:token"
        loosen = ["wide"]
        [[feed]]
        name = "b"
        file = "/b"
        action = "guard"
        [[policy]]
        category = "tor"
        action = "block"
        ports = [443]
        [[policy]]
        category = "tor"
        action = "pass"
        [crawlers]
        index = "/var/lib/crawlers.json"
        verify = "on"
        [[list]]
        name = "cdn"
        file = "/etc/cdn.txt"
        action = "monitor"
        [[proxy]]
        name = "front"
        addresses = ["192.0.2.0/30", "192.0.2.8-192.0.2.9", "2001:db8:7::/48"]
        from = ["cdn"]
    "#;
    let texts = vec![(PathBuf::from("main.toml"), text.to_owned())];
    let (config, places) = Config::from_texts(texts).unwrap();
    let shown = show(&config, &places);
    assert_eq!(parse(&shown).unwrap(), config);
    assert!(
        shown.contains("tcp = [80, 443]  # main.toml:8\n"),
        "{shown}"
    );
    assert!(shown.contains("udp = \"auto\"  # default\n"), "{shown}");
    assert!(
        shown.contains("socket = \"/tmp/run/control.sock\"  # default\n"),
        "{shown}"
    );
    let defaults = show(&Config::default(), &Places::new());
    assert_eq!(parse(&defaults).unwrap(), Config::default());
}

#[test]
fn unknown_keys_are_named_with_line_and_nearest() {
    let error = parse("# one\n[agent]\n\ninterfcaes = [\"eth0\"]\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "bot-agent.toml:4: unknown key `interfcaes` in [agent]; did you mean `interfaces`?"
    );
    assert_eq!(error.line, Some(4));
    assert_eq!(error.key.as_deref(), Some("interfcaes"));
    assert_eq!(error.nearest.as_deref(), Some("interfaces"));
    assert_eq!(
        refusal("[agnet]\nuser = \"x\"\n"),
        "bot-agent.toml:1: unknown key or table `agnet`; did you mean `agent`?"
    );
    assert_eq!(
        refusal("[agent]\nkernel_log = true\n"),
        "bot-agent.toml:2: unknown key `kernel_log` in [agent]; it belongs into [debug]"
    );
    assert_eq!(
        refusal("[xdp]\nturbo = true\n"),
        "bot-agent.toml:2: unknown key `turbo` in [xdp]; valid are mode, replace"
    );
    assert_eq!(
        refusal("[[rule]]\naction = \"block\"\nsorce = \"192.0.2.1\"\n"),
        "bot-agent.toml:3: unknown key `sorce` in [rule]; did you mean `source`?"
    );
}

#[test]
fn wrong_values_are_named_with_line_and_key() {
    let cases = [
        (
            "[tables]\nprefixes = \"many\"\n",
            "2: prefixes: invalid type: string \"many\", expected u64",
        ),
        (
            "[tables]\nprefixes = -1\n",
            "2: prefixes: invalid value: integer `-1`, expected u64",
        ),
        (
            "[tables]\nprefixes = 5\n",
            "2: prefixes: 5 is not within 1024 to 16000000",
        ),
        (
            "[tables]\nverdicts = 65537\n",
            "2: verdicts: 65537 is not within 1024 to 65536",
        ),
        (
            "[hello]\nring_bytes = 1048577\n",
            "2: ring_bytes: 1048577 is no power of two; 1048576 and 2097152 are",
        ),
        (
            "[xdp]\nmode = \"fast\"\n",
            "2: mode: unknown variant `fast`, expected one of `auto`, `native`, `generic`",
        ),
        (
            "[services]\n\ntcp = \"any\"\n",
            "3: tcp: `any` is neither \"auto\" nor a list of ports",
        ),
        (
            "[services]\ntcp = [0]\n",
            "2: tcp: 0 is no port; ports are 1 to 65535",
        ),
        (
            "[agent]\nrun_dir = \"run\"\n",
            "2: run_dir: `run` is no absolute path",
        ),
        (
            "[agent]\nstate_dir = \"\"\n",
            "2: state_dir: `` is no absolute path",
        ),
        (
            "[agent]\ninterfaces = [\"eth0\",\n\"a/b\"]\n",
            "3: interfaces: `a/b` is no interface name",
        ),
        (
            "[block]\ndefault_duration = \"99999999999w\"\n",
            "2: default_duration: `99999999999w` is longer than 10 years (3650d)",
        ),
        (
            "[protect]\naddresses = [\"10.0.0.1/8\"]\n",
            "2: addresses: `10.0.0.1/8` has host bits set; the network would be 10.0.0.0/8",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), format!("bot-agent.toml:{expected}"));
    }
    assert!(
        refusal("[services]\ntcp = [70000]\n")
            .starts_with("bot-agent.toml:2: tcp: invalid value: integer `70000`, expected u16")
    );
    assert!(refusal("[agent]\nuser = \n").starts_with("bot-agent.toml:2: "));
    assert!(refusal("[agent]\nuser = \"a\"\nuser = \"b\"\n").contains(":3: "));
}

#[test]
fn rules_become_drafts() {
    let config = parse(
        "[[rule]]\naction = \"block\"\nsource = \"192.0.2.0-192.0.2.2\"\nscope = \"services\"\nmonitor = true\nreason = \"why\"\n",
    )
    .unwrap();
    let prefixes: Vec<String> = config
        .rules
        .iter()
        .map(|rule| rule.subject.to_string())
        .collect();
    assert_eq!(prefixes, ["192.0.2.0/31", "192.0.2.2"]);
    for rule in &config.rules {
        assert_eq!(
            (rule.action, rule.scope, rule.monitor),
            (RuleAction::Block, Scope::Services, true)
        );
        assert_eq!((rule.origin.clone(), rule.deadline), (Origin::Config, None));
    }
}

#[test]
fn one_database_or_several() {
    let paths = |files: &[(&str, &str)]| {
        let databases = layered(files).unwrap().asn_databases;
        let texts = databases.iter().map(|path| path.display().to_string());
        texts.collect::<Vec<_>>()
    };
    let one = ("a.toml", "[asn]\ndatabase = \"/a\"\n");
    let two = ("b.toml", "[asn]\ndatabase = [\"/b\", \"/c\", \"/b\"]\n");
    let more = ("c.toml", "[asn]\ndatabase = [\"/d\", \"/c\"]\n");
    assert_eq!(paths(&[one]), ["/a"]);
    assert_eq!(paths(&[one, two]), ["/b", "/c"]);
    assert_eq!(paths(&[two, more]), ["/b", "/c", "/d"]);
    assert_eq!(paths(&[two, one]), ["/a"]);
    assert_eq!(
        refusal("[asn]\ndatabase = [\"asn.csv\"]\n"),
        "bot-agent.toml:2: database: `asn.csv` is no absolute path"
    );
}

#[test]
fn rules_may_name_asns_and_countries() {
    let config = parse(
        "[asn]\ndatabase = \"/var/lib/asn.csv\"\n\
         [[rule]]\naction = \"block\"\nsource = [\"AS64500\", \"country:DE\", \"192.0.2.1\"]\n\
         [[rule]]\naction = \"block\"\nsource = \"AS64501\"\nscope = \"all\"\n\
         [[rule]]\naction = \"allow\"\nsource = \"AS64502\"\n",
    )
    .unwrap();
    let rules = config.rules.iter();
    let rules = rules.map(|rule| (rule.subject.to_string(), rule.scope));
    let expected = [
        ("192.0.2.1", Scope::All),
        ("AS64500", Scope::Services),
        ("country:DE", Scope::Services),
        ("AS64501", Scope::All),
        ("AS64502", Scope::All),
    ];
    assert!(rules.eq(expected.map(|(text, scope)| (text.to_owned(), scope))));
    assert_eq!(
        refusal("[[rule]]\naction = \"block\"\nsource = \"AS64500\"\n"),
        "bot-agent.toml:3: source: `AS64500` needs a database: set `database` in [asn]"
    );
    assert_eq!(
        refusal("[protect]\naddresses = [\"AS64500\"]\n"),
        "bot-agent.toml:2: addresses: `AS64500` is no address; only addresses can be protected"
    );
}

#[test]
fn bad_rules_are_refused_with_their_line() {
    let rule = |rest: &str| refusal(&format!("[[rule]]\naction = \"block\"\n{rest}\n"));
    assert_eq!(
        rule("source = [\"192.0.2.1\",\n  \"nonsense\"]"),
        "bot-agent.toml:4: source: `nonsense` is neither an address nor a CIDR nor a range \
         nor an AS number (like 192.0.2.7, 198.51.100.0/24, 192.0.2.7-192.0.2.19, 2001:db8::/32 \
         or AS64500)"
    );
    assert_eq!(
        rule("source = \"0.0.0.0/0\""),
        "bot-agent.toml:3: source: `0.0.0.0/0` covers 0.0.0.0/0, wider than /8; if that is meant, \
         say so with force = true"
    );
    assert_eq!(
        rule("source = []"),
        "bot-agent.toml:1: source: names no address"
    );
    assert_eq!(rule(""), "bot-agent.toml:1: missing field `source`");
    for action in ["block", "allow"] {
        let wide = |force| {
            format!("[[rule]]\naction = \"{action}\"\nsource = \"::/0\"\nforce = {force}\n")
        };
        assert!(
            refusal(&wide(false)).contains("covers ::/0, wider than /19"),
            "{action}"
        );
        assert!(parse(&wide(true)).unwrap().rules[0].forced, "{action}");
    }
    assert_eq!(
        refusal("[[rule]]\naction = \"allow\"\nsource = \"192.0.2.1\"\n\nscope = \"all\"\n"),
        "bot-agent.toml:5: scope: has no meaning for an allow rule, which exempts from every block"
    );
}

#[test]
fn crawlers_are_verified_on_demand_only() {
    let crawlers = |text: &str| parse(&format!("[crawlers]\n{text}\n")).map(|all| all.crawlers);
    assert_eq!(crawlers("").unwrap().verify, Verify::Off);
    let on =
        crawlers("verify = \"on\"\nindex = \"/index.json\"\nqueries_per_second = 1000").unwrap();
    assert_eq!((on.verify, on.queries_per_second), (Verify::On, 1000));
    assert_eq!(on.index.as_deref(), Some(Path::new("/index.json")));
    assert_eq!(
        refusal("[crawlers]\nqueries_per_second = 0\n"),
        "bot-agent.toml:2: queries_per_second: 0 is not within 1 to 1000"
    );
    assert_eq!(
        refusal("[crawlers]\nindex = \"index.json\"\n"),
        "bot-agent.toml:2: index: `index.json` is no absolute path"
    );
    assert_eq!(
        refusal("[crawlers]\nverify = true\n"),
        "bot-agent.toml:2: verify: wanted string or table"
    );
}

#[test]
fn later_files_override_and_lists_append() {
    let main = "[agent]\ninterfaces = [\"eth0\"]\nuser = \"a\"\n[services]\ntcp = [80]\nudp = [53]\n[hello]\nports = \"any\"\n\
                [[rule]]\naction = \"block\"\nsource = \"192.0.2.1\"\nreason = \"main\"\n";
    let ten = "[agent]\ninterfaces = [\"eth1\", \"eth0\"]\nuser = \"b\"\n[services]\ntcp = [443]\nudp = \"auto\"\n[hello]\nports = [8443]\n";
    let twenty = "[[rule]]\naction = \"block\"\nsource = [\"192.0.2.2\", \"192.0.2.1\"]\nreason = \"twenty\"\n";
    let config = layered(&[("main", main), ("10", ten), ("20", twenty)]).unwrap();
    assert_eq!(config.agent.interfaces, ["eth0", "eth1"]);
    assert_eq!(config.agent.user, "b");
    assert_eq!(config.services.tcp, Ports::Only([80, 443].into()));
    assert_eq!(config.services.udp, Ports::Auto);
    assert_eq!(config.hello.ports, HelloPorts::Only([8443].into()));
    assert_eq!(config.rules.len(), 2);
    assert!(config.rules.iter().all(|rule| rule.reason == "twenty"));
    let error = layered(&[("main", main), ("10", "[agent]\n\nusr = \"b\"\n")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "10:3: unknown key `usr` in [agent]; did you mean `user`?"
    );
}

#[test]
fn files_are_read_in_order_of_name() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("bot-agent.toml");
    let conf_d = folder.path().join("conf.d");
    let write =
        |path: &Path, user: &str| fs::write(path, format!("[agent]\nuser = \"{user}\"\n")).unwrap();
    write(&main, "main");
    assert_eq!(Config::load(&main, None).unwrap().agent.user, "main");
    fs::create_dir(&conf_d).unwrap();
    for (name, user) in [
        ("20-b.toml", "b"),
        ("10-a.toml", "a"),
        (".30.toml", "hidden"),
        ("40.toml~", "backup"),
    ] {
        write(&conf_d.join(name), user);
    }
    assert_eq!(Config::load(&main, None).unwrap().agent.user, "b");
    let (_, places) = Config::load_with_places(&main, None).unwrap();
    assert!(
        places["agent.user"]
            .to_string()
            .ends_with("conf.d/20-b.toml:2")
    );
    assert_eq!(
        Config::load(&main, Some(Path::new("/nonexistent")))
            .unwrap()
            .agent
            .user,
        "main"
    );

    let missing = Config::load(&folder.path().join("none.toml"), None).unwrap_err();
    assert!(
        missing
            .to_string()
            .ends_with("none.toml: No such file or directory (os error 2)")
    );
    fs::write(conf_d.join("50.toml"), b"user = \"\xff\"").unwrap();
    let garbage = Config::load(&main, None).unwrap_err().to_string();
    assert!(
        garbage.contains("50.toml: ") && garbage.contains("UTF-8"),
        "{garbage}"
    );
}
