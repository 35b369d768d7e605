//! `tessera eval` as its users call it: scores, reports, and a gate that closes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn eval(dir: &Path, arguments: &[&str]) -> (Output, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tessera")).current_dir(dir).arg("eval").args(arguments).output().unwrap();
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    (output, String::from_utf8(told).unwrap())
}

/// A folder with the baseline of the sample by words, changed by `change`.
fn baseline(dir: &Path, change: impl Fn(&str) -> String) -> PathBuf {
    let folder = dir.join("baselines");
    std::fs::create_dir_all(&folder).unwrap();
    let text = std::fs::read_to_string(root().join("eval/baselines/sample.lexical.json")).unwrap();
    std::fs::write(folder.join("sample.json"), change(&text)).unwrap();
    folder
}

#[test]
fn the_gate_holds_and_a_planted_drop_closes_it() {
    let dir = tempfile::tempdir().unwrap();
    let samples = root().join("samples");
    let gate = |folder: &Path, more: &[&str]| {
        let known = ["gate", "--baselines", folder.to_str().unwrap(), "--data", samples.to_str().unwrap()];
        eval(dir.path(), &[&known, more].concat())
    };
    let (output, told) = gate(&baseline(dir.path(), str::to_owned), &[]);
    assert!(output.status.success() && told.contains("nDCG@10") && told.contains("held"), "{told}");
    // Every query was answered perfectly once: now it is worse.
    let perfect = |text: &str| -> String {
        let raised = |line: &str| match line.split_once("\": 0") {
            Some((query, rest)) => format!("{query}\": 1.0{}\n", if rest.ends_with(',') { "," } else { "" }),
            None => format!("{line}\n"),
        };
        text.lines().map(raised).collect()
    };
    let folder = baseline(dir.path(), perfect);
    let (output, told) = gate(&folder, &[]);
    assert!(!output.status.success() && told.contains("DROPPED") && told.contains("significantly worse"), "{told}");
    let (output, told) = gate(&folder, &["--record"]);
    assert!(output.status.success() && told.contains("recorded"), "{told}");
    let (output, told) = gate(&folder, &[]);
    assert!(output.status.success(), "{told}");
    let (output, told) = gate(&folder, &["--only", "elsewhere"]);
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn runs_are_scored_and_compared_without_any_index() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("qrels"), "q1 0 a 1\nq2 0 b 1\n").unwrap();
    std::fs::write(dir.path().join("good"), "q1 Q0 a 1 2 good\nq2 Q0 b 1 2 good\n").unwrap();
    std::fs::write(dir.path().join("bad"), "q1 Q0 a 1 2 bad\nq2 Q0 c 1 2 bad\n").unwrap();
    let (_, told) = eval(dir.path(), &["score", "qrels", "bad", "--metric", "RR", "-q"]);
    assert_eq!(told, "RR\tq1\t1.0000\nRR\tq2\t0.0000\nRR\tall\t0.5000\n");
    let (_, told) = eval(dir.path(), &["compare", "good", "bad", "--qrels", "qrels"]);
    assert!(
        told.contains("0 better, 1 worse of 2") && told.contains("before: b (+1)") && told.contains("after:  c"),
        "{told}"
    );
    let (output, told) = eval(dir.path(), &["score", "qrels", "nowhere"]);
    assert!(!output.status.success() && told.contains("nowhere"), "{told}");
}

#[test]
fn a_run_over_the_sample_writes_runs_that_score_the_same_and_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let sample = root().join("samples/northwind-observatory");
    std::fs::write(dir.path().join("titles.toml"), "mode = \"lexical\"\n[query.rescore]\ntitle_weight = 0.3\n")
        .unwrap();
    let arguments = ["run", sample.to_str().unwrap(), "--no-embed", "--personas", "--out", "out", "--queries", "30"];
    let two = ["--configuration", "lexical", "--configuration", "titles.toml"];
    let (output, told) = eval(dir.path(), &[&arguments[..], &two].concat());
    assert!(output.status.success() && told.contains("titles against lexical"), "{told}");
    let out = dir.path().join("out");
    let told_mean = told.lines().find(|line| line.trim_start().starts_with("lexical ")).unwrap();
    let told_mean = told_mean.split_whitespace().nth(1).unwrap().to_owned();
    let (_, scored) = eval(
        &out.join("runs"),
        &["score", "northwind-observatory-test.qrels", "northwind-observatory-test.lexical.run"],
    );
    assert!(scored.contains(&format!("nDCG@10\tall\t{told_mean}")), "{told}\n{scored}");
    for file in ["report.html", "report.md", "evaluation.json"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let (output, told) = eval(dir.path(), &["report", "out/evaluation.json", "--out", "again"]);
    assert!(output.status.success(), "{told}");
    let html = |folder: &str| std::fs::read_to_string(dir.path().join(folder).join("report.html")).unwrap();
    assert_eq!(html("again"), html("out"));
    let (output, told) =
        eval(dir.path(), &["run", sample.to_str().unwrap(), "--no-embed", "--configuration", "hybrid"]);
    assert!(!output.status.success() && told.contains("there is no model"), "{told}");
}
