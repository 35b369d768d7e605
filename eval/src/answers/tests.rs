use proptest::prelude::*;

use super::*;

/// Supports a sentence where the texts together hold all of its letters.
struct Letters;

impl Support for Letters {
    fn name(&self) -> String {
        "letters".to_owned()
    }

    fn threshold(&self) -> f64 {
        1.0
    }

    fn score(&self, texts: &[&str], sentence: &str) -> Result<f64, models::embed::EmbedError> {
        let held = |letter: char| texts.iter().any(|text| text.contains(letter));
        let count = sentence.chars().filter(|letter| held(*letter)).count();
        Ok(share(count, sentence.chars().count()))
    }
}

/// An answer of sentences with their citations, over citations given as page and text.
fn answer(query: &str, sentences: &[(&str, &[usize])], citations: &[(&str, &str)]) -> Answer {
    let sentence = |(text, cited): &(&str, &[usize])| Sentence { text: (*text).to_owned(), citations: cited.to_vec() };
    let citation = |(page, text): &(&str, &str)| Citation {
        page: (*page).to_owned(),
        text: (*text).to_owned(),
        ..Citation::default()
    };
    Answer {
        query_id: query.to_owned(),
        not_found: false,
        sentences: sentences.iter().map(sentence).collect(),
        citations: citations.iter().map(citation).collect(),
    }
}

fn nothing(query: &str) -> Answer {
    Answer { not_found: true, ..answer(query, &[], &[]) }
}

fn qrels(judged: &[(&str, &str, i32)]) -> Qrels {
    let mut qrels = Qrels::default();
    for (query, page, grade) in judged {
        qrels.judge(query, page, *grade).unwrap();
    }
    qrels
}

fn close(one: Option<f64>, other: f64) -> bool {
    one.is_some_and(|one| (one - other).abs() < 1e-12)
}

#[test]
fn citations_of_a_sentence_worked_out_by_hand() {
    let citations = [("p", "ab"), ("q", "cd"), ("r", "abcd"), ("s", "zz")];
    let check = |text: &str, cited: &[usize], recall: f64, precision: f64| {
        let answers = [answer("q", &[(text, cited)], &citations)];
        let (_, scored) = score(&answers, &Qrels::default(), &Letters).unwrap();
        assert!(close(scored[0].citation_recall, recall), "{text} {cited:?}: {scored:?}");
        assert!(close(scored[0].citation_precision, precision), "{text} {cited:?}: {scored:?}");
    };
    check("abcd", &[2], 1.0, 1.0);
    check("abcd", &[0], 0.0, 0.0);
    // Neither is enough alone, and neither can be missed.
    check("abcd", &[0, 1], 1.0, 1.0);
    // The last one is neither enough nor missed.
    check("abcd", &[2, 3], 1.0, 0.5);
    check("abcd", &[0, 1, 3], 1.0, 2.0 / 3.0);
    // Two parts are not needed beside the whole, which is enough alone.
    check("abcd", &[0, 1, 2], 1.0, 1.0 / 3.0);
    check("abcd", &[], 0.0, 0.0);
    check("abcd", &[2, 2], 1.0, 1.0);
}

#[test]
fn a_set_of_answers_worked_out_by_hand() {
    let qrels =
        qrels(&[("q1", "p", 1), ("q1", "o", 2), ("q1", "n", 0), ("q2", "p", 1), ("q4", "p", 1), ("q5", "p", 1)]);
    let answers = [
        // One of two gold pages, and a wrong one; one sentence of two is supported.
        answer("q1", &[("ab", &[0]), ("x", &[1])], &[("p", "ab"), ("n", "cd"), ("o", "not cited")]),
        // There is an answer, and it was not found.
        nothing("q2"),
        // There is none, and that is what is said; and once it is not.
        nothing("q3"),
        answer("q6", &[("ab", &[0])], &[("p", "ab")]),
        answer("q4", &[("ab", &[0]), ("b", &[0]), ("a", &[0])], &[("p", "ab")]),
    ];
    let (all, scored) = score(&answers, &qrels, &Letters).unwrap();
    assert_eq!((all.answers, all.missing, all.sentences), (5, 1, 6));
    assert!(close(scored[0].gold_precision, 0.5) && close(scored[0].gold_recall, 0.5), "{:?}", scored[0]);
    assert_eq!((scored[1].gold_precision, scored[2].gold_recall, scored[3].gold_precision), (None, None, None));
    // Precision of q1 and q4; recall of q1, q2, q4 and of q5, which nobody answered.
    assert!(close(all.gold_precision, 0.75), "{all:?}");
    assert!(close(all.gold_recall, (0.5 + 0.0 + 1.0 + 0.0) / 4.0), "{all:?}");
    // Of q1, q6 and q4.
    assert!(close(all.citation_recall, (0.5 + 1.0 + 1.0) / 3.0), "{all:?}");
    assert!(close(all.supported, 5.0 / 6.0), "{all:?}");
    let Abstention { unanswerable, abstained, right, precision, recall, f1 } = all.abstention;
    assert_eq!((unanswerable, abstained, right), (2, 2, 1));
    assert!(close(precision, 0.5) && close(recall, 0.5) && close(f1, 0.5));
}

