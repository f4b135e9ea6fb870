//! Front proxies: from the `[[proxy]]`s to whose addresses are not those of clients.

use std::collections::BTreeSet;

use toml::Spanned;

use super::{
    error::ConfigError,
    keys::wrong,
    layers::{Layers, Lines, Place},
    lists::is_name,
    raw,
};
use crate::rules::{prefix::Prefix, target::Target};

/// A `[[proxy]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proxy {
    /// Its name, told apart from those of all other proxies.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// Names of lists with more of them.
    pub from: Vec<String>,
}

/// All proxies, in the order of the files. They may refer to these `lists`.
pub(super) fn proxies(layers: &Layers, lists: &BTreeSet<&str>) -> Result<Vec<Proxy>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut proxies = Vec::new();
    for (proxy, place, lines) in layers.entries(|raw| &raw.proxy) {
        let proxy = checked(proxy, &place, lines, lists)?;
        if !names.insert(proxy.name.clone()) {
            let what = format!("two proxies are called `{}`", proxy.name);
            return Err(wrong("name", &place, what));
        }
        proxies.push(proxy);
    }
    Ok(proxies)
}

fn checked(
    proxy: &raw::Proxy,
    place: &Place,
    lines: Lines<'_>,
    lists: &BTreeSet<&str>,
) -> Result<Proxy, ConfigError> {
    let name = proxy.name.get_ref();
    if !is_name(name) {
        let what = format!("`{name}` must have 1 to 32 of the characters a-z, 0-9, - and _");
        return Err(wrong("name", &lines.place(&proxy.name), what));
    }
    if proxy.addresses.is_empty() && proxy.from.is_empty() {
        let what = "the proxy has none; give `addresses`, or `from` with names of lists";
        return Err(wrong("addresses", place, what));
    }
    let mut addresses = Vec::new();
    for word in &proxy.addresses {
        let prefixes = prefixes(word.get_ref());
        addresses.extend(prefixes.map_err(|what| wrong("addresses", &lines.place(word), what))?);
    }
    for word in &proxy.from {
        let name = word.get_ref();
        if !lists.contains(name.as_str()) {
            let what = format!("there is no [[feed]] or [[list]] called `{name}`");
            return Err(wrong("from", &lines.place(word), what));
        }
    }
    Ok(Proxy {
        name: name.clone(),
        addresses,
        from: proxy.from.iter().map(Spanned::get_ref).cloned().collect(),
    })
}

fn prefixes(word: &str) -> Result<Vec<Prefix>, String> {
    let target: Target = word.parse().map_err(|error| format!("{error}"))?;
    if let Some(named) = target.named() {
        return Err(format!("`{named}` is no address; a proxy has addresses"));
    }
    target
        .check_width(false)
        .map_err(|error| error.to_string())?;
    Ok(target.prefixes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let texts = vec![("bot-agent.toml".into(), text.to_owned())];
        Config::from_texts(texts).map(|(config, _)| config)
    }

    #[test]
    fn proxies_are_addresses_and_names_of_lists() {
        let cdn = "[[list]]\nname = \"cdn\"\nfile = \"/cdn\"\naction = \"monitor\"\n";
        let proxy = |rest: &str| format!("{cdn}[[proxy]]\n{rest}\n");
        let text =
            proxy("name = \"front\"\naddresses = [\"192.0.2.1-192.0.2.2\"]\nfrom = [\"cdn\"]");
        let config = parse(&text).unwrap();
        let [front] = &config.proxies[..] else {
            panic!("{:?}", config.proxies)
        };
        let addresses: Vec<String> = front.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(
            (front.name.as_str(), &front.from[..]),
            ("front", &["cdn".to_owned()][..])
        );

        let refused = |rest: &str| parse(&proxy(rest)).unwrap_err().to_string();
        assert_eq!(
            refused("name = \"front\"\n"),
            "bot-agent.toml:5: addresses: the proxy has none; give `addresses`, or `from` with names of lists"
        );
        assert_eq!(
            refused("name = \"front\"\nfrom = [\"cdn\",\n\"cnd\"]"),
            "bot-agent.toml:8: from: there is no [[feed]] or [[list]] called `cnd`"
        );
        assert_eq!(
            refused("name = \"Front end\"\nfrom = [\"cdn\"]"),
            "bot-agent.toml:6: name: `Front end` must have 1 to 32 of the characters a-z, 0-9, - and _"
        );
        assert_eq!(
            refused("name = \"front\"\naddresses = [\"AS64500\"]"),
            "bot-agent.toml:7: addresses: `AS64500` is no address; a proxy has addresses"
        );
        assert!(refused("name = \"front\"\naddresses = [\"0.0.0.0/0\"]").contains("wider than /8"));
        let again =
            "name = \"front\"\nfrom = [\"cdn\"]\n[[proxy]]\nname = \"front\"\nfrom = [\"cdn\"]";
        assert_eq!(
            refused(again),
            "bot-agent.toml:8: name: two proxies are called `front`"
        );
    }
}
