//! What a query word may match, and how phrases are laid out.

use super::super::{Analyzer, Form, Language, Tokens};

#[track_caller]
fn check(languages: &[Language], query: &str, expected: &[&[&str]]) {
    let words = Analyzer::new().query_terms(query, languages);
    let actual: Vec<Vec<&str>> = words.iter().map(|word| word.terms.iter().map(String::as_str).collect()).collect();
    assert_eq!(actual, expected, "{query}");
}

/// Whether the phrase `query` is in `text`: some place where every word that takes part stands at its distance.
fn phrase_matches(language: Language, query: &str, text: &str) -> bool {
    let analyzer = Analyzer::new();
    let mut tokens = Tokens::new();
    analyzer.tokens(text, language, &mut tokens);
    let words: Vec<_> = analyzer.query_terms(query, &[language]).into_iter().filter(|word| word.in_phrase).collect();
    let last = tokens.iter().map(|token| token.position).max().unwrap_or_default();
    !words.is_empty()
        && (0..=last).any(|base| {
            words.iter().all(|word| {
                tokens
                    .iter()
                    .any(|token| token.position == base + word.position && word.terms.iter().any(|t| t == token.term))
            })
        })
}

#[track_caller]
fn check_phrase(language: Language, query: &str, text: &str, expected: bool) {
    assert_eq!(phrase_matches(language, query, text), expected, "{query} in {text}");
}

#[test]
fn a_word_has_the_stems_of_every_language_once_and_itself_last() {
    check(&[Language::English, Language::German], "Universities", &[&["univers", "universiti", "universities"]]);
    check(&[Language::English, Language::Dutch], "cat", &[&["cat"]]);
    check(&[], "Running", &[&["running"]]);
    check(&[Language::Other], "má", &[&["ma", "má"]]);
}

#[test]
fn an_identifier_asks_for_the_whole_and_for_its_parts() {
    check(&[Language::English], "YouTube", &[&["youtube", "youtub"], &["you"], &["tube"]]);
    check(&[Language::English], "foo_bar", &[&["foo_bar"], &["foo"], &["bar"]]);
    let words = Analyzer::new().query_terms("find foo_bar 東京", &[Language::English]);
    let units: Vec<(u32, &str)> = words.iter().map(|word| (word.unit, word.surface.as_str())).collect();
    assert_eq!(units, [(0, "find"), (1, "foo_bar"), (1, "foo"), (1, "bar"), (2, "東京"), (2, "東"), (2, "京")]);
    assert!(!words[1].in_phrase && words[2].in_phrase && words[4].in_phrase && !words[5].in_phrase);
}

#[test]
fn ranges_point_into_the_query() {
    let query = "Zu\u{308}rich 東京";
    let words = Analyzer::new().query_terms(query, &[Language::German]);
    let sources: Vec<&str> = words.iter().map(|word| &query[word.start as usize..word.end as usize]).collect();
    assert_eq!(sources, ["Zu\u{308}rich", "東京", "東", "京"]);
}

#[test]
fn only_words_of_letters_are_expanded() {
    let words = Analyzer::new().query_terms("word 42 foo_bar e-mail 東京", &[Language::English]);
    let expandable: Vec<&str> =
        words.iter().filter(|word| word.is_expandable()).map(|word| word.surface.as_str()).collect();
    assert_eq!(expandable, ["word", "foo", "bar", "email", "e", "mail"]);
}

#[test]
fn weights_are_positive_and_those_of_words_are_the_highest() {
    let words = Analyzer::new()
        .query_terms("word 東京 です 使う 人 コンピュータ 한국어 ไทย x_y 🚀 誰 who", &[Language::English]);
    for word in &words {
        assert!(word.weight() > 0.0 && word.weight() <= 1.0, "{word:?}");
        assert_eq!(word.terms.len(), word.forms.len(), "{word:?}");
    }
    let weight = |surface: &str| words.iter().find(|word| word.surface == surface).expect(surface).weight();
    assert!(weight("word") > weight("コンピュータ") && weight("コンピュータ") > weight("東京"));
    assert!(weight("東京") > weight("使う") && weight("使う") >= weight("です"));
    assert!(weight("東京") > weight("京") && weight("人") > weight("京"), "an ideograph alone is all there is");
}

