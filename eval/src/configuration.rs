//! Named configurations: what is compared. Each is a mode, the choices of the read side, and perhaps mistyped queries.
//!
//! Some are built in; others come from TOML files that say only what differs from the defaults:
//!
//! ```toml
//! name = "titles-count-more"       # the name of the file where it is absent
//! mode = "hybrid"                  # lexical, semantic or hybrid
//! mistype = 0.3                    # share of the long words that get a typing error; none where it is absent
//! [query]                          # as `[query]` of tessera.toml
//! semantic_weight = 0.4
//! [query.rescore]
//! title_weight = 0.2
//! ```
//!
//! Invariant: a key that does not exist, or a value out of its range, is refused.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use query::config::Config;
use schemas::api::search::{Fusion, FusionMethod, Mode, QUERY_CHARS_MAX, SearchRequest};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::typos::Typos;

/// The names of those built in.
pub const BUILT_IN: [&str; 4] = ["lexical", "semantic", "hybrid", "rrf"];
/// Begins the name of a built-in configuration whose queries are mistyped.
const MISTYPED: &str = "typos:";
/// Share of the long words that get an error where the name alone asks for errors.
const MISTYPED_SHARE: f64 = 0.3;
/// Where the errors begin; fixed, so that all configurations get the same ones.
const TYPOS_SEED: u64 = 1;
/// Largest file in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// What reports call it.
    pub name: String,
    /// Which retrievers are used.
    pub mode: Mode,
    /// Share of the long words of a query that get a typing error, 0 to 1; 0 for none.
    pub mistype: f64,
    /// The choices of the read side.
    pub query: Config,
}

/// What a file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    mistype: f64,
    #[serde(default)]
    query: Table,
}

impl Configuration {
    /// A built-in one by its name, or one from a `.toml` file. What neither says is as in `base`.
    pub fn named(name: &str, base: &Config) -> anyhow::Result<Self> {
        if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
            return Self::read(Path::new(name), base);
        }
        let (plain, mistype) = name.strip_prefix(MISTYPED).map_or((name, 0.0), |plain| (plain, MISTYPED_SHARE));
        let mut query = base.clone();
        let mode = match plain {
            "lexical" => Mode::Lexical,
            "semantic" => Mode::Semantic,
            "hybrid" => Mode::Hybrid,
            "rrf" => {
                query.fusion = FusionMethod::Rrf;
                Mode::Hybrid
            }
            _ => bail!(
                "there is no configuration {name}: name one of {}, the same with {MISTYPED} before it, or a file ending in .toml",
                BUILT_IN.join(", ")
            ),
        };
        Self { name: name.to_owned(), mode, mistype, query }.checked()
    }

    /// Reads a file.
    pub fn read(path: &Path, base: &Config) -> anyhow::Result<Self> {
        let file = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {file}"))?.len();
        ensure!(size <= FILE_BYTES_MAX, "{file} is larger than {FILE_BYTES_MAX} bytes");
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&text, &stem, base).with_context(|| format!("{file} is no configuration"))
    }

    fn parse(text: &str, stem: &str, base: &Config) -> anyhow::Result<Self> {
        let File { name, mode, mistype, query } = toml::from_str(text)?;
        let mut merged = Table::try_from(base).context("cannot write the defaults as TOML")?;
        merge(&mut merged, query);
        let query = merged.try_into()?;
        Self { name: name.unwrap_or_else(|| stem.to_owned()), mode, mistype, query }.checked()
    }

    fn checked(self) -> anyhow::Result<Self> {
        let is_name = !self.name.is_empty() && self.name.len() <= 100 && !self.name.contains(char::is_whitespace);
        ensure!(is_name, "a configuration has a name of 1 to 100 bytes without white space, not {:?}", self.name);
        ensure!((0.0..=1.0).contains(&self.mistype), "`mistype` must be from 0 to 1");
        self.query.check()?;
        Ok(self)
    }

    /// Whether it needs vectors.
    pub fn needs_meaning(&self) -> bool {
        self.mode != Mode::Lexical
    }

    /// The text that is asked for a query: its own, perhaps mistyped, and never longer than a request may hold.
    pub fn text(&self, query_id: &str, text: &str) -> String {
        let text = match self.mistype {
            share if share > 0.0 => Typos { seed: TYPOS_SEED, probability: share }.mistype(query_id, text),
            _ => text.to_owned(),
        };
        text.chars().take(QUERY_CHARS_MAX).collect()
    }

    /// The request for a text, to an engine that has the choices of this configuration.
    pub fn request(&self, text: &str, limit: u32) -> SearchRequest {
        SearchRequest {
            query: text.to_owned(),
            mode: self.mode,
            limit,
            score_details: true,
            ..SearchRequest::default()
        }
    }

    /// What a request has to say to a server that has choices of its own. Fails where a request cannot say it.
    pub fn fusion_of_request(&self, base: &Config) -> anyhow::Result<Option<Fusion>> {
        let Config { fusion, semantic_weight, .. } = base.clone();
        let alike = Config { fusion, semantic_weight, ..self.query.clone() };
        ensure!(
            alike == *base,
            "{} changes more of `[query]` than `fusion` and `semantic_weight`, which a request cannot: configure the server \
             so, and ask it for `hybrid`",
            self.name
        );
        let differs = self.query != *base;
        let weight = Some(self.query.semantic_weight);
        Ok(differs.then_some(Fusion { method: self.query.fusion, semantic_weight: weight }))
    }
}

