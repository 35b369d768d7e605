//! Which questions kept answers take for the same: how often they are wrong, and how often they miss one.
//!
//! A wrong hit gives somebody the answer to another question, so that is what bounds are chosen by. Three kinds of pairs are known to differ:
//! any two questions of a collection, those of them that the same page answers among them, and a question with one that was made of it by
//! exchanging one word for its opposite, a number for the next, or by negating it. Pairs known to be the same are made of a question by
//! saying it more politely, without articles, with or without contractions, and with a typing error. All is deterministic. The rule that
//! the best source must be the same is left out: it makes fewer hits, right and wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use models::embed::Embedder;
use query::answer::cache::{Compared, Nearness};
use query::engine::Engine;
use serde::Serialize;

use crate::dataset::Dataset;
use crate::progress::{Step, Watch};
use crate::qrels::Qrels;
use crate::typos::Typos;
use crate::workspace::Built;

/// Longest time for one embedding.
const PATIENCE: Duration = Duration::from_mins(2);
/// Typing errors are the same each time.
const TYPOS: Typos = Typos { seed: 1, probability: 0.2 };
/// Words that turn a question into another one when they are exchanged.
const OPPOSITES: [(&str, &str); 40] = [
    ("increase", "decrease"),
    ("increases", "decreases"),
    ("increased", "decreased"),
    ("first", "last"),
    ("largest", "smallest"),
    ("most", "least"),
    ("more", "less"),
    ("highest", "lowest"),
    ("higher", "lower"),
    ("high", "low"),
    ("best", "worst"),
    ("before", "after"),
    ("with", "without"),
    ("north", "south"),
    ("east", "west"),
    ("northern", "southern"),
    ("eastern", "western"),
    ("left", "right"),
    ("maximum", "minimum"),
    ("enable", "disable"),
    ("add", "remove"),
    ("create", "delete"),
    ("start", "stop"),
    ("started", "ended"),
    ("begin", "end"),
    ("open", "close"),
    ("import", "export"),
    ("upload", "download"),
    ("install", "uninstall"),
    ("win", "lose"),
    ("won", "lost"),
    ("above", "below"),
    ("inside", "outside"),
    ("positive", "negative"),
    ("promotes", "inhibits"),
    ("activation", "inhibition"),
    ("old", "new"),
    ("older", "younger"),
    ("male", "female"),
    ("input", "output"),
];
/// What a question may begin with, and what it may be called instead.
const CONTRACTIONS: [(&str, &str); 8] = [
    ("what is", "what's"),
    ("who is", "who's"),
    ("where is", "where's"),
    ("how is", "how's"),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("is not", "isn't"),
    ("cannot", "can't"),
];

/// What is known of two questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Different, of the same page.
    SamePage,
    /// Different, of other pages.
    OtherPage,
    /// Different: a word was exchanged for its opposite.
    Opposite,
    /// Different: a number was exchanged for the next.
    Number,
    /// Different: a negation was added.
    Negated,
    /// The same, said more politely.
    Polite,
    /// The same, without articles.
    Bare,
    /// The same, contracted or not.
    Contracted,
    /// The same, with typing errors.
    Mistyped,
}

impl Kind {
    /// All of them, those that differ first.
    pub const ALL: [Self; 9] = [
        Self::SamePage,
        Self::OtherPage,
        Self::Opposite,
        Self::Number,
        Self::Negated,
        Self::Polite,
        Self::Bare,
        Self::Contracted,
        Self::Mistyped,
    ];

    /// Whether the two ask the same.
    pub fn is_same(self) -> bool {
        matches!(self, Self::Polite | Self::Bare | Self::Contracted | Self::Mistyped)
    }
}

/// How near the pairs of one kind are.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// How many there are.
    pub count: u64,
    /// Those that some bounds could take for the same, nearest first as they were found, with their questions.
    pub candidates: Vec<(Nearness, String, String)>,
}

impl Pairs {
    /// How many of them are taken for the same.
    pub fn hits(&self, near_cosine: f32, near_cover: f32) -> u64 {
        self.candidates.iter().filter(|(near, ..)| near.same || near.is_within(near_cosine, near_cover)).count() as u64
    }

    /// As [`Pairs::hits`], those that are not the same letter by letter.
    pub fn near_hits(&self, near_cosine: f32, near_cover: f32) -> u64 {
        let is_near = |near: &Nearness| !near.same && near.is_within(near_cosine, near_cover);
        self.candidates.iter().filter(|(near, ..)| is_near(near)).count() as u64
    }
}

/// The loosest bounds that are of interest.
const LOOSEST: (f32, f32) = (0.7, 0.5);

