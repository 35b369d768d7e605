//! The mask narrows every function of a searcher.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use index::{IndexError, LexicalQuery, Occur};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::content::{Content, clause, page, phrase, query_vector, words};

const TEXTS: [(&str, &str); 4] = [
    ("a", "harbour alphaword"),
    ("b", "harbour betaword harbour"),
    ("c", "harbour gammaword"),
    ("d", "deltaword alone"),
];

fn content() -> Content {
    let mut content = Content::new();
    for (id, text) in TEXTS {
        content.put("acme", id, "Shared title", &[text]);
    }
    content.commit();
    content
}

#[test]
fn every_subset_of_pages_is_all_that_is_found_by_words_and_by_meaning() {
    let content = content();
    let searcher = content.index.searcher();
    for bits in 0..1_u32 << TEXTS.len() {
        let allowed: Vec<&str> = (0..TEXTS.len()).filter(|at| bits >> at & 1 == 1).map(|at| TEXTS[at].0).collect();
        let mask = content.only("acme", &allowed);
        let with_word: Vec<&str> = allowed.iter().copied().filter(|id| *id != "d").collect();
        let mut found = content.found_under(&mask, &words("harbour"));
        found.sort();
        assert_eq!(found, with_word);
        let near = searcher.semantic(&mask, &query_vector("harbour"), 10).unwrap();
        let mut near = content.named(&mask, near);
        near.sort();
        assert_eq!(near, allowed);
    }
}

#[test]
fn the_best_permitted_one_is_found_whatever_stands_above_it() {
    let mut content = Content::new();
    for at in 0..300 {
        content.put("acme", &format!("p{at}"), "", &["harbour harbour harbour"]);
    }
    content.put("acme", "mine", "", &["one harbour among many other words that make it rank lower"]);
    content.commit();
    let mask = content.only("acme", &["mine"]);
    let searcher = content.index.searcher();
    assert_eq!(content.named(&mask, searcher.lexical(&mask, &words("harbour"), 1).unwrap()), ["mine"]);
    assert_eq!(content.named(&mask, searcher.semantic(&mask, &query_vector("harbour"), 1).unwrap()), ["mine"]);
}

#[test]
fn addresses_scores_passages_and_records_of_other_pages_are_not_given() {
    let content = content();
    let (all, searcher) = (content.mask("acme"), content.index.searcher());
    let none = content.only("acme", &["d"]);
    let query = words("harbour");
    let known = content.index.catalog().get(&crate::content::workspace("acme")).unwrap();
    for found in searcher.lexical(&all, &query, 10).unwrap() {
        let at = [found.address];
        assert!(searcher.bm25_of(&all, &query, &at).unwrap()[0].is_some());
        assert_eq!(searcher.bm25_of(&none, &query, &at).unwrap(), [None]);
        assert!(searcher.cosine_of(&all, &query_vector("x"), &at).unwrap()[0].is_some());
        assert_eq!(searcher.cosine_of(&none, &query_vector("x"), &at).unwrap(), [None]);
        assert!(searcher.passage(&all, at[0]).unwrap().is_some());
        assert!(searcher.passage(&none, at[0]).unwrap().is_none());
        assert!(searcher.vector_of(&all, at[0]).unwrap().is_some());
        assert!(searcher.vector_of(&none, at[0]).unwrap().is_none());
        assert_eq!(searcher.page_passages(&all, found.page).unwrap(), at);
        assert!(searcher.page_passages(&none, found.page).unwrap().is_empty());
        assert!(searcher.page_record(&all, found.page).unwrap().is_some());
        assert!(searcher.page_record(&none, found.page).unwrap().is_none());
    }
    let ordinal = known.read().access.ordinal_of(&page("d")).unwrap();
    assert_eq!(searcher.page_record(&none, ordinal).unwrap().unwrap().title.value().unwrap(), "Shared title");
}

#[test]
fn suggested_words_and_forgiven_typos_come_from_permitted_passages() {
    let content = content();
    let searcher = content.index.searcher();
    let mask = content.only("acme", &["a", "d"]);
    assert_eq!(searcher.suggest_terms(&content.mask("acme"), "beta", 5).unwrap(), ["betaword"]);
    assert!(searcher.suggest_terms(&mask, "beta", 5).unwrap().is_empty());
    assert_eq!(searcher.suggest_terms(&mask, "al", 5).unwrap(), ["alone", "alphaword"]);
    let typed = LexicalQuery { last_word_is_prefix: true, fuzzy: true, ..words("betawurd betaw") };
    assert!(content.found_under(&mask, &typed).is_empty());
}

#[test]
fn words_that_others_may_see_do_not_crowd_out_those_that_complete_what_was_typed() {
    let mut content = Content::new();
    for at in 0..100 {
        content.put("acme", &format!("p{at}"), "", &[&format!("har{at:03} har{at:03}x")]);
        content.put("acme", &format!("q{at}"), "", &[&format!("har{at:03} har{at:03}x")]);
    }
    content.put("acme", "mine", "", &["harvest"]);
    content.commit();
    let mask = content.only("acme", &["mine"]);
    let typed = LexicalQuery { last_word_is_prefix: true, ..words("har") };
    assert_eq!(content.found_under(&mask, &typed), ["mine"]);
}

