//! Marked ranges, in every script.

use super::super::{Analyzer, Language, Tokens};

/// Checks the marked text for `query`, with the marks written as brackets.
#[track_caller]
fn check(language: Language, query: &str, text: &str, expected: &str) {
    let analyzer = Analyzer::new();
    let words = analyzer.query_terms(query, &[language, Language::English]);
    let mut marked = String::new();
    let mut at = 0;
    for (start, end) in analyzer.highlight_ranges(text, language, &words, &mut Tokens::new()) {
        marked.push_str(&text[at..start as usize]);
        marked.push('[');
        marked.push_str(&text[start as usize..end as usize]);
        marked.push(']');
        at = end as usize;
    }
    marked.push_str(&text[at..]);
    assert_eq!(marked, expected);
}

#[test]
fn inflected_and_accented_words_are_marked_as_written() {
    check(Language::English, "run shoe", "Running in new shoes.", "[Running] in new [shoes].");
    check(Language::German, "zurich haus", "Häuser in Zu\u{308}rich!", "[Häuser] in [Zu\u{308}rich]!");
    check(Language::French, "homme", "C'est l’homme.", "C'est l’[homme].");
    check(Language::Russian, "сервер", "Наши серверы", "Наши [серверы]");
    check(Language::Greek, "λογος", "Οι λόγοι", "Οι [λόγοι]");
    check(Language::Arabic, "مدرسة", "في المدرسة", "في [المدرسة]");
    check(Language::Other, "हिन्दी", "यह हिन्दी है", "यह [हिन्दी] है");
    check(Language::Other, "duong", "con đường", "con [đường]");
}

#[test]
fn runs_without_spaces_are_marked_by_the_bigrams_they_share() {
    check(Language::Chinese, "北京大学", "在北京大学，北京人", "在[北京大学]，[北京]人");
    check(Language::Chinese, "人", "北京人，大人", "北京[人]，大[人]");
    check(Language::Japanese, "東京タワー", "昔、東京タワーは京都に", "昔、[東京タワー]は京都に");
    check(Language::Japanese, "ガラス", "この ｶﾞﾗｽ は", "この [ｶﾞﾗｽ] は");
    check(Language::Korean, "한국", "그 한국에서는", "그 [한국]에서는");
    check(Language::Thai, "ไทย", "ภาษาไทยง่าย", "ภาษา[ไทย]ง่าย");
}

#[test]
fn identifiers_are_marked_whole_or_by_part() {
    check(Language::English, "getUserName", "call getUserName()", "call [getUserName]()");
    check(Language::English, "user", "call getUserName()", "call get[User]Name()");
    check(Language::English, "e-mail", "an email, an e-mail", "an [email], an [e-mail]");
    check(Language::English, "C++", "in C++.", "in [C++].");
    check(Language::English, "🚀", "to the 🚀!", "to the [🚀]!");
}

#[test]
fn nothing_is_marked_for_nothing() {
    check(Language::English, "", "some text", "some text");
    check(Language::English, "?!", "some text", "some text");
    check(Language::English, "other", "", "");
}
