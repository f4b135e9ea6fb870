//! Crawlers whose operators document the reverse DNS of their machines.

use crate::feeds::category::Category;

/// One of them.
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    pub(super) operator: &'static str,
    pub(super) category: Category,
    pub(super) suffixes: &'static [&'static str],
}

/// `googleusercontent.com`, which Google names too, is left out: anybody's machine in its cloud has
/// such a name.
pub(super) const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "Googlebot",
        operator: "Google",
        category: Category::CrawlerSearch,
        suffixes: &["googlebot.com", "google.com"],
    },
    BuiltIn {
        name: "bingbot",
        operator: "Microsoft",
        category: Category::CrawlerSearch,
        suffixes: &["search.msn.com"],
    },
    BuiltIn {
        name: "Applebot",
        operator: "Apple",
        category: Category::CrawlerSearch,
        suffixes: &["applebot.apple.com"],
    },
    BuiltIn {
        name: "YandexBot",
        operator: "Yandex",
        category: Category::CrawlerSearch,
        suffixes: &["yandex.ru", "yandex.net", "yandex.com"],
    },
    BuiltIn {
        name: "Baiduspider",
        operator: "Baidu",
        category: Category::CrawlerSearch,
        suffixes: &["baidu.com", "baidu.jp"],
    },
    BuiltIn {
        name: "SeznamBot",
        operator: "Seznam.cz",
        category: Category::CrawlerSearch,
        suffixes: &["seznam.cz"],
    },
    BuiltIn {
        name: "PetalBot",
        operator: "Huawei",
        category: Category::CrawlerSearch,
        suffixes: &["petalsearch.com"],
    },
    BuiltIn {
        name: "Amazonbot",
        operator: "Amazon",
        category: Category::CrawlerAiSearch,
        suffixes: &["crawl.amazonbot.amazon"],
    },
];
