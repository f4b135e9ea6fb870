//! Feeds: from the `[[feed]]`s and what belongs to them to what is to be fetched and what it is good
//! for.

use std::{collections::BTreeSet, time::Duration};

use toml::Spanned;

use super::{
    error::ConfigError,
    feed_source::{FeedSource, source},
    keys::wrong,
    layers::{Layers, Lines, Place},
    lists::{List, is_name},
    raw::{self, FeedWord},
};
use crate::{
    feeds::{
        category::Category,
        format::Format,
        rail::Rail,
        reputation::{POPULAR, SCORES},
    },
    policy::Score,
    rules::{duration, rule::Scope},
};

/// A `[[feed]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Feed {
    /// Its name, told apart from those of all other feeds and lists.
    pub name: String,
    /// Where it comes from.
    pub source: FeedSource,
    /// How it is read; nothing: found out from the content.
    pub format: Option<Format>,
    /// How often it is fetched; of a file how often it is expected to be another one.
    pub every: Duration,
    /// What its entries are good for.
    pub role: Role,
    /// What kind of sources it names.
    pub category: Option<Category>,
    /// Feeds that copy each other share one; its own name unless configured.
    pub group: String,
    /// Entries of which the publisher is less sure are left out, 0 to 100.
    pub min_confidence: u8,
    /// Time after which an entry that was not seen again weighs half.
    pub half_life: Option<Duration>,
    /// How long an entry stays after it was last seen in the feed.
    pub grace: Duration,
    /// Which packets.
    pub scope: Scope,
    /// Only count and report.
    pub monitor: bool,
    /// Rails that it is trusted to go without.
    pub loosen: BTreeSet<Rail>,
}

/// What the entries of a feed are good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// They are exempt from feeds, ASN and country rules.
    Allow,
    /// Too many people share them: exempt from feeds and scores.
    Guard,
    /// This happens to their packets.
    Act(FeedAction),
    /// Evidence of this weight.
    Weigh(Score),
    /// What the policy for its category says.
    ByCategory,
}

/// What happens to sources that a feed names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FeedAction {
    /// Counted and reported.
    Monitor,
    /// Slowed down.
    Throttle,
    /// Passed on, to be challenged by a proxy.
    Challenge,
    /// Dropped.
    Block,
}

impl FeedAction {
    /// Its name in the configuration and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Throttle => "throttle",
            Self::Challenge => "challenge",
            Self::Block => "block",
        }
    }
}

/// How often whoever writes a file is expected to, unless configured; it is looked at all the time.
const FILE_EVERY: Duration = Duration::from_hours(24);
/// How often a web server is asked.
const HTTP_EVERY: Duration = Duration::from_hours(6);
/// How often decisions are asked for.
const CROWDSEC_EVERY: Duration = Duration::from_secs(10);
/// All feeds, in the order of the files.
pub(super) fn feeds(layers: &Layers, lists: &[List]) -> Result<Vec<Feed>, ConfigError> {
    let mut names: BTreeSet<&str> = lists.iter().map(|list| list.name.as_str()).collect();
    let mut feeds = Vec::new();
    names.extend([SCORES, POPULAR]);
    for (feed, place, lines) in layers.entries(|raw| &raw.feed) {
        let name = feed.name.get_ref();
        if !names.insert(name) {
            let what = format!("two feeds or lists are called `{name}`");
            return Err(wrong("name", &lines.place(&feed.name), what));
        }
        feeds.push(checked(feed, &place, lines)?);
    }
    Ok(feeds)
}