#[test]
fn what_has_nothing_to_be_taken_of_is_none() {
    let (all, _) = score(&[], &Qrels::default(), &Letters).unwrap();
    assert_eq!((all.gold_precision, all.gold_recall, all.supported, all.abstention.f1), (None, None, None, None));
    let (all, _) = score(&[nothing("q")], &qrels(&[("q", "p", 1)]), &Letters).unwrap();
    assert_eq!((all.abstention.precision, all.abstention.recall), (Some(0.0), None));
}

#[test]
fn answers_are_read_as_they_come_over_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.jsonl");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        super::read(&path)
    };
    let line =
        r#"{"query_id":"q1","not_found":false,"model":"x","sentences":[{"text":"A.","citations":[0],"marked":true}],
        "citations":[{"page":"p","block":"b","version":12,"range":[0,2],"text":"A.","title":"T"}]}"#
            .replace('\n', " ");
    let answers = read(&format!("{line}\n{{\"query_id\":\"q2\",\"not_found\":true}}\n")).unwrap();
    assert_eq!((answers.len(), answers[0].citations[0].range, answers[1].not_found), (2, Some([0, 2]), true));
    let wrong = |text: &str| format!("{:#}", read(text).unwrap_err());
    assert!(wrong(&format!("{line}\n{line}")).ends_with("line 2: the query q1 is answered twice"));
    assert!(wrong(&line.replace("[0],", "[1],")).ends_with("line 1: a sentence cites 1, and there are 1 citations"));
}

proptest! {
    #[test]
    fn scores_are_shares_and_more_gold_cited_is_more_recall(
        sentences in prop::collection::vec(("[a-d]{1,4}", prop::collection::vec(0..4_usize, 0..4)), 0..5),
        texts in prop::collection::vec("[a-d]{0,4}", 4),
        gold in prop::collection::btree_set(0..6_usize, 0..4),
    ) {
        let pages: Vec<String> = (0..6).map(|at| format!("p{at}")).collect();
        let citations: Vec<(&str, &str)> = pages.iter().zip(&texts).map(|(page, text)| (page.as_str(), text.as_str())).collect();
        let sentences: Vec<(&str, &[usize])> = sentences.iter().map(|(text, cited)| (text.as_str(), &cited[..])).collect();
        let judged: Vec<(&str, &str, i32)> = gold.iter().map(|at| ("q", pages[*at].as_str(), 1)).collect();
        let qrels = qrels(&judged);
        let one = |sentences: &[(&str, &[usize])]| score(&[answer("q", sentences, &citations)], &qrels, &Letters).unwrap();
        let (all, scored) = one(&sentences);
        for value in [all.gold_precision, all.gold_recall, all.citation_recall, all.citation_precision, all.supported] {
            prop_assert!(value.is_none_or(|value| (0.0..=1.0).contains(&value)));
        }
        prop_assert_eq!(scored[0].supported.len(), sentences.len());
        let mut more = sentences.clone();
        more.push(("a", &[0, 1, 2, 3]));
        prop_assert!(one(&more).1[0].gold_recall >= scored[0].gold_recall);
        // A sentence without citations lowers recall and leaves precision.
        let mut bare = sentences.clone();
        bare.push(("a", &[]));
        let bare = &one(&bare).1[0];
        prop_assert!(bare.citation_recall.unwrap() <= scored[0].citation_recall.unwrap_or(1.0));
        prop_assert!(close(bare.citation_precision, scored[0].citation_precision.unwrap_or(0.0)));
    }
}
