//! The index of crawlers: who has which suffix.
//!
//! What is built in comes first; a file that the configuration names adds to it. A record of the file
//! takes the place of the built-in one of its name.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use super::{
    built_in::BUILT_IN,
    name::{HostName, Suffix},
};
use crate::feeds::category::Category;

/// Bad records that are shown.
const SHOWN: usize = 5;

/// A crawler whose machines have names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Crawler {
    /// What it calls itself.
    pub name: Box<str>,
    /// Who sends it out; empty if nobody says.
    pub operator: Box<str>,
    /// What kind of crawler it is.
    pub category: Category,
    /// How the names of its machines end; one at least.
    pub suffixes: Vec<Suffix>,
}

/// All crawlers that can be verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Crawlers(Vec<Arc<Crawler>>);

/// What an index file says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Index {
    /// Those with suffixes.
    pub crawlers: Vec<Crawler>,
    /// Records, the bad ones and those without suffixes among them.
    pub records: usize,
    /// Records that could not be read.
    pub bad: usize,
    /// The first five of those: name and reason.
    pub shown: Vec<String>,
}

/// A file that is no index.
#[derive(Debug, thiserror::Error)]
#[error("the index of crawlers is no JSON object of records: {0}")]
pub struct IndexError(#[from] serde_json::Error);

/// What a record may say; more is ignored.
#[derive(Deserialize)]
struct Record {
    name: Option<String>,
    operator: Option<String>,
    category: Option<String>,
    rdns_suffixes: Option<Vec<String>>,
}

impl Index {
    /// Reads an object of records.
    pub fn read(bytes: &[u8]) -> Result<Self, IndexError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let records: BTreeMap<String, Value> = serde_json::from_slice(bytes)?;
        let mut index = Self::default();
        for (key, value) in records {
            index.records += 1;
            match crawler(&key, value) {
                Ok(Some(crawler)) => index.crawlers.push(crawler),
                Ok(None) => {}
                Err(why) => {
                    index.bad += 1;
                    if index.shown.len() < SHOWN {
                        index.shown.push(format!("{key}: {why}"));
                    }
                }
            }
        }
        Ok(index)
    }
}

impl Crawlers {
    /// Those that are built in.
    pub fn built_in() -> Self {
        let crawlers = BUILT_IN.iter().map(|one| Crawler {
            name: one.name.into(),
            operator: one.operator.into(),
            category: one.category,
            // Each is one; a test says so.
            suffixes: one
                .suffixes
                .iter()
                .flat_map(|text| Suffix::parse(text))
                .collect(),
        });
        Self(crawlers.map(Arc::new).collect())
    }

    /// With those of an index, which take the place of earlier ones of their name.
    #[must_use]
    pub fn with(mut self, index: Index) -> Self {
        for crawler in index.crawlers {
            self.0
                .retain(|earlier| !earlier.name.eq_ignore_ascii_case(&crawler.name));
            self.0.push(Arc::new(crawler));
        }
        self
    }

