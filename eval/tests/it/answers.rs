//! What scores answers, on pairs written for it and on reference answers of a real collection.
//!
//! The figures are printed. The borders below are not goals: they are what a scorer falls short of when it is broken.

use std::collections::BTreeMap;
use std::path::Path;

use eval::answers::produce::produce;
use eval::answers::score;
use eval::answers::separation::measure;
use eval::dataset::Dataset;
use eval::qrels::Qrels;
use eval::workspace::{Built, Options};
use index::analysis::Language;
use query::answer::support::{ByWords, Support};
use schemas::api::answers::Length;
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

#[test]
fn the_product_answers_the_sample_with_citations_that_can_be_scored() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dataset = Dataset::find(&root.join("samples")).unwrap().remove(0);
    let cache = tempfile::tempdir().unwrap();
    let options = Options {
        cache: cache.path().to_owned(),
        embedder: None,
        indexer: indexer::config::Config { commit_interval_ms: 1, ..indexer::config::Config::default() },
        without_titles: false,
        sections: false,
    };
    let built = Built::open(&dataset, &options, &mut |_| {}).unwrap();
    let questions = [
        ("found", "How long does changing between the Nasmyth platforms Kestrel and Petrel take?"),
        ("absent", "Who won the penguin swimming championship of Antarctica?"),
    ];
    let questions = questions.map(|(id, text)| (id.to_owned(), text.to_owned())).into();
    let answers = produce(&built, &query::config::Config::default(), &questions, Length::Short, &mut |_| {}).unwrap();
    let [absent, found] = &answers[..] else { panic!("{answers:?}") };
    assert!(absent.not_found && absent.sentences.is_empty() && absent.citations.is_empty(), "{absent:?}");
    assert!(found.sentences[0].text.contains("Nasmyth platforms: Kestrel"), "{found:?}");
    assert_eq!(found.citations[found.sentences[0].citations[0]].page, "engineering/telescope", "{found:?}");
    let mut qrels = Qrels::default();
    qrels.judge("found", "engineering/telescope", 1).unwrap();
    let support = ByWords::new([], Language::English, ByWords::THRESHOLD);
    let (scores, _) = score(&answers, &qrels, &support).unwrap();
    assert_eq!((scores.gold_recall, scores.citation_recall, scores.abstention.f1), (Some(1.0), Some(1.0), Some(1.0)));
}
