//! What scores answers, on pairs written for it and on reference answers of a real collection.
//!
//! The figures are printed. The borders below are not goals: they are what a scorer falls short of when it is broken.

use std::collections::BTreeMap;
use std::path::Path;

use eval::answers::separation::measure;
use eval::dataset::Dataset;
use index::analysis::Language;
use query::answer::support::{ByWords, Support};
use serde::Deserialize;

/// A text, a sentence, and whether the one bears the other out. Written by hand before any threshold was chosen; the opposite
/// of a text in its own words is among them, which no scorer here can tell.
#[derive(Deserialize)]
struct Pair {
    text: String,
    sentence: String,
    supported: bool,
    kind: String,
}

fn pairs() -> Vec<Pair> {
    let text = include_str!("../data/support-pairs.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn words_tell_most_of_the_pairs_written_by_hand() {
    let pairs = pairs();
    let by_words = ByWords::new(pairs.iter().map(|pair| pair.text.as_str()), Language::English, ByWords::THRESHOLD);
    let mut right: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for pair in &pairs {
        let score = by_words.score(&[&pair.text], &pair.sentence).unwrap();
        let of_kind = right.entry(&pair.kind).or_default();
        of_kind.0 += usize::from((score >= by_words.threshold()) == pair.supported);
        of_kind.1 += 1;
    }
    println!("pairs judged rightly by words, of all, by kind: {right:?}");
    let all: usize = right.values().map(|(right, _)| right).sum();
    assert!(all * 10 >= pairs.len() * 8, "{all} of {}", pairs.len());
}

#[test]
fn reference_answers_are_supported_by_the_sections_they_were_written_from() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/helpdocs-rag");
    if !folder.exists() {
        eprintln!("SKIPPED: reference answers; {} is not there", folder.display());
        return;
    }
    let dataset = Dataset::find(&folder).unwrap().remove(0);
    let mut texts = Vec::new();
    let read = dataset.corpus.each(&mut |document| {
        texts.push(format!("{}\n{}", document.title, document.text));
        Ok(())
    });
    read.unwrap();
    let by_words = ByWords::new(texts.iter().map(String::as_str), Language::English, ByWords::THRESHOLD);
    let found = measure(&dataset, "test", &by_words, 1).unwrap();
    println!("{found:#?}");
    assert!(found.auc_random > 0.9 && found.auc_nearest > 0.6, "{found:?}");
    assert!(found.accepted_gold > 0.6 && found.accepted_random < 0.2, "{found:?}");
}
