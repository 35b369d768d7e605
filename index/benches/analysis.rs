//! Measures text analysis against tantivy's own tokenizers: megabytes of text a second, on one thread.
//!
//! Corpus: the pages of `handbook-18f/pages.jsonl.gz` in the folder that `TESSERA_DATA_DIR` names (default
//! `../shared/data`), cut at blank lines; text of our own where it is absent. No random numbers. Rounds alternate between
//! the contestants so that drift meets all; the best round of each counts, since other load only ever adds time.
//! tantivy's tokenizers are consumed token by token, as its indexing thread does. Run by
//! `cargo bench -p index --bench analysis`.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use index::analysis::{Analyzer, Language, Tokens, detect_language};
use rust_stemmers::{Algorithm, Stemmer};
use tantivy::tokenizer::{LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer};

const ROUNDS: usize = 9;

fn main() {
    let passages = passages();
    let bytes: usize = passages.iter().map(String::len).sum();
    println!("{} passages, {:.2} MB, best of {ROUNDS} rounds, one thread", passages.len(), bytes as f64 / 1e6);

    let mut default = TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(40))
        .filter(LowerCaser)
        .build();
    let stemmer = Stemmer::create(Algorithm::English);
    let analyzer = Analyzer::new();
    let mut tokens = Tokens::new();
    let mut best = [Duration::MAX; 5];
    let mut counts = [0; 5];
    for _ in 0..ROUNDS {
        measure(&mut best[0], &mut counts[0], &passages, |text| {
            let mut count = 0;
            default.token_stream(text).process(&mut |token| {
                black_box(&token.text);
                count += 1;
            });
            count
        });
        measure(&mut best[1], &mut counts[1], &passages, |text| {
            let mut count = 0;
            default.token_stream(text).process(&mut |token| {
                black_box(stemmer.stem(&token.text).into_owned());
                count += 1;
            });
            count
        });
        measure(&mut best[2], &mut counts[2], &passages, |text| {
            analyzer.tokens(text, Language::English, &mut tokens);
            tokens.iter().fold(0, |count, token| count + usize::from(!black_box(token.term).is_empty()))
        });
        measure(&mut best[3], &mut counts[3], &passages, |text| {
            analyzer.surface_words(text, &mut tokens);
            tokens.iter().fold(0, |count, token| count + usize::from(!black_box(token.term).is_empty()))
        });
        measure(&mut best[4], &mut counts[4], &passages, |text| {
            black_box(detect_language(text, Language::English));
            1
        });
    }
    let names =
        ["tantivy default", "tantivy en_stem", "Analyzer::tokens", "Analyzer::surface_words", "detect_language"];
    for ((name, best), count) in names.iter().zip(best).zip(counts) {
        let seconds = best.as_secs_f64();
        println!("{name:24} {:7.1} MB/s {:9} tokens", bytes as f64 / 1e6 / seconds, count);
    }
    let ratio = |against: usize| best[against].as_secs_f64() / best[2].as_secs_f64();
    println!("Analyzer::tokens is {:.2} x tantivy default, {:.2} x en_stem", ratio(0), ratio(1));
}

fn measure(best: &mut Duration, count: &mut usize, passages: &[String], mut analyze: impl FnMut(&str) -> usize) {
    let start = Instant::now();
    *count = passages.iter().map(|text| analyze(text)).sum();
    *best = (*best).min(start.elapsed());
}

fn passages() -> Vec<String> {
    let folder = std::env::var_os("TESSERA_DATA_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = folder.join("handbook-18f/pages.jsonl.gz");
    let Ok(file) = File::open(&path) else {
        println!("no {}: measuring text of our own", path.display());
        return (0..5_000).map(own_passage).collect();
    };
    let mut passages = Vec::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let page: serde_json::Value =
            serde_json::from_str(&line.expect("the corpus is readable")).expect("the corpus is JSON lines");
        let text = page["markdown"].as_str().unwrap_or_default();
        passages.extend(text.split("\n\n").map(str::to_owned));
    }
    passages
}

fn own_passage(number: usize) -> String {
    format!(
        "The {number}th telescope's mirror was re-coated, and the operators' notes (see OPS-{number}) say that \
         `getMirrorState` returned \"degraded\" twice. Observing resumed at 10:30; the pointing model v1.{number}.2 \
         had been fitted again by then, using the stars that were observable."
    )
}