/// Compares the judged questions of a split, and what is made of them. The workspace gives the rarity of words; it needs no vectors.
pub fn compare(
    built: &Built,
    embedder: &Embedder,
    dataset: &Dataset,
    judged: &Qrels,
    watch: Watch<'_>,
) -> Result<BTreeMap<Kind, Pairs>> {
    let engine = Engine::new(built.index.clone(), None, query::config::Config::default())?;
    let caller = built.asker();
    let key = |question: &str| -> Result<Compared> {
        let vector = embedder.embed_query(question, Instant::now() + PATIENCE).context("cannot embed")?;
        engine.compared(&caller, question, Some(vector)).context("cannot count the words of a question")
    };
    let mut pairs: BTreeMap<Kind, Pairs> = Kind::ALL.map(|kind| (kind, Pairs::default())).into();
    let mut add = |kind: Kind, near: Nearness, one: &str, other: &str| {
        let of = pairs.entry(kind).or_default();
        of.count += 1;
        if near.same || near.is_within(LOOSEST.0, LOOSEST.1) {
            of.candidates.push((near, one.to_owned(), other.to_owned()));
        }
    };
    let mut keyed: Vec<(BTreeSet<&str>, &str, Compared)> = Vec::new();
    let total = judged.queries().len() as u64;
    for (at, (id, of)) in judged.queries().enumerate() {
        watch(Step { what: "questions", done: at as u64, total: Some(total) });
        let text = &dataset.queries.get(id).with_context(|| format!("{id} has no text"))?.text;
        let whole = key(text)?;
        for (kind, made) in made_of(id, text) {
            add(kind, whole.nearness(&key(&made)?), text, &made);
        }
        let pages = of.iter().filter(|(_, grade)| **grade > 0).map(|(page, _)| page.as_str()).collect();
        keyed.push((pages, text, whole));
    }
    for (at, (pages, text, one)) in keyed.iter().enumerate() {
        for (other_pages, other_text, other) in &keyed[..at] {
            let kind = if pages.is_disjoint(other_pages) { Kind::OtherPage } else { Kind::SamePage };
            add(kind, one.nearness(other), text, other_text);
        }
    }
    Ok(pairs)
}

/// What is made of a question: with what is known of the two.
fn made_of(id: &str, question: &str) -> Vec<(Kind, String)> {
    let mut made = Vec::new();
    let words: Vec<&str> = question.split(' ').collect();
    let with = |at: usize, word: &str| {
        let mut other = words.clone();
        let tail = words[at].trim_start_matches(|c: char| c.is_alphanumeric());
        let whole = format!("{word}{tail}");
        other[at] = &whole;
        other.join(" ")
    };
    for (at, word) in words.iter().enumerate() {
        let bare: String = word.chars().take_while(|c| c.is_alphanumeric()).collect();
        let lower = bare.to_lowercase();
        for (one, other) in OPPOSITES {
            if lower == one || lower == other {
                made.push((Kind::Opposite, with(at, if lower == one { other } else { one })));
            }
        }
        if let Ok(number) = bare.parse::<u64>() {
            made.push((Kind::Number, with(at, &(number + 1).to_string())));
        }
        if at > 0 && ["is", "are", "was", "were", "can", "does", "do", "did", "should"].contains(&lower.as_str()) {
            made.push((Kind::Negated, with(at, &format!("{bare} not"))));
        }
    }
    let lower_first = |text: &str| {
        let mut chars = text.chars();
        chars.next().map(|first| first.to_lowercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    let plain = question.trim_end_matches(['?', '.', ' ']);
    made.push((Kind::Polite, format!("Can you please tell me: {}?", lower_first(plain))));
    made.push((Kind::Polite, format!("{plain}, please")));
    made.push((Kind::Polite, format!("Hello, I would like to know {}. Thanks!", lower_first(plain))));
    let is_article = |word: &&&str| ["the", "a", "an"].contains(&word.to_lowercase().as_str());
    let bare: Vec<&str> = words.iter().filter(|word| !is_article(word)).copied().collect();
    if bare.len() < words.len() {
        made.push((Kind::Bare, bare.join(" ")));
    }
    let lower = question.to_lowercase();
    for (long, short) in CONTRACTIONS {
        for (from, to) in [(long, short), (short, long)] {
            let padded = format!(" {lower} ");
            if padded.contains(&format!(" {from} ")) {
                made.push((
                    Kind::Contracted,
                    padded.replace(&format!(" {from} "), &format!(" {to} ")).trim().to_owned(),
                ));
            }
        }
    }
    let mistyped = TYPOS.mistype(id, question);
    if mistyped != question {
        made.push((Kind::Mistyped, mistyped));
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_a_question_is_known_to_be_the_same_or_not() {
        let made = made_of("q1", "What is the largest dome of 1995?");
        let of = |kind| made.iter().filter(|(of, _)| *of == kind).map(|(_, text)| text.as_str()).collect::<Vec<_>>();
        assert_eq!(of(Kind::Opposite), ["What is the smallest dome of 1995?"]);
        assert_eq!(of(Kind::Number), ["What is the largest dome of 1996?"]);
        assert_eq!(of(Kind::Negated), ["What is not the largest dome of 1995?"]);
        assert_eq!(of(Kind::Bare), ["What is largest dome of 1995?"]);
        assert_eq!(of(Kind::Contracted), ["what's the largest dome of 1995?"]);
        assert_eq!(of(Kind::Polite)[0], "Can you please tell me: what is the largest dome of 1995?");
        assert!(
            Kind::ALL
                .into_iter()
                .filter(|kind| kind.is_same())
                .all(|kind| !of(kind).is_empty() || kind == Kind::Mistyped)
        );
    }
}
