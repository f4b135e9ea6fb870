//! Categories: what kind of source a feed names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of source a feed names. Policies are made for categories.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Sources of attacks, spam, credential stuffing.
    Abuse,
    /// Sources that look for open doors.
    Scanner,
    /// Exits of the Tor network.
    Tor,
    /// Exits of VPN services.
    Vpn,
    /// Open and residential proxies.
    Proxy,
    /// Data centres and clouds.
    Hosting,
    /// Crawlers of search engines.
    CrawlerSearch,
    /// Crawlers that answer with the help of a language model.
    CrawlerAiSearch,
    /// Crawlers that collect texts to train models.
    CrawlerAiTraining,
    /// Monitors, feed readers, previews and the like.
    Tool,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Abuse,
        Self::Scanner,
        Self::Tor,
        Self::Vpn,
        Self::Proxy,
        Self::Hosting,
        Self::CrawlerSearch,
        Self::CrawlerAiSearch,
        Self::CrawlerAiTraining,
        Self::Tool,
    ];

    /// Its name in the configuration and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abuse => "abuse",
            Self::Scanner => "scanner",
            Self::Tor => "tor",
            Self::Vpn => "vpn",
            Self::Proxy => "proxy",
            Self::Hosting => "hosting",
            Self::CrawlerSearch => "crawler-search",
            Self::CrawlerAiSearch => "crawler-ai-search",
            Self::CrawlerAiTraining => "crawler-ai-training",
            Self::Tool => "tool",
        }
    }

    /// Whether who is in it says who it is, so that its addresses can be verified.
    pub const fn is_crawler(self) -> bool {
        matches!(
            self,
            Self::CrawlerSearch | Self::CrawlerAiSearch | Self::CrawlerAiTraining
        )
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_configuration() {
        for category in Category::ALL {
            let json = serde_json::to_string(&category).unwrap();
            assert_eq!(json, format!("\"{category}\""));
            assert_eq!(serde_json::from_str::<Category>(&json).unwrap(), category);
        }
    }
}