    /// Whose name this would be; of several the one with the longest suffix, then the earlier.
    pub fn named(&self, host: &HostName) -> Option<&Arc<Crawler>> {
        let mut best: Option<(usize, &Arc<Crawler>)> = None;
        for crawler in &self.0 {
            let fitting = crawler.suffixes.iter().filter(|suffix| suffix.covers(host));
            if let Some(length) = fitting.map(|suffix| suffix.as_str().len()).max()
                && best.is_none_or(|(longest, _)| longest < length)
            {
                best = Some((length, crawler));
            }
        }
        best.map(|(_, crawler)| crawler)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Crawler> {
        self.0.iter().map(Arc::as_ref)
    }
}

/// The crawler of a record; `None` if its machines have no names.
fn crawler(key: &str, value: Value) -> Result<Option<Crawler>, String> {
    let record: Record = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let suffixes = record.rdns_suffixes.unwrap_or_default();
    if suffixes.is_empty() {
        return Ok(None);
    }
    let suffixes = suffixes.iter().map(|text| Suffix::parse(text));
    let suffixes = suffixes.collect::<Result<_, _>>();
    Ok(Some(Crawler {
        name: record.name.unwrap_or_else(|| key.to_owned()).into(),
        operator: record.operator.unwrap_or_default().into(),
        category: category(record.category.as_deref().unwrap_or_default()),
        suffixes: suffixes.map_err(|error| error.to_string())?,
    }))
}

/// Our category for one of an index, by our names and by those that others use.
fn category(text: &str) -> Category {
    let text = text.to_ascii_lowercase().replace('_', "-");
    let same = Category::ALL.into_iter().find(|ours| ours.name() == text);
    same.unwrap_or(match text.as_str() {
        "search" => Category::CrawlerSearch,
        // Fetched for one question of one user.
        "ai-search" | "user-fetch" | "ai-assistant" => Category::CrawlerAiSearch,
        "ai-training" | "dataset" => Category::CrawlerAiTraining,
        _ => Category::Tool,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::real_data;

    fn host(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn name<'a>(crawlers: &'a Crawlers, text: &str) -> Option<&'a str> {
        crawlers.named(&host(text)).map(|crawler| &*crawler.name)
    }

    #[test]
    fn what_is_built_in_has_all_its_suffixes() {
        let crawlers = Crawlers::built_in();
        for (crawler, built_in) in crawlers.iter().zip(BUILT_IN) {
            let suffixes = crawler.suffixes.iter().map(Suffix::as_str);
            assert!(suffixes.eq(built_in.suffixes.iter().copied()));
        }
        assert_eq!(name(&crawlers, "crawl-1.googlebot.com"), Some("Googlebot"));
        assert_eq!(name(&crawlers, "msnbot-1.search.msn.com"), Some("bingbot"));
        assert_eq!(name(&crawlers, "1.bc.googleusercontent.com"), None);
        assert_eq!(name(&crawlers, "www.msn.com"), None);
    }

    #[test]
    fn an_index_names_crawlers_and_bad_records_are_counted() {
        let text = br#"{
            "a": {"name": "A-Bot", "operator": "A", "category": "ai-training",
                  "rdns_suffixes": ["a.example.net", ".a.example.org"], "ua": 7, "new": {}},
            "b": {"category": "surprise", "rdns_suffixes": ["b.example.net"]},
            "c": {"name": "C", "category": "search", "rdns_suffixes": []},
            "d": {"name": "D", "rdns_suffixes": ["net"]},
            "e": {"name": "E", "rdns_suffixes": "e.example.net"},
            "f": null
        }"#;
        let index = Index::read(text).unwrap();
        assert_eq!((index.records, index.bad), (6, 3));
        assert!(
            index.shown[0].starts_with("d: `net` is no suffix"),
            "{:?}",
            index.shown
        );
        let crawlers = index.crawlers.iter();
        let crawlers: Vec<_> = crawlers.map(|c| (&*c.name, c.category)).collect();
        assert_eq!(
            crawlers,
            [
                ("A-Bot", Category::CrawlerAiTraining),
                ("b", Category::Tool)
            ]
        );
        assert_eq!(index.crawlers[0].suffixes[1].as_str(), "a.example.org");
    }

    #[test]
    fn what_is_no_object_is_no_index() {
        for text in ["", "[]", "{", "<html>", "7"] {
            let error = Index::read(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with("the index of crawlers is no JSON object"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_record_takes_the_place_of_the_built_in_one() {
        let text = br#"{"x": {"name": "GOOGLEBOT", "rdns_suffixes": ["crawl.example.net"]}}"#;
        let crawlers = Crawlers::built_in().with(Index::read(text).unwrap());
        assert_eq!(name(&crawlers, "1.googlebot.com"), None);
        assert_eq!(name(&crawlers, "1.crawl.example.net"), Some("GOOGLEBOT"));
        assert_eq!(name(&crawlers, "1.search.msn.com"), Some("bingbot"));
    }

    #[test]
    fn the_longest_suffix_decides() {
        let text = br#"{
            "a": {"rdns_suffixes": ["example.net"]},
            "b": {"rdns_suffixes": ["crawl.example.net"]}
        }"#;
        let crawlers = Crawlers::built_in().with(Index::read(text).unwrap());
        assert_eq!(name(&crawlers, "1.crawl.example.net"), Some("b"));
        assert_eq!(name(&crawlers, "1.example.net"), Some("a"));
    }

    #[test]
    fn categories_have_our_names_or_those_of_others() {
        for ours in Category::ALL {
            assert_eq!(category(ours.name()), ours);
        }
        assert_eq!(category("AI_Training"), Category::CrawlerAiTraining);
        assert_eq!(category("user-fetch"), Category::CrawlerAiSearch);
        assert_eq!(category("seo"), Category::Tool);
        assert_eq!(category(""), Category::Tool);
    }

    #[test]
    fn a_real_index_is_read_without_a_bad_record() {
        let Some(folder) = real_data::folder("feeds") else {
            return;
        };
        let Ok(bytes) = std::fs::read(folder.join("crawlers/index.json")) else {
            eprintln!("skipped: no crawlers/index.json in {}", folder.display());
            return;
        };
        let index = Index::read(&bytes).unwrap();
        assert_eq!(
            (index.records, index.bad, index.crawlers.len()),
            (150, 0, 6)
        );
        let crawlers = Crawlers::built_in().with(index);
        assert_eq!(name(&crawlers, "1.web.naver.com"), Some("Yeti"));
        assert_eq!(name(&crawlers, "1.search.msn.com"), Some("bingbot"));
        assert_eq!(
            name(&crawlers, "petalbot-1.petalsearch.com"),
            Some("PetalBot")
        );
    }

    proptest! {
        #[test]
        fn any_records_are_read_or_counted(
            records in prop::collection::btree_map(
                ".{0,8}",
                (".{0,8}", ".{0,20}", any::<bool>()),
                0..20,
            ),
            cut in any::<prop::sample::Index>(),
        ) {
            let record = |(category, suffix, odd): &(String, String, bool)| {
                let suffixes = if *odd { Value::from(7) } else { Value::from(vec![suffix.as_str()]) };
                serde_json::json!({"category": category, "rdns_suffixes": suffixes})
            };
            let all = records.iter().map(|(key, value)| (key.clone(), record(value)));
            let text = Value::Object(all.collect()).to_string();
            let index = Index::read(text.as_bytes()).unwrap();
            prop_assert_eq!(index.records, records.len());
            prop_assert_eq!(index.crawlers.len() + index.bad, records.len());
            prop_assert!(index.shown.len() <= SHOWN);
            let cut = &text.as_bytes()[..cut.index(text.len())];
            prop_assert!(Index::read(cut).is_err());
        }
    }
}
