//! Agreement with trec_eval, cell by cell, on reference results that lie beside the repository.
//!
//! A cell is the value of one metric for one query, or its mean. Queries that a run misses, equal scores, grades above 1,
//! grades below 0, comments and a bounded depth are among them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use eval::metrics::{self, Metric, Missing};
use eval::qrels::Qrels;
use eval::runs::Run;

/// Runs over whole collections.
const REAL_RUNS: [&str; 4] = ["scifact-bm25", "cranfield-bm25-graded", "cranfield-bm25-ties", "vaswani-bm25"];
/// Queries of the four runs times metrics of the table with full precision.
const CELLS_IN_FULL_PRECISION: usize = 22_437;
/// Lines of the printed tables that hold one of our metrics.
const CELLS_PRINTED: usize = 23_714;

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
        "unj" => "Judged",
        _ => return None,
    };
    let relevant = if relevant_from == 1 || matches!(ours, "nDCG" | "Judged") {
        String::new()
    } else {
        format!("(rel={relevant_from})")
    };
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
    for name in REAL_RUNS {
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
    let (mut cells, mut passed_over) = (0, BTreeMap::new());
    let mut check = |table: &str, qrels: &str, run: &str, relevant_from, depth| {
        let mut run = Run::read(&folder.join(run)).unwrap();
        run.truncate(depth);
        let qrels = Qrels::read_trec(&folder.join(qrels)).unwrap();
        cells += agreeing_cells(&folder.join(table), &qrels, &run, relevant_from, &mut passed_over);
    };
    check("test/out.test", "test/qrels.test", "test/results.test", 1, usize::MAX);
    check("test/out.test.a", "test/qrels.test", "test/results.test", 1, usize::MAX);
    check("test/out.test.aq", "test/qrels.test", "test/results.test", 1, usize::MAX);
    check("test/out.test.aqc", "test/qrels.test", "test/results.trunc", 1, usize::MAX);
    check("test/out.test.aqcM", "test/qrels.test", "test/results.trunc", 1, 100);
    check("test/out.test.aql", "test/qrels.rel_level", "test/results.test", 2, usize::MAX);
    check("test/out.test.meas_params", "test/qrels.test", "test/results.test", 1, usize::MAX);
    check("test/out.comment.test", "test/qrels.comment.test", "test/results.comment.test.gz", 1, usize::MAX);
    for name in REAL_RUNS {
        let file = |end: &str| format!("real-runs/{name}.{end}");
        check(&file("expected-qc.txt"), &file("qrels"), &file("run.gz"), 1, usize::MAX);
    }
    eprintln!("{cells} printed cells agree with trec_eval at four digits; metrics that we have not: {passed_over:?}");
    assert_eq!(cells, CELLS_PRINTED);
}

/// Compares a printed table, and counts the lines that are not of our metrics by name.
fn agreeing_cells(
    table: &Path,
    qrels: &Qrels,
    run: &Run,
    relevant_from: i32,
    passed_over: &mut BTreeMap<String, usize>,
) -> usize {
    let mut scored = Scored { qrels, run, known: BTreeMap::new() };
    let is_missing_some = qrels.queries().any(|(query, _)| run.of(query).is_none());
    let mut cells = 0;
    for line in std::fs::read_to_string(table).unwrap().lines() {
        let [theirs, query, expected] = line.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line:?} in {}", table.display());
        };
        // What `unj` counts is what `Judged` leaves, but a missing query has neither.
        let is_unjudged = theirs.starts_with("unj_");
        let metric = our_name(theirs, relevant_from).filter(|_| !(is_unjudged && is_missing_some));
        let Some(metric) = metric else {
            *passed_over.entry(theirs.to_owned()).or_default() += 1;
            continue;
        };
        let value = scored.value(metric, query);
        let ours = if is_unjudged { 1.0 - value } else { value };
        assert_eq!(format!("{ours:.4}"), expected, "{metric} of query {query} in {}", table.display());
        cells += 1;
    }
    cells
}
