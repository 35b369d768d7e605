//! Guesses the language of a passage.
//!
//! Scripts decide where they can; trigrams (whatlang) where they must and the text is long enough. Looks at the start of
//! the text only, so its cost is bounded. A wrong guess costs inflections, not matches: words keep their folded form in
//! every language.

use whatlang::{Detector, Lang};

use super::language::Language;
use super::script::{Class, Script, class_of};

/// Characters of a text that are looked at.
const SAMPLE_CHARS: usize = 600;
/// Letters below which trigrams guess badly.
const MIN_LETTERS: usize = 40;

/// Letters by what they say of the language.
#[derive(Debug, Default)]
struct Census {
    latin: usize,
    cyrillic: usize,
    greek: usize,
    arabic: usize,
    persian: usize,
    tamil: usize,
    other: usize,
    han: usize,
    kana: usize,
    hangul: usize,
    unspaced: usize,
}

/// The language of `text`; `fallback` where the text is too short or too mixed to tell.
///
/// Meant for passages: give the language of the page as the fallback, and that of the workspace as the page's. An
/// ideograph counts as three letters, which is about what it says.
pub fn detect_language(text: &str, fallback: Language) -> Language {
    let sample_end = text.char_indices().nth(SAMPLE_CHARS).map_or(text.len(), |(at, _)| at);
    let sample = &text[..sample_end];
    let census = take_census(sample);
    let spaced = census.latin + census.cyrillic + census.greek + census.arabic + census.tamil + census.other;
    let east_asian = 3 * (census.han + census.kana + census.hangul);
    let total = spaced + east_asian + census.unspaced;
    if total == 0 {
        return fallback;
    }
    if east_asian * 3 >= total {
        return east_asian_language(&census, fallback);
    }
    let dominates = |count: usize| count * 2 > total;
    if dominates(census.unspaced) {
        Language::Thai
    } else if dominates(census.greek) {
        Language::Greek
    } else if dominates(census.tamil) {
        Language::Tamil
    } else if dominates(census.arabic) {
        if census.persian * 100 > census.arabic { Language::Other } else { Language::Arabic }
    } else if dominates(census.cyrillic) {
        by_trigrams(sample, census.cyrillic, fallback, Language::Russian)
    } else if dominates(census.latin) {
        by_trigrams(sample, census.latin, fallback, fallback)
    } else if dominates(census.other) {
        Language::Other
    } else {
        fallback
    }
}

fn take_census(sample: &str) -> Census {
    let mut census = Census::default();
    for c in sample.chars() {
        let count = match class_of(c) {
            Class::Letter(Script::Latin) => &mut census.latin,
            Class::Letter(Script::Cyrillic) => &mut census.cyrillic,
            Class::Letter(Script::Greek) => &mut census.greek,
            Class::Letter(Script::Arabic) => {
                // Letters that Persian and Urdu have and Arabic has not.
                census.persian += usize::from(matches!(c, 'پ' | 'چ' | 'ژ' | 'گ' | 'ک' | 'ی' | 'ے' | 'ٹ' | 'ڈ'));
                &mut census.arabic
            }
            Class::Letter(Script::Tamil) => &mut census.tamil,
            Class::Letter(_) => &mut census.other,
            Class::Han => &mut census.han,
            Class::Hiragana | Class::Katakana => &mut census.kana,
            Class::Hangul => &mut census.hangul,
            Class::Unspaced => &mut census.unspaced,
            Class::Digit | Class::Mark | Class::Pictograph | Class::Break => continue,
        };
        *count += 1;
    }
    census
}

fn east_asian_language(census: &Census, fallback: Language) -> Language {
    if census.hangul > census.han + census.kana {
        Language::Korean
    } else if census.kana * 20 > census.han + census.kana {
        Language::Japanese
    } else if fallback == Language::Japanese && census.han < MIN_LETTERS {
        // A title or table cell in a Japanese page may well have no kana.
        Language::Japanese
    } else {
        Language::Chinese
    }
}

/// Trigrams, among `letters` letters of one script; `fallback` where they are too few or the guess is unsure, unless
/// `fallback` is not written in that script: then `usual`.
fn by_trigrams(sample: &str, letters: usize, fallback: Language, usual: Language) -> Language {
    let unsure = if usual == Language::Russian && fallback != Language::Other { Language::Russian } else { fallback };
    if letters < MIN_LETTERS {
        return unsure;
    }
    let Some(info) = Detector::new().detect(sample) else { return unsure };
    let language = from_lang(info.lang());
    if info.is_reliable() || language == fallback { language } else { unsure }
}

fn from_lang(lang: Lang) -> Language {
    match lang {
        Lang::Eng => Language::English,
        Lang::Deu => Language::German,
        Lang::Fra => Language::French,
        Lang::Spa => Language::Spanish,
        Lang::Ita => Language::Italian,
        Lang::Por => Language::Portuguese,
        Lang::Nld => Language::Dutch,
        Lang::Dan => Language::Danish,
        Lang::Swe => Language::Swedish,
        Lang::Nob => Language::Norwegian,
        Lang::Fin => Language::Finnish,
        Lang::Hun => Language::Hungarian,
        Lang::Ron => Language::Romanian,
        Lang::Rus => Language::Russian,
        Lang::Tur => Language::Turkish,
        Lang::Ell => Language::Greek,
        Lang::Ara => Language::Arabic,
        Lang::Tam => Language::Tamil,
        Lang::Cmn => Language::Chinese,
        Lang::Jpn => Language::Japanese,
        Lang::Kor => Language::Korean,
        Lang::Tha | Lang::Khm | Lang::Mya => Language::Thai,
        _ => Language::Other,
    }
}
