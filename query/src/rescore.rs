//! Rescoring: small additions to the fused score for what passages alone do not show.
//!
//! Pure. The title of the page, the nearness of the query's words, and the age of the page each add at most their
//! weight to a fused score between 0 and 1, so they settle close calls and do not turn the ranking over. All are 0 to 1
//! here; weights are in [`RescoreConfig`].

use std::collections::{HashMap, HashSet};

use index::analysis::{Analyzer, Language, QueryWord, Tokens};
use jiff::Timestamp;

use crate::config::RescoreConfig;

/// The words of a query, analysed once for each language of the texts that they meet.
#[derive(Debug)]
pub struct QueryWords<'a> {
    text: &'a str,
    by_language: HashMap<Language, Vec<QueryWord>>,
}

impl<'a> QueryWords<'a> {
    /// The words of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, by_language: HashMap::new() }
    }

    /// The words as they may stand in a text of this language.
    pub fn of(&mut self, language: Language) -> &[QueryWord] {
        let words = || Analyzer::new().query_terms(self.text, &[language]);
        self.by_language.entry(language).or_insert_with(words)
    }
}

/// The language that titles and queries are analysed in to be compared. Titles are short, so their language can often
/// not be told; any will do as long as both sides have the same, since scripts other than Latin do not depend on it.
pub const TITLE_LANGUAGE: Language = Language::English;

/// The words of a query as they are sought in titles.
#[derive(Debug)]
pub struct TitleWords<'a> {
    /// What each word counts.
    weights: Vec<f32>,
    /// The words that each term stands for.
    by_term: HashMap<&'a str, Vec<usize>>,
    /// Of all weights.
    total: f32,
    /// Of the weights of the words that cover the query.
    mean: f32,
}

impl<'a> TitleWords<'a> {
    /// `words` are those of [`TITLE_LANGUAGE`], `rarities` how rare each of them is.
    pub fn new(words: &'a [QueryWord], rarities: &[f32]) -> Self {
        let weights: Vec<f32> = words.iter().zip(rarities).map(|(word, rarity)| word.weight() * rarity).collect();
        let mut by_term: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, word) in words.iter().enumerate() {
            for term in &word.terms {
                by_term.entry(term).or_default().push(at);
            }
        }
        let covering = words.iter().zip(&weights).filter(|(word, _)| word.in_phrase);
        let (count, sum) = covering.fold((0, 0.0), |(count, sum), (_, weight)| (count + 1, sum + weight));
        Self { total: weights.iter().sum(), mean: sum / count.max(1) as f32, weights, by_term }
    }

    /// How much of the query is in the title and of the title in the query, 0 to 1: one when the title is the query.
    ///
    /// The geometric mean of two shares, each of words that count as much as they are rare: for words that count alike it is
    /// the cosine of the two sets of words (Ochiai's coefficient). A word of the title that is not in the query counts as a
    /// word of the query does on average.
    pub fn match_of(&self, title: &str, tokens: &mut Tokens) -> f32 {
        if self.total <= 0.0 || title.is_empty() {
            return 0.0;
        }
        Analyzer::new().tokens(title, TITLE_LANGUAGE, tokens);
        let mut found: HashSet<usize> = HashSet::new();
        let mut weights: HashMap<u32, f32> = HashMap::new();
        for token in tokens.iter() {
            let weight = weights.entry(token.position).or_default();
            for &at in self.by_term.get(token.term).into_iter().flatten() {
                found.insert(at);
                *weight = weight.max(self.weights[at]);
            }
        }
        let covered: f32 = weights.values().sum();
        if covered <= 0.0 {
            return 0.0;
        }
        let others = weights.values().filter(|weight| **weight <= 0.0).count() as f32;
        let of_query = found.iter().map(|&at| self.weights[at]).sum::<f32>() / self.total;
        let of_title = covered / (covered + others * self.mean);
        (of_query * of_title).sqrt()
    }
}

/// How near the words of the query stand in a text, 0 to 1: one when all stand side by side, nothing for a single word.
///
/// The words that occur, over the length of the shortest stretch that holds all of them, times the share that occurs.
pub fn proximity(words: &[QueryWord], text: &str, language: Language, tokens: &mut Tokens) -> f32 {
    let units: HashSet<u32> = words.iter().map(|word| word.unit).collect();
    if units.len() < 2 {
        return 0.0;
    }
    Analyzer::new().tokens(text, language, tokens);
    let unit_of = units_by_term(words);
    let mut places: Vec<(u32, u32)> = Vec::new();
    for token in tokens.iter() {
        let units = unit_of.get(token.term).into_iter().flatten();
        places.extend(units.map(|&unit| (token.position, unit)));
    }
    places.sort_unstable();
    let Some((found, stretch)) = shortest_stretch(&places) else { return 0.0 };
    if found < 2 {
        return 0.0;
    }
    let nearness = (found as f32 / stretch as f32).min(1.0);
    nearness * found as f32 / units.len() as f32
}

