//! Guesses the language of a passage.
//!
//! Scripts decide where they can; in Latin text its commonest words; trigrams (whatlang) where they must and the text is
//! long enough. Looks at the start of the text only, so its cost is bounded. A wrong guess costs
//! inflections, not matches: a query asks for the stems of every language of the workspace.

use whatlang::{Detector, Lang};

pub(super) use function_words::FunctionWords;

use super::language::Language;
use super::script::{Class, Script, class_of};

mod function_words;

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
/// Of the paragraphs of XQuAD (12 languages, 240 each) 99.2 % or more are told apart with English as the fallback; of its
/// questions, with the right fallback 99.7 %, with English 53 % (Turkish) to 100 %.
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
    if east_asian * 4 >= total {
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
        cyrillic_language(sample, census.cyrillic, fallback)
    } else if dominates(census.latin) {
        latin_language(sample, census.latin, fallback)
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

fn cyrillic_language(sample: &str, letters: usize, fallback: Language) -> Language {
    // Latin and other scripts are no reason to think of anything but the commonest Cyrillic language.
    let unsure = if fallback == Language::Other { Language::Other } else { Language::Russian };
    by_trigrams(sample, letters).unwrap_or(unsure)
}

fn latin_language(sample: &str, letters: usize, fallback: Language) -> Language {
    let function_words = FunctionWords::count(sample);
    if let Some(language) = function_words.winner(fallback) {
        return language;
    }
    // Addresses, tables and code look French or Dutch to trigrams; a text of some length has words to show for it.
    by_trigrams(sample, letters).filter(|language| function_words.allows(*language)).unwrap_or(fallback)
}

/// The language by trigrams; `None` where the letters are too few or the guess is unsure.
fn by_trigrams(sample: &str, letters: usize) -> Option<Language> {
    if letters < MIN_LETTERS {
        return None;
    }
    let info = Detector::new().detect(sample)?;
    info.is_reliable().then(|| from_lang(info.lang()))
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

#[cfg(test)]
mod tests {
    use super::{Language, detect_language};

    #[track_caller]
    fn check(fallback: Language, text: &str, expected: Language) {
        assert_eq!(detect_language(text, fallback), expected, "{text}");
    }

    #[test]
    fn scripts_of_one_language_decide_at_once() {
        check(Language::English, "北京大学在哪里", Language::Chinese);
        check(Language::English, "サーバーを再起動する", Language::Japanese);
        check(Language::English, "한국어 문서", Language::Korean);
        check(Language::English, "ภาษาไทย", Language::Thai);
        check(Language::English, "Ο λόγος", Language::Greek);
        check(Language::English, "தமிழ் மொழி", Language::Tamil);
        check(Language::English, "هذا كتاب جديد", Language::Arabic);
        check(Language::English, "این یک کتاب است", Language::Other);
        check(Language::English, "यह हिन्दी है", Language::Other);
        check(Language::English, "наши новые серверы", Language::Russian);
    }

    #[test]
    fn a_title_in_ideographs_takes_after_its_page() {
        check(Language::Japanese, "東京都庁", Language::Japanese);
        check(Language::Chinese, "東京都庁", Language::Chinese);
    }

    #[test]
    fn east_asian_text_full_of_english_terms_is_still_east_asian() {
        check(Language::English, "GitLab Runner を Kubernetes executor で使う", Language::Japanese);
        check(Language::Japanese, "Use the GitLab Runner with 東京 as the default region", Language::English);
    }

    #[test]
    fn a_sentence_is_told_by_its_function_words() {
        check(Language::English, "Wie wird der Server in der Küche gestartet?", Language::German);
        check(Language::English, "Comment est-ce que le serveur est démarré dans la cuisine ?", Language::French);
        check(Language::German, "What is the name of the server in the kitchen?", Language::English);
        check(Language::English, "¿Cómo se llama el servidor de la cocina?", Language::Spanish);
        check(
            Language::English,
            "Hoe heet de server die in de keuken staat en wie is de eigenaar van het apparaat?",
            Language::Dutch,
        );
    }

    #[test]
    fn longer_text_without_a_clear_vote_is_told_by_trigrams() {
        let polish = "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są obdarzeni rozumem \
                      i sumieniem i powinni postępować wobec innych w duchu braterstwa.";
        check(Language::English, polish, Language::Other);
        let ukrainian = "Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені розумом і \
                         совістю і повинні діяти у відношенні один до одного в дусі братерства.";
        check(Language::Russian, ukrainian, Language::Other);
    }

    #[test]
    fn what_cannot_be_told_is_the_fallback() {
        for fallback in [Language::German, Language::Other, Language::Thai] {
            check(fallback, "", fallback);
            check(fallback, "42 -> 43 🚀", fallback);
            check(fallback, "EM_GETLANGOPTIONS", fallback);
            check(fallback, "OK", fallback);
        }
    }
}
