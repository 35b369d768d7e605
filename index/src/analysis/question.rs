//! Which parts of a query are what a question is asked with: `who`, `how many`, `何`, `多少`.
//!
//! Such words say what kind of answer is wanted, not what it is about. Passages seldom hold them, so that BM25 takes them
//! for rare and telling. They are found in the query alone: texts are indexed whole, and nothing is left out of a query.
//!
//! In scripts that one language has, its words decide by themselves. Latin words may be asking in one language and naming
//! in another (Romanian `care`, Turkish `kim`), so a language must show two of its commonest words, more than any other,
//! or be the only Latin one that was asked for.

use std::ops::Range;

use super::detect::FunctionWords;
use super::language::Language;

/// Words between spaces.
const SPACED: [(Language, &str); 18] = [
    (Language::English, "what which who whom whose when where why how many much did does do is was were are"),
    (
        Language::German,
        "was wer wen wem wessen wo wohin woher woran wofür worin womit wann warum wieso weshalb wie viel viele welche \
         welcher welches welchen welchem",
    ),
    (
        Language::French,
        "que quoi qui quel quelle quels quelles où quand comment pourquoi combien est-ce lequel laquelle lesquels",
    ),
    (Language::Spanish, "qué que cuál cuáles quién quiénes cuándo dónde cómo cuánto cuánta cuántos cuántas por"),
    (Language::Italian, "che cosa chi quale quali quando dove come perché quanto quanta quanti quante"),
    (Language::Portuguese, "que quê quem qual quais quando onde como porque quanto quanta quantos quantas"),
    (Language::Dutch, "wat wie welke welk waar wanneer waarom hoe hoeveel wiens"),
    (Language::Danish, "hvad hvem hvilken hvilket hvilke hvor hvornår hvorfor hvordan mange meget"),
    (Language::Swedish, "vad vem vilken vilket vilka var när varför hur många mycket"),
    (Language::Norwegian, "hva hvem hvilken hvilket hvilke hvor når hvorfor hvordan mange mye"),
    (Language::Finnish, "mikä mitä mitkä kuka ketkä kenen missä mistä mihin milloin miksi miten kuinka monta paljon"),
    (Language::Hungarian, "mi mit milyen melyik ki kit kinek hol hová honnan mikor miért hogyan mennyi hány"),
    (Language::Romanian, "ce care cine cui când unde cum cât câtă câți câte cărui cărei cărora"),
    (
        Language::Turkish,
        "ne neden kim kimin kime kimi hangi hangisi nerede nereden nereye zaman nasıl kaç nedir kimdir kaçta",
    ),
    (
        Language::Russian,
        "что какой какая какое какие каком какую какого каких каким какими кто кого кому кем когда где почему как \
         сколько куда откуда чем чего чему зачем чей",
    ),
    (
        Language::Greek,
        "τι ποιος ποια ποιο ποιοι ποιες ποιον ποιους ποιων ποιου ποιας πότε πού γιατί πώς πόσο πόσα πόσες πόσοι",
    ),
    (Language::Arabic, "ما ماذا من متى أين كيف كم لماذا أي أية هل الذي التي"),
    // Vietnamese and Hindi have no stemmer; in texts that are neither, their words do not occur.
    (
        Language::Other,
        "gì nào ai đâu bao nhiêu khi sao như thế क्या कौन किस किसने किसे किसका किसकी किसके कब कहाँ कहां क्यों कैसे कितने कितनी \
         कितना कौनसा कौनसी किन किन्होंने",
    ),
];

/// Words of scripts without spaces, and of Korean, wherever they stand. Longer ones first where one begins another.
const UNSPACED: [&str; 84] = [
    "什么",
    "什麼",
    "甚麼",
    "哪个",
    "哪個",
    "哪些",
    "哪里",
    "哪裡",
    "哪儿",
    "哪一",
    "哪年",
    "哪位",
    "哪种",
    "哪種",
    "哪项",
    "哪項",
    "谁",
    "誰",
    "多少",
    "几个",
    "幾個",
    "为什么",
    "為什麼",
    "为何",
    "為何",
    "怎么",
    "怎麼",
    "怎样",
    "怎樣",
    "如何",
    "何时",
    "何時",
    "何处",
    "多大",
    "多久",
    "吗",
    "嗎",
    "呢",
    "何が",
    "何を",
    "何で",
    "何と",
    "何に",
    "何の",
    "何人",
    "何年",
    "何月",
    "何日",
    "何歳",
    "何度",
    "何か",
    "なに",
    "なん",
    "いつ",
    "どこ",
    "どの",
    "どれ",
    "どちら",
    "どんな",
    "どう",
    "なぜ",
    "いくつ",
    "いくら",
    "だれ",
    "でしょうか",
    "ですか",
    "ますか",
    "ましたか",
    "でしたか",
    "อะไร",
    "ใคร",
    "ที่ไหน",
    "เมื่อไหร่",
    "เมื่อไร",
    "เมื่อใด",
    "อย่างไร",
    "ทำไม",
    "เท่าไหร่",
    "เท่าไร",
    "เท่าใด",
    "무엇",
    "누구",
    "언제",
    "어디",
];

/// The byte ranges of `query` that are question words, in order of their kind; `languages` are those of the texts.
pub(super) fn question_ranges(query: &str, languages: &[Language]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    if !query.is_ascii() {
        for word in UNSPACED {
            ranges.extend(query.match_indices(word).map(|(at, found)| at..at + found.len()));
        }
    }
    let latin = latin_language(query, languages);
    for (word, range) in words(query) {
        let is_asked_with = SPACED.iter().any(|(language, listed)| {
            let counts = if is_latin(*language) { latin == Some(*language) } else { !word.is_ascii() };
            counts && listed.split_ascii_whitespace().any(|other| other == word)
        });
        if is_asked_with {
            ranges.push(range);
        }
    }
    ranges
}

/// The language that Latin question words are taken in.
fn latin_language(query: &str, languages: &[Language]) -> Option<Language> {
    let mut of_texts = languages.iter().filter(|language| is_latin(**language));
    match (of_texts.next(), of_texts.next()) {
        (Some(only), None) => Some(*only),
        (None, _) => None,
        _ => FunctionWords::count(query).most_frequent(2),
    }
}

fn is_latin(language: Language) -> bool {
    !matches!(language, Language::Russian | Language::Greek | Language::Arabic | Language::Other)
        && SPACED.iter().any(|(listed, _)| *listed == language)
}

/// The words of a text in lower case, each with its bytes.
fn words(text: &str) -> impl Iterator<Item = (String, Range<usize>)> {
    let is_inside = |c: char| c.is_alphanumeric() || super::script::is_mark(c);
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_inside)?;
        let end = start + text[start..].find(|c| !is_inside(c)).unwrap_or(text.len() - start);
        at = end;
        Some((text[start..end].to_lowercase(), start..end))
    })
}