#[test]
fn the_whole_of_an_identifier_weighs_more_than_each_of_its_parts() {
    let words = Analyzer::new().query_terms("call foo_bar::getName e-mail 1,000", &[Language::English]);
    let parts: Vec<&str> = words.iter().filter(|word| word.is_part).map(|word| word.surface.as_str()).collect();
    assert_eq!(parts, ["foo", "bar", "get", "name", "e", "mail", "1", "000"]);
    for word in &words {
        assert!((word.weight() - if word.is_part { 0.5 } else { 1.0 }).abs() < 1e-6, "{word:?}");
    }
}

#[test]
fn two_stems_of_one_word_share_its_weight() {
    let forms = |languages: &[Language], query: &str| Analyzer::new().query_terms(query, languages)[0].forms.clone();
    assert_eq!(forms(&[Language::Other], "má"), [Form::Folded, Form::Accented]);
    assert_eq!(forms(&[Language::Other], "ma"), [Form::Only]);
    assert_eq!(forms(&[Language::English, Language::German], "Universities"), [Form::Only; 3]);
    assert!((Form::Folded.share() + Form::Accented.share() - Form::Only.share()).abs() < 1e-6);
}

#[track_caller]
fn check_questions(languages: &[Language], query: &str, expected: &[&str]) {
    let words = Analyzer::new().query_terms(query, languages);
    let asked_with = words.iter().filter(|word| word.is_question);
    let found: Vec<&str> = asked_with.map(|word| &query[word.start as usize..word.end as usize]).collect();
    assert_eq!(found, expected, "{query}");
}

#[test]
fn words_that_only_ask_are_told_from_the_others() {
    check_questions(&[Language::English], "How many domes does the Annexe have?", &["How", "many", "does"]);
    check_questions(&[Language::English, Language::German], "Wie viele Kuppeln hat der Anbau?", &["Wie", "viele"]);
    check_questions(&[Language::Russian], "Кто открыл купол?", &["Кто"]);
    check_questions(&[Language::Japanese], "ドームはどこ", &["はど", "どこ", "こ"]);
    check_questions(&[Language::Chinese], "圆顶有多少", &["有多", "多少", "多", "少"]);
    check_questions(&[Language::Thai], "โดมคืออะไร", &["ออ", "อะ", "ะไ", "ไร", "ร"]);
    check_questions(&[Language::English], "dome shutter", &[]);
}

#[test]
fn a_name_that_asks_in_another_language_is_a_name() {
    let all = [Language::English, Language::Romanian, Language::Turkish, Language::Italian];
    check_questions(&all, "health care", &[]);
    check_questions(&all, "Kim Chi", &[]);
    check_questions(&all, "what is the health care plan", &["what", "is"]);
}

#[test]
fn phrases_match_in_every_script() {
    check_phrase(Language::English, "quick brown", "the quick brown fox", true);
    check_phrase(Language::English, "brown quick", "the quick brown fox", false);
    check_phrase(Language::English, "well known", "a well-known fact", true);
    check_phrase(Language::English, "user name", "call getUserName now", true);
    check_phrase(Language::English, "getUserName now", "call getUserName now", true);
    check_phrase(Language::English, "C++ code", "some C++ code", true);
    check_phrase(Language::French, "l'homme est", "car l’homme est né", true);
    check_phrase(Language::Russian, "новые серверы", "наши новые серверы", true);
    check_phrase(Language::Chinese, "京大", "北京大学", true);
    check_phrase(Language::Chinese, "京学", "北京大学", false);
    check_phrase(Language::Chinese, "大学 2024年", "北京大学 2024年", true);
    check_phrase(Language::Japanese, "東京タワーに", "昔の東京タワーに登る", true);
    check_phrase(Language::Japanese, "Aは", "AはいいBです", true);
    check_phrase(Language::Japanese, "すB", "ですB", true);
    check_phrase(Language::Japanese, "タワー", "東京タワーズ", true);
    check_phrase(Language::Korean, "한국 사람", "그 한국 사람은", true);
    check_phrase(Language::Korean, "국어를 배", "한국어를 배우는", true);
    check_phrase(Language::Thai, "ไทย", "ภาษาไทยง่าย", true);
    check_phrase(Language::Thai, "ยไท", "ภาษาไทยง่าย", false);
    check_phrase(Language::Arabic, "كتاب جديد", "هذا كتاب جديد", true);
    check_phrase(Language::Other, "हिन्दी में", "यह हिन्दी में है", true);
    check_phrase(Language::English, "🚀 launch", "the 🚀 launch", true);
}