/// Puts the values of `over` into the place of those in `table`, key by key.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => _ = table.insert(key, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Configuration, String> {
        let base = Config { depth: 150, ..Config::default() };
        Configuration::parse(text, "file", &base).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_file_says_only_what_differs() {
        let read = parse("mode = \"lexical\"\n[query.rescore]\ntitle_weight = 0.5\n").unwrap();
        assert_eq!((read.name.as_str(), read.mode, read.query.depth), ("file", Mode::Lexical, 150));
        let defaults = Config::default().rescore;
        assert_eq!(read.query.rescore, query::config::RescoreConfig { title_weight: 0.5, ..defaults });
    }

    #[test]
    fn unknown_keys_and_values_out_of_range_are_refused_by_name() {
        for (text, expected) in [
            ("mod = \"lexical\"", "mod"),
            ("[query]\ndepht = 3", "depht"),
            ("[query.rescore]\nheading_weight = 0.1", "heading_weight"),
            ("[query]\nsemantic_weight = 2", "semantic_weight"),
            ("mistype = 1.5", "mistype"),
            ("name = \"a b\"", "a b"),
            ("mode = \"both\"", "both"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn those_built_in_are_named() {
        for name in BUILT_IN {
            assert_eq!(Configuration::named(name, &Config::default()).unwrap().name, name);
        }
        let error = Configuration::named("bm25", &Config::default()).unwrap_err().to_string();
        assert!(error.contains("lexical, semantic, hybrid, rrf"), "{error}");
    }

    #[test]
    fn mistyped_queries_are_the_same_for_all_configurations() {
        let named = |name| Configuration::named(name, &Config::default()).unwrap();
        let text = |name| named(name).text("q1", "deploying Kubernetes clusters everywhere");
        assert_eq!(text("hybrid"), "deploying Kubernetes clusters everywhere");
        assert_eq!(text("typos:lexical"), text("typos:hybrid"));
        assert_ne!(text("typos:hybrid"), text("hybrid"));
    }

    #[test]
    fn what_a_request_cannot_say_is_refused() {
        let base = Config::default();
        let rrf = Configuration::named("rrf", &base).unwrap();
        assert_eq!(rrf.fusion_of_request(&base).unwrap().unwrap().method, FusionMethod::Rrf);
        assert_eq!(Configuration::named("hybrid", &base).unwrap().fusion_of_request(&base).unwrap(), None);
        let titles = Configuration::parse("[query.rescore]\ntitle_weight = 0.4", "titles", &base).unwrap();
        assert!(titles.fusion_of_request(&base).is_err());
    }
}