fn checked(feed: &raw::Feed, place: &Place, lines: Lines<'_>) -> Result<Feed, ConfigError> {
    let name = feed.name.get_ref();
    if !is_name(name) {
        let what = format!("`{name}` must have 1 to 32 of the characters a-z, 0-9, - and _");
        return Err(wrong("name", &lines.place(&feed.name), what));
    }
    let source = source(feed, place, lines)?;
    let every = match &source {
        FeedSource::File(_) => FILE_EVERY,
        FeedSource::Http(_) => HTTP_EVERY,
        FeedSource::CrowdSec(_) => CROWDSEC_EVERY,
    };
    let role = role(feed, &source, place, lines)?;
    if let (Some(scope), Role::Allow | Role::Guard) = (&feed.scope, role) {
        let what = "has no meaning for a feed that exempts";
        return Err(wrong("scope", &lines.place(scope), what));
    }
    if let (Some(half_life), false) = (&feed.half_life, matches!(role, Role::Weigh(_))) {
        let what = "only a feed with a `weight` has one";
        return Err(wrong("half_life", &lines.place(half_life), what));
    }
    Ok(Feed {
        name: name.clone(),
        format: format(feed, &source, lines)?,
        source,
        every: time("every", feed.every.as_ref(), lines)?.unwrap_or(every),
        role,
        category: feed.category.as_ref().map(|it| *it.get_ref()),
        group: group(feed, lines)?,
        min_confidence: number("min_confidence", feed.min_confidence.as_ref(), 100, lines)?
            .unwrap_or(0),
        half_life: time("half_life", feed.half_life.as_ref(), lines)?,
        grace: time("grace", feed.grace.as_ref(), lines)?.unwrap_or(Duration::ZERO),
        scope: feed
            .scope
            .as_ref()
            .map_or(Scope::Services, |scope| *scope.get_ref()),
        monitor: feed.monitor.as_ref().is_some_and(|it| *it.get_ref()),
        loosen: feed
            .loosen
            .iter()
            .flatten()
            .map(|it| *it.get_ref())
            .collect(),
    })
}

fn role(
    feed: &raw::Feed,
    source: &FeedSource,
    place: &Place,
    lines: Lines<'_>,
) -> Result<Role, ConfigError> {
    let weight = number::<u8>("weight", feed.weight.as_ref(), 100, lines)?.and_then(Score::new);
    match (&feed.action, weight, &feed.category) {
        (Some(action), Some(_), _) => {
            let what = "a feed has an `action` or a `weight`, not both";
            Err(wrong("action", &lines.place(action), what))
        }
        (Some(action), None, _) => Ok(match action.get_ref() {
            FeedWord::Allow => Role::Allow,
            FeedWord::Guard => Role::Guard,
            FeedWord::Monitor => Role::Act(FeedAction::Monitor),
            FeedWord::Throttle => Role::Act(FeedAction::Throttle),
            FeedWord::Challenge => Role::Act(FeedAction::Challenge),
            FeedWord::Block => Role::Act(FeedAction::Block),
        }),
        (None, Some(weight), _) => Ok(Role::Weigh(weight)),
        (None, None, Some(_)) => Ok(Role::ByCategory),
        // Its decisions say what is to be done.
        (None, None, None) if matches!(source, FeedSource::CrowdSec(_)) => {
            Ok(Role::Act(FeedAction::Block))
        }
        (None, None, None) => {
            let what = "says what its entries are good for by `action`, `weight` or `category`";
            Err(wrong("feed", place, what))
        }
    }
}

fn format(
    feed: &raw::Feed,
    source: &FeedSource,
    lines: Lines<'_>,
) -> Result<Option<Format>, ConfigError> {
    let Some(format) = &feed.format else {
        return Ok(None);
    };
    let at = lines.place(format);
    if matches!(source, FeedSource::CrowdSec(_)) {
        return Err(wrong("format", &at, "decisions have a form of their own"));
    }
    Ok(Some(format.get_ref().clone()))
}

fn group(feed: &raw::Feed, lines: Lines<'_>) -> Result<String, ConfigError> {
    match &feed.group {
        None => Ok(feed.name.get_ref().clone()),
        Some(group) if is_name(group.get_ref()) => Ok(group.get_ref().clone()),
        Some(group) => {
            let name = group.get_ref();
            let what = format!("`{name}` must have 1 to 32 of the characters a-z, 0-9, - and _");
            Err(wrong("group", &lines.place(group), what))
        }
    }
}

pub(super) fn time(
    key: &str,
    field: Option<&Spanned<String>>,
    lines: Lines<'_>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = field else { return Ok(None) };
    let time = duration::parse(text.get_ref());
    time.map(Some)
        .map_err(|error| wrong(key, &lines.place(text), error))
}

