//! What holds for any text: proptest over words, punctuation and arbitrary Unicode.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::segment::{Piece, Segmenter};
use super::super::{Analyzer, Language, MAX_TERM_BYTES, Token, TokenKind, Tokens, detect_language};

pub(super) fn any_language() -> impl Strategy<Value = Language> {
    prop::sample::select(Language::ALL.to_vec())
}

/// Texts of words and punctuation from many scripts, with no space between some of them.
pub(super) fn any_text() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "running",
        "Zürich",
        "Zu\u{308}rich",
        "straße",
        "l'",
        "'s",
        "O'Brien",
        "getUserName",
        "HTTPServer",
        "APIs",
        "v1",
        "ID3DX11",
        "++",
        "#",
        ".",
        "::",
        "_",
        "-",
        "/",
        "://",
        "@",
        ",",
        "&",
        "1,000",
        "42",
        "３",
        "٣",
        "東京",
        "人",
        "タワー",
        "ｶﾞﾗｽ",
        "です",
        "한국어",
        "집",
        "ภาษาไทย",
        "น้ำ",
        "λόγος",
        "ёлки",
        "المدرسة",
        "हिन्दी",
        "தமிழ்",
        "İstanbul",
        "bakanlığı",
        "🚀",
        "™",
        "½",
        "㍿",
        "\u{AD}",
        "\u{200B}",
        "\u{301}",
        "\u{3099}",
        "\u{FF9E}",
        " ",
        " ",
        " ",
        "\n",
        "\u{3000}",
        "…",
        "—",
        "’",
    ]);
    prop_oneof![
        prop::collection::vec(fragment, 0..24).prop_map(|fragments| fragments.concat()),
        any::<String>(),
        "[a-zA-Z0-9_.:/+#'é -]{0,80}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranges_are_valid_and_ordered_and_terms_bounded(text in any_text(), language in any_language()) {
        let mut tokens = Tokens::new();
        Analyzer::new().tokens(&text, language, &mut tokens);
        let mut last = (0, 0);
        for token in tokens.iter() {
            let source = text.get(token.start as usize..token.end as usize);
            prop_assert!(source.is_some_and(|source| !source.is_empty()), "{token:?}");
            prop_assert!(!token.term.is_empty() && token.term.len() <= MAX_TERM_BYTES, "{token:?}");
            prop_assert!(!token.term.chars().any(|c| c.is_control() || c.is_whitespace()), "{token:?}");
            prop_assert!(last <= (token.position, token.start), "{token:?} after {last:?}");
            last = (token.position, token.start);
        }
    }

    #[test]
    fn a_query_has_every_term_of_the_same_text_in_any_of_its_languages(
        text in any_text(),
        languages in prop::collection::vec(any_language(), 1..4),
    ) {
        let words = Analyzer::new().query_terms(&text, &languages);
        let mut tokens = Tokens::new();
        for language in languages {
            Analyzer::new().tokens(&text, language, &mut tokens);
            for token in tokens.iter() {
                let found = words.iter().any(|word| {
                    (word.position, word.start, word.end) == (token.position, token.start, token.end)
                        && word.terms.iter().any(|term| term == token.term)
                });
                prop_assert!(found, "{token:?} of {language:?}");
            }
        }
    }

    #[test]
    fn a_word_of_a_text_finds_it_when_asked_for_alone(text in any_text(), language in any_language()) {
        let mut tokens = Tokens::new();
        Analyzer::new().tokens(&text, language, &mut tokens);
        let terms: HashSet<&str> = tokens.iter().map(|token| token.term).collect();
        for token in tokens.iter().filter(|token| token.kind == TokenKind::Word) {
            let word = &text[token.start as usize..token.end as usize];
            if word.contains(['\'', '’']) {
                continue; // What stands around an apostrophe decides what it is.
            }
            // A character that stands for several may be shared by two words: `Ⅱ` before a lower-case letter.
            let is_shared = |other: Token<'_>| {
                other.position != token.position && other.start < token.end && token.start < other.end
            };
            if tokens.iter().any(|other| other.kind == TokenKind::Word && is_shared(other)) {
                continue;
            }
            let found = Analyzer::new()
                .query_terms(word, &[language])
                .iter()
                .any(|word| word.terms.iter().any(|term| terms.contains(term.as_str())));
            prop_assert!(found, "{word} does not find {token:?}");
        }
    }

    #[test]
    fn highlights_of_a_text_by_itself_are_disjoint_and_cover_its_tokens(text in any_text(), language in any_language()) {
        let analyzer = Analyzer::new();
        let words = analyzer.query_terms(&text, &[language]);
        let ranges = analyzer.highlight_ranges(&text, language, &words, &mut Tokens::new());
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
        let mut tokens = Tokens::new();
        analyzer.tokens(&text, language, &mut tokens);
        for token in tokens.iter() {
            let covered = ranges.iter().any(|(start, end)| *start <= token.start && token.end <= *end);
            prop_assert!(covered, "{token:?}");
        }
    }

    #[test]
    fn the_fast_path_gives_what_the_general_path_gives(text in "[ -~]{0,40}") {
        // Full-width forms are the same characters after normalisation, and never take the fast path.
        let wide: String = text
            .chars()
            .map(|c| if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xFEE0).expect("in the block") } else { c })
            .collect();
        prop_assert_eq!(pieces(&text), pieces(&wide));
    }

    #[test]
    fn detection_takes_any_text(text in any_text(), language in any_language()) {
        let detected = detect_language(&text, language);
        prop_assert!(!text.is_empty() || detected == language);
    }
}

fn pieces(text: &str) -> Vec<(TokenKind, u32, u32, String)> {
    let mut pieces = Vec::new();
    Segmenter::default().segment(text, &mut |piece: Piece<'_>| {
        pieces.push((piece.kind, piece.position, piece.unit, piece.text.to_owned()));
    });
    pieces
}

#[test]
fn no_stemmer_panics_on_letters_of_any_script() {
    // Each stemmer gets every word of up to three letters from an alphabet with the letters it treats specially.
    let alphabet: Vec<char> = "aeiouyqsnßüéâêøåıçñãěςσλάىةالتيبمكвйьюяயக்ா\u{301}".chars().collect();
    let analyzer = Analyzer::new();
    let mut tokens = Tokens::new();
    for language in Language::ALL {
        for a in &alphabet {
            for b in &alphabet {
                for c in &alphabet {
                    let text: String = [a, b, c, b, a].into_iter().collect();
                    analyzer.tokens(&text, language, &mut tokens);
                }
            }
        }
    }
}