/// Words of which none begins as another does, nor has another's stem.
const WORDS: [&str; 8] = ["bako", "delu", "fimo", "gatu", "kupo", "lemi", "nodu", "zaro"];

/// A random query, as words that any, all or none of which a text must hold, side by side where it is a phrase.
struct Wanted {
    any: Vec<&'static str>,
    all: Vec<&'static str>,
    none: Vec<&'static str>,
    phrase: Vec<&'static str>,
    /// Beginning of a word that counts like one of `any`.
    prefix: Option<&'static str>,
}

impl Wanted {
    fn draw(rng: &mut SmallRng) -> Self {
        let mut some = |len: usize, chance| {
            let len = if rng.random_bool(chance) { len } else { 0 };
            (0..len).map(|_| *WORDS.choose(rng).unwrap()).collect::<Vec<_>>()
        };
        let wanted = Self {
            any: some(2, 0.6),
            all: some(1, 0.3),
            none: some(1, 0.4),
            phrase: some(2, 0.3),
            prefix: some(1, 0.3).first().map(|word| &word[..2]),
        };
        let asks_for_nothing = wanted.any.is_empty() && wanted.all.is_empty() && wanted.phrase.is_empty();
        if asks_for_nothing && wanted.prefix.is_none() { Self::draw(rng) } else { wanted }
    }

    fn query(&self) -> LexicalQuery {
        let mut clauses = Vec::new();
        for (occur, words) in [(Occur::Must, &self.all), (Occur::MustNot, &self.none), (Occur::Should, &self.any)] {
            clauses.extend((!words.is_empty()).then(|| clause(occur, &words.join(" "))));
        }
        clauses.extend((!self.phrase.is_empty()).then(|| phrase(&self.phrase.join(" ")).clauses.remove(0)));
        clauses.extend(self.prefix.map(|prefix| clause(Occur::Should, prefix)));
        LexicalQuery { clauses, last_word_is_prefix: self.prefix.is_some(), fuzzy: false }
    }

    fn matches(&self, text: &str) -> bool {
        let words: Vec<&str> = text.split(' ').collect();
        let has_any = self.any.iter().any(|word| words.contains(word))
            || self.prefix.is_some_and(|prefix| words.iter().any(|word| word.starts_with(prefix)));
        let is_required = !self.all.is_empty() || !self.phrase.is_empty();
        self.all.iter().all(|word| words.contains(word))
            && (self.phrase.is_empty() || words.windows(self.phrase.len()).any(|run| run == self.phrase))
            && !self.none.iter().any(|word| words.contains(word))
            && (has_any || is_required)
    }
}

#[test]
fn whatever_is_asked_under_whichever_mask_the_allowed_pages_whose_text_matches_are_found() {
    for seed in 0..6 {
        println!("seed {seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut content = Content::new();
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for _ in 0..2 {
            for _ in 0..16 {
                let text = |rng: &mut SmallRng| {
                    (0..rng.random_range(1..7)).map(|_| *WORDS.choose(rng).unwrap()).collect::<Vec<_>>().join(" ")
                };
                let id = format!("p{}", rng.random_range(0..24));
                let of_page: Vec<String> = (0..rng.random_range(1..4)).map(|_| text(&mut rng)).collect();
                content.put("acme", &id, "", &of_page.iter().map(String::as_str).collect::<Vec<_>>());
                texts.insert(id, of_page);
            }
            content.commit();
        }
        for _ in 0..60 {
            let share = *[0.05, 0.3, 1.0].choose(&mut rng).unwrap();
            let allowed: Vec<&str> = texts.keys().map(String::as_str).filter(|_| rng.random_bool(share)).collect();
            let wanted = Wanted::draw(&mut rng);
            let matching = allowed.iter().filter(|id| texts[**id].iter().any(|text| wanted.matches(text)));
            let matching: Vec<&str> = matching.copied().collect();
            let query = wanted.query();
            let mut found = content.found_under(&content.only("acme", &allowed), &query);
            found.sort();
            assert_eq!(found, matching, "{allowed:?} {query:?} {texts:?}");
        }
    }
}

#[test]
fn a_searcher_whose_deadline_has_passed_says_so() {
    let content = content();
    let mask = content.mask("acme");
    let searcher = content.index.searcher().with_deadline(Instant::now());
    let is_late = |error| matches!(error, IndexError::DeadlinePassed);
    for query in [words("harbour"), phrase("harbour alphaword")] {
        assert!(is_late(searcher.lexical(&mask, &query, 10).unwrap_err()), "{query:?}");
        assert!(is_late(searcher.matching_pages(&mask, &query).unwrap_err()), "{query:?}");
    }
    assert!(is_late(searcher.semantic(&mask, &query_vector("harbour"), 10).unwrap_err()));
    let in_time = content.index.searcher().with_deadline(Instant::now() + Duration::from_hours(1));
    assert_eq!(in_time.lexical(&mask, &words("harbour"), 10).unwrap().len(), 3);
}