pub(super) fn number<N: TryFrom<u64>>(
    key: &str,
    field: Option<&Spanned<u64>>,
    most: u64,
    lines: Lines<'_>,
) -> Result<Option<N>, ConfigError> {
    let Some(number) = field else { return Ok(None) };
    let value = *number.get_ref();
    let fits = N::try_from(value).ok().filter(|_| value <= most);
    fits.map(Some).ok_or_else(|| {
        let what = format!("{value} is not within 0 to {most}");
        wrong(key, &lines.place(number), what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError};

    fn parse(text: &str) -> Result<Vec<Feed>, ConfigError> {
        let texts = vec![("a.toml".into(), text.to_owned())];
        Config::from_texts(texts).map(|(config, _)| config.feeds)
    }

    fn refusal(rest: &str) -> String {
        let text = format!("[[feed]]\nname = \"a\"\n{rest}\n");
        parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn a_feed_says_where_it_comes_from_and_what_it_is_good_for() {
        let feeds = parse(
            "[[feed]]\nname = \"one\"\nfile = \"/a\"\naction = \"block\"\n\
             [[feed]]\nname = \"two\"\nurl = \"https://192.0.2.1/list?x=1\"\nweight = 70\ngroup = \"g\"\n\
             half_life = \"7d\"\ngrace = \"1d\"\nbearer = \"/secret\"\nloosen = [\"wide\", \"change\"]\n\
             [[feed]]\nname = \"three\"\nfile = \"/b\"\ncategory = \"crawler-search\"\n\
             [[feed]]\nname = \"four\"\ncrowdsec = \"http://127.0.0.1:8080/\"\nbearer = \"credential:lapi\"\n",
        )
        .unwrap();
        let roles = feeds.iter().map(|feed| feed.role).collect::<Vec<_>>();
        let weight = Score::new(70).unwrap();
        assert_eq!(
            roles,
            [
                Role::Act(FeedAction::Block),
                Role::Weigh(weight),
                Role::ByCategory,
                Role::Act(FeedAction::Block)
            ]
        );
        assert_eq!(
            (feeds[0].group.as_str(), feeds[1].group.as_str()),
            ("one", "g")
        );
        assert_eq!(feeds[1].loosen, [Rail::Wide, Rail::Change].into());
        assert_eq!(feeds[1].half_life, Some(Duration::from_hours(168)));
        assert_eq!(feeds[2].category, Some(Category::CrawlerSearch));
        assert!(matches!(&feeds[3].source, FeedSource::CrowdSec(http) if http.bearer.is_some()));
        let every: Vec<u64> = feeds.iter().map(|feed| feed.every.as_secs()).collect();
        assert_eq!(every, [86_400, 21_600, 86_400, 10]);
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_line() {
        let cases = [
            ("action = \"block\"", "a.toml:1: feed: says where"),
            (
                "file = \"/a\"\nurl = \"http://192.0.2.1/\"\naction = \"block\"",
                "a.toml:1: feed: says where",
            ),
            (
                "file = \"a\"\naction = \"block\"",
                "a.toml:3: file: `a` is no absolute path",
            ),
            ("file = \"/a\"", "a.toml:1: feed: says what its entries"),
            (
                "file = \"/a\"\naction = \"block\"\nweight = 3",
                "a.toml:4: action: a feed has an `action` or a `weight`",
            ),
            (
                "file = \"/a\"\nweight = 101",
                "a.toml:4: weight: 101 is not within 0 to 100",
            ),
            (
                "file = \"/a\"\naction = \"block\"\nbearer = \"/b\"",
                "a.toml:5: bearer: a file needs none",
            ),
            (
                "file = \"/a\"\naction = \"allow\"\nscope = \"all\"",
                "a.toml:5: scope: has no meaning",
            ),
            (
                "file = \"/a\"\naction = \"block\"\nhalf_life = \"1d\"",
                "a.toml:5: half_life: only a feed with a `weight`",
            ),
            (
                "url = \"ftp://192.0.2.1/a\"\naction = \"block\"",
                "a.toml:3: url: is no address of a web server",
            ),
            (
                "url = \"https://me:pw@192.0.2.1/a\"\naction = \"block\"",
                "a.toml:3: url: must not name a user",
            ),
            (
                "crowdsec = \"http://127.0.0.1:8080\"",
                "a.toml:3: crowdsec: needs `bearer`",
            ),
            (
                "url = \"https://192.0.2.1/a\"\naction = \"block\"\nbasic = \"pw\"",
                "a.toml:5: basic: `pw` is no absolute path",
            ),
            (
                "file = \"/a\"\naction = \"block\"\nevery = \"6\"",
                "a.toml:5: every: `6` has no unit",
            ),
        ];
        for (rest, expected) in cases {
            let refusal = refusal(rest);
            assert!(refusal.starts_with(expected), "{rest}: {refusal}");
        }
        let twice = "[[list]]\nname = \"a\"\nfile = \"/a\"\naction = \"block\"\n\
                     [[feed]]\nname = \"a\"\nfile = \"/a\"\naction = \"block\"\n";
        let refusal = parse(twice).unwrap_err().to_string();
        assert_eq!(refusal, "a.toml:6: name: two feeds or lists are called `a`");
    }
}
