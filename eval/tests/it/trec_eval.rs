//! Agreement with trec_eval, cell by cell, on reference results that lie beside the repository.
//!
//! A cell is the value of one metric for one query, or its mean. Queries that a run misses, equal scores, grades above 1,
//! grades below 0, comments and a bounded depth are among them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use eval::metrics::{self, Metric, Missing};
use eval::qrels::Qrels;
use eval::runs::Run;

/// Queries of the four runs times metrics of the table with full precision.
const CELLS_IN_FULL_PRECISION: usize = 22_437;
/// Lines of the printed tables that hold one of our metrics.
const CELLS_PRINTED: usize = 23_687;

fn reference() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/trec_eval_reference");
    if !folder.exists() {
        eprintln!("SKIPPED: agreement with trec_eval; {} is not there", folder.display());
    }
    folder.exists().then_some(folder)
}

/// Our name of a metric of trec_eval; `None` where we have none.
fn our_name(theirs: &str, relevant_from: i32) -> Option<Metric> {
    let (name, cutoff) = match theirs.rsplit_once('_') {
        Some((name, cutoff)) if cutoff.parse::<u32>().is_ok() => (name, format!("@{cutoff}")),
        _ => (theirs, String::new()),
    };
    let ours = match name {
        "ndcg" | "ndcg_cut" => "nDCG",
        "recall" => "R",
        "P" => "P",
        "map" | "map_cut" => "AP",
        "recip_rank" => "RR",
        "Rprec" => "Rprec",
        "bpref" => "Bpref",
        "success" => "Success",
        _ => return None,
    };
    let relevant = if relevant_from == 1 || ours == "nDCG" { String::new() } else { format!("(rel={relevant_from})") };
    Some(format!("{ours}{relevant}{cutoff}").parse().unwrap())
}

/// Scores of a run, and their means under `all`.
struct Scored<'a> {
    qrels: &'a Qrels,
    run: &'a Run,
    known: BTreeMap<Metric, metrics::Scores>,
}

impl Scored<'_> {
    fn value(&mut self, metric: Metric, query: &str) -> f64 {
        let scores = self.known.entry(metric).or_insert_with(|| {
            let mut scores = metrics::evaluate(self.qrels, self.run, &[metric], Missing::Zero).remove(&metric).unwrap();
            let mean = metrics::mean(&scores);
            scores.insert("all".to_owned(), mean);
            scores
        });
        scores[query]
    }
}

#[test]
fn every_cell_agrees_with_trec_eval_in_full_precision() {
    let Some(folder) = reference() else { return };
    let (mut cells, mut largest) = (0, 0_f64);
    for name in ["scifact-bm25", "cranfield-bm25-graded", "cranfield-bm25-ties", "vaswani-bm25"] {
        let folder = folder.join("real-runs");
        let qrels = Qrels::read_trec(&folder.join(format!("{name}.qrels"))).unwrap();
        let run = Run::read(&folder.join(format!("{name}.run.gz"))).unwrap();
        let mut scored = Scored { qrels: &qrels, run: &run, known: BTreeMap::new() };
        let expected = std::fs::read_to_string(folder.join(format!("{name}.full-precision.jsonl"))).unwrap();
        for line in expected.lines() {
            let line: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            let query = line["query"].as_str().unwrap();
            for (theirs, expected) in line.iter().filter(|(name, _)| *name != "query") {
                let metric = our_name(theirs, 1).unwrap_or_else(|| panic!("no metric for {theirs}"));
                let (ours, expected) = (scored.value(metric, query), expected.as_f64().unwrap());
                let difference = (ours - expected).abs();
                assert!(difference < 1e-12, "{metric} of query {query} in {name}: {ours}, not {expected}");
                largest = largest.max(difference);
                cells += 1;
            }
        }
    }
    eprintln!("{cells} cells agree with trec_eval; the largest difference is {largest:e}");
    assert_eq!(cells, CELLS_IN_FULL_PRECISION);
}

#[test]
fn every_printed_cell_agrees_with_trec_eval() {
    let Some(folder) = reference() else { return };
    let mut tables = vec![
        ("test/out.test", "test/qrels.test", "test/results.test", 1, None),
        ("test/out.test.a", "test/qrels.test", "test/results.test", 1, None),
        ("test/out.test.aq", "test/qrels.test", "test/results.test", 1, None),
        ("test/out.test.aqc", "test/qrels.test", "test/results.trunc", 1, None),
        ("test/out.test.aqcM", "test/qrels.test", "test/results.trunc", 1, Some(100)),
        ("test/out.test.aql", "test/qrels.rel_level", "test/results.test", 2, None),
        ("test/out.test.meas_params", "test/qrels.test", "test/results.test", 1, None),
        ("test/out.comment.test", "test/qrels.comment.test", "test/results.comment.test.gz", 1, None),
    ]
    .into_iter()
    .map(|(table, qrels, run, from, depth)| (table.to_owned(), qrels.to_owned(), run.to_owned(), from, depth))
    .collect::<Vec<_>>();
    for name in ["scifact-bm25", "cranfield-bm25-graded", "cranfield-bm25-ties", "vaswani-bm25"] {
        let file = |end: &str| format!("real-runs/{name}.{end}");
        tables.push((file("expected-qc.txt"), file("qrels"), file("run.gz"), 1, None));
    }
    let (mut cells, mut passed_over) = (0, BTreeMap::<String, usize>::new());
    for (table, qrels, run, relevant_from, depth) in tables {
        let qrels = Qrels::read_trec(&folder.join(qrels)).unwrap();
        let mut run = Run::read(&folder.join(run)).unwrap();
        run.truncate(depth.unwrap_or(usize::MAX));
        let mut scored = Scored { qrels: &qrels, run: &run, known: BTreeMap::new() };
        for line in std::fs::read_to_string(folder.join(&table)).unwrap().lines() {
            let [theirs, query, expected] = line.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{line:?} in {table}");
            };
            let Some(metric) = our_name(theirs, relevant_from) else {
                *passed_over.entry(theirs.to_owned()).or_default() += 1;
                continue;
            };
            assert_eq!(format!("{:.4}", scored.value(metric, query)), expected, "{metric} of query {query} in {table}");
            cells += 1;
        }
    }
    eprintln!("{cells} printed cells agree with trec_eval at four digits; metrics that we have not: {passed_over:?}");
    assert_eq!(cells, CELLS_PRINTED);
}