/// How fresh a page is, `floor` to 1: half of what is above the floor is gone after one half-life.
pub fn recency(edited_at: Option<Timestamp>, now: Timestamp, config: &RescoreConfig) -> f32 {
    let Some(edited_at) = edited_at else { return config.recency_floor };
    let age_days = (now.as_second().saturating_sub(edited_at.as_second())).max(0) as f32 / 86_400.0;
    let fresh = 0.5f32.powf(age_days / config.recency_half_life_days);
    config.recency_floor + (1.0 - config.recency_floor) * fresh
}

fn units_by_term(words: &[QueryWord]) -> HashMap<&str, Vec<u32>> {
    let mut units: HashMap<&str, Vec<u32>> = HashMap::new();
    for word in words {
        for term in &word.terms {
            let of_term = units.entry(term).or_default();
            if !of_term.contains(&word.unit) {
                of_term.push(word.unit);
            }
        }
    }
    units
}

/// How many different units occur in `(position, unit)` pairs, ascending, and the positions in the shortest stretch
/// that holds each of them once.
fn shortest_stretch(places: &[(u32, u32)]) -> Option<(usize, u32)> {
    let wanted = places.iter().map(|(_, unit)| unit).collect::<HashSet<_>>().len();
    let mut inside: HashMap<u32, usize> = HashMap::new();
    let mut first = 0;
    let mut shortest = None;
    for &(position, unit) in places {
        *inside.entry(unit).or_default() += 1;
        while inside.len() == wanted {
            let (start, leaving) = places[first];
            let stretch = position - start + 1;
            shortest = Some(shortest.map_or(stretch, |least: u32| least.min(stretch)));
            if let Some(count) = inside.get_mut(&leaving) {
                *count -= 1;
                if *count == 0 {
                    inside.remove(&leaving);
                }
            }
            first += 1;
        }
    }
    shortest.map(|stretch| (wanted, stretch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(query: &str, text: &str) -> f32 {
        let mut words = QueryWords::new(query);
        proximity(words.of(Language::English), text, Language::English, &mut Tokens::new())
    }

    fn titled(query: &str, title: &str) -> f32 {
        let mut words = QueryWords::new(query);
        let words = words.of(TITLE_LANGUAGE);
        TitleWords::new(words, &vec![1.0; words.len()]).match_of(title, &mut Tokens::new())
    }

    #[test]
    fn a_title_that_is_the_query_is_a_full_match() {
        assert!((titled("deploy runbook", "Deploy runbook") - 1.0).abs() < 1e-6);
        assert!(titled("deploy runbook", "Deploy runbook for the archive") < 1.0);
        assert!(titled("deploy runbook", "Deploy runbook archive") > titled("deploy runbook", "Deploy"));
        assert!(titled("deploy runbook", "Holiday plans").abs() < 1e-6);
        assert!(titled("", "Holiday plans").abs() < 1e-6);
    }

    #[test]
    fn rare_words_of_a_title_count_more() {
        let mut words = QueryWords::new("window mirroring");
        let words = words.of(TITLE_LANGUAGE);
        let titles = TitleWords::new(words, &[1.0, 5.0]);
        let matched = |title| titles.match_of(title, &mut Tokens::new());
        assert!(matched("Mirroring") > matched("Window"));
        assert!((matched("Window mirroring") - 1.0).abs() < 1e-6);
    }

    #[test]
    fn words_side_by_side_are_nearer_than_words_apart() {
        let (close, far) =
            (near("mirror coating", "the mirror coating"), near("mirror coating", "mirror one two coating"));
        assert!((close - 1.0).abs() < 1e-6 && far < close && far > 0.0, "{close} {far}");
        assert!(near("mirror", "mirror").abs() < 1e-6, "a single word is near nothing");
        assert!(near("mirror coating", "mirror mirror").abs() < 1e-6);
    }

    #[test]
    fn old_pages_keep_the_floor() {
        let config = RescoreConfig::default();
        let now = Timestamp::from_second(2_000_000_000).unwrap();
        let at = |days: i64| Some(Timestamp::from_second(2_000_000_000 - days * 86_400).unwrap());
        assert!((recency(at(0), now, &config) - 1.0).abs() < 1e-6);
        assert!((recency(at(90), now, &config) - 0.6).abs() < 1e-3);
        assert!((recency(at(100_000), now, &config) - 0.2).abs() < 1e-3);
        assert!((recency(None, now, &config) - 0.2).abs() < 1e-6);
        assert!((recency(at(-5), now, &config) - 1.0).abs() < 1e-6, "a clock ahead gives no more than now");
    }
}
