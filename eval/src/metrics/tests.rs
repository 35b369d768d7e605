//! Metrics by worked examples; agreement with trec_eval is in `tests/it`.

use super::*;
use proptest::prelude::*;

/// Grades by rank: a digit is a judged document, `-` one without a judgment. `missed` are judged and not found.
fn value(metric: &str, found: &str, missed: &str, grade_max: i32) -> f64 {
    let mut qrels = Qrels::default();
    let mut run = Run::new("test");
    let grade = |letter: char| letter.to_digit(10).map(|grade| grade as i32);
    for (at, letter) in found.chars().enumerate() {
        if let Some(grade) = grade(letter) {
            qrels.judge("q", &format!("found-{at}"), grade).unwrap();
        }
    }
    for (at, letter) in missed.chars().enumerate() {
        qrels.judge("q", &format!("missed-{at}"), grade(letter).unwrap()).unwrap();
    }
    // So that the query has a judgment, and the collection a highest grade.
    qrels.judge("q", "put before a judge", -1).unwrap();
    qrels.judge("another", "d", grade_max).unwrap();
    run.insert_in_order("q", (0..found.chars().count()).map(|at| format!("found-{at}")).collect()).unwrap();
    let metric: Metric = metric.parse().unwrap();
    evaluate(&qrels, &run, &[metric], Missing::LeftOut)[&metric]["q"]
}

#[track_caller]
fn check(metric: &str, found: &str, missed: &str, expected: f64) {
    let value = value(metric, found, missed, 1);
    assert!((value - expected).abs() < 1e-12, "{metric} of {found} and {missed}: {value}, not {expected}");
}

#[test]
fn values_are_those_worked_out_by_hand() {
    check("P@5", "1-0-1", "1", 2.0 / 5.0);
    check("P@10", "1-0-1", "1", 2.0 / 10.0);
    check("R@1", "1-0-1", "1", 1.0 / 3.0);
    check("R@5", "1-0-1", "1", 2.0 / 3.0);
    check("R(rel=2)@5", "1-0-2", "3", 1.0 / 2.0);
    check("AP", "01-1", "11", (1.0 / 2.0 + 2.0 / 4.0) / 4.0);
    check("AP@3", "01-1", "11", (1.0 / 2.0) / 4.0);
    check("RR", "0-1", "", 1.0 / 3.0);
    check("RR@2", "0-1", "", 0.0);
    check("Rprec", "011", "1", 2.0 / 3.0);
    check("Success@1", "01", "", 0.0);
    check("Success@2", "01", "", 1.0);
    check("Judged@4", "0-1-", "", 2.0 / 4.0);
    check("Judged@10", "0-1-", "", 2.0 / 10.0);
    check("nDCG@2", "31", "2", (3.0 + 1.0 / 3f64.log2()) / (3.0 + 2.0 / 3f64.log2()));
    check("nDCG", "0-", "1", 0.0);
}

#[test]
fn binary_preference_passes_over_what_nobody_judged() {
    check("Bpref", "1-0-1", "", 1.0 / 2.0);
    check("Bpref", "10-1", "0", 1.5 / 2.0);
    check("Bpref", "--1", "", 1.0);
}

#[test]
fn what_a_judge_passed_over_is_not_judged() {
    let mut qrels = Qrels::default();
    for (document, grade) in [("a", -1), ("b", 0), ("c", 1)] {
        qrels.judge("q", document, grade).unwrap();
    }
    let mut run = Run::new("test");
    run.insert_in_order("q", ["a", "b", "c", "d"].map(str::to_owned).to_vec()).unwrap();
    for (name, expected) in [("Judged@4", 2.0 / 4.0), ("Bpref", 0.0), ("nDCG", 0.5), ("ERR", 1.0 / 2.0 / 3.0)] {
        let metric: Metric = name.parse().unwrap();
        let value = evaluate(&qrels, &run, &[metric], Missing::Zero)[&metric]["q"];
        assert!((value - expected).abs() < 1e-12, "{name}: {value}, not {expected}");
    }
}

#[test]
fn a_query_with_nothing_relevant_scores_zero() {
    for metric in ["nDCG@10", "R@10", "P@10", "AP", "RR", "Rprec", "Bpref", "Success@10", "ERR"] {
        check(metric, "0-0", "0", 0.0);
    }
}

/// Chapelle et al. 2009 begin with two rankings graded Bad, Fair, Good, Excellent, Perfect: twenty times Good, and one
/// Perfect before nineteen times Bad. Discounted gain prefers the first; a reader, who stops when satisfied, the second.
#[test]
fn a_perfect_first_document_beats_twenty_good_ones_by_err() {
    let all_good = value("ERR@20", &"2".repeat(20), "", 4);
    let by_definition: f64 = (1..=20).map(|rank| (13f64 / 16.0).powi(rank - 1) * 3.0 / 16.0 / f64::from(rank)).sum();
    assert!((all_good - by_definition).abs() < 1e-12, "{all_good}");
    let one_perfect = value("ERR@20", &format!("4{}", "0".repeat(19)), "", 4);
    assert!((one_perfect - 15.0 / 16.0).abs() < 1e-12, "{one_perfect}");
    // Excellent and Fair: 7/16 at once, and 1/16 of the 9/16 that read on, at half the value.
    let two = value("ERR", "3-1", "", 4);
    assert!((two - (7.0 / 16.0 + 9.0 / 16.0 / 16.0 / 3.0)).abs() < 1e-12, "{two}");
}

#[test]
fn missing_queries_score_zero_or_are_left_out() {
    let mut qrels = Qrels::default();
    qrels.judge("q1", "d", 1).unwrap();
    qrels.judge("q2", "d", 1).unwrap();
    let mut run = Run::new("test");
    run.insert_in_order("q1", vec!["d".to_owned()]).unwrap();
    run.insert_in_order("unjudged", vec!["d".to_owned()]).unwrap();
    let metric: Metric = "RR".parse().unwrap();
    let mean_of = |missing| mean(&evaluate(&qrels, &run, &[metric], missing)[&metric]);
    let means = [mean_of(Missing::Zero), mean_of(Missing::LeftOut), mean(&Scores::new())];
    assert_eq!(means.map(|mean| mean.to_string()), ["0.5", "1", "0"]);
}

proptest! {
    #[test]
    fn values_lie_between_zero_and_one_and_the_ideal_order_is_best(found in "[-0-4]{1,30}", missed in "[0-4]{0,5}") {
        let mut ideal: Vec<char> = found.chars().collect();
        ideal.sort_unstable_by(|one, other| other.cmp(one));
        let ideal: String = ideal.into_iter().collect();
        for metric in ["nDCG", "nDCG@10", "R@10", "P@10", "AP", "AP@5", "RR", "Rprec", "Bpref", "Success@5", "ERR@20"] {
            let (given, best) = (value(metric, &found, &missed, 4), value(metric, &ideal, &missed, 4));
            prop_assert!((0.0..=1.0 + 1e-12).contains(&given), "{metric} {given}");
            prop_assert!(given <= best + 1e-12, "{metric}: {given} of {found}, {best} of {ideal}");
        }
    }
}
