//! Guesses the language of Latin text by its commonest words: a hundred times faster than trigrams, and good on a
//! single sentence. Gives no answer where two languages are close; trigrams then decide.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::language::Language;

/// Words that make up a fourth or more of running text; a word may count for several languages.
const WORDS: [(Language, &str); 14] = [
    (
        Language::English,
        "the of and to in is that for it with as on are this be at by from or an was not have you we your can will if \
         which what how who when where does did has do they their there our been were would should",
    ),
    (
        Language::German,
        "der die das und ist nicht ein eine einer eines den dem des mit von zu für auf im sich wird werden auch als bei \
         oder wie nach aus sind kann wenn wir sie was wer wo welche welcher zum zur durch wurde es ich wann warum",
    ),
    (
        Language::French,
        "le la les des et est une un du dans que qui pour pas sur au aux avec ce cette par plus sont il elle nous vous \
         ne se ou être quel quelle où comment de en dans quels quelles quand fait votre",
    ),
    (
        Language::Spanish,
        "el la los las de que y en un una por con para del se su es no al lo como más pero sus este esta son qué cuál \
         cómo cuándo quién fue está dónde cuántos",
    ),
    (
        Language::Italian,
        "il lo la gli le di che e è un una per con non del della dei delle nel nella sono si come più anche da al questo \
         questa quale chi in cosa quando dove quanti stato",
    ),
    (
        Language::Portuguese,
        "o a os as de que e do da dos das em um uma para com não no na por se é mais como ao são foi você seu sua qual \
         quem onde quando está",
    ),
    (
        Language::Dutch,
        "de het een en van is dat die niet met op voor zijn aan te er ook als door naar bij om wordt worden deze dit \
         welke wat hoe wie waar werd kan of in",
    ),
    (
        Language::Danish,
        "og i at det en den til er som på de med af for ikke der var et har om kan vi hvad hvem hvilken fra eller efter \
         hvor blev jeg",
    ),
    (
        Language::Swedish,
        "och att det i en som på är av för med den till inte om ett har de vi kan från var eller vad vilken vem efter \
         när hur jag",
    ),
    (
        Language::Norwegian,
        "og i det at en til er som på de med for av ikke den har om et vi kan var fra eller hva hvem hvilken etter hvor \
         ble jeg",
    ),
    (
        Language::Finnish,
        "ja on ei että se oli hän mutta kun niin kuin mitä joka ovat myös tai sen sekä mikä kuka missä",
    ),
    (
        Language::Hungarian,
        "a az és hogy nem is egy ez van volt meg csak de ha mint már vagy mi ki mit milyen hol mikor",
    ),
    (
        Language::Romanian,
        "și în de la a cu nu este un o pe care din că pentru mai ce sau sunt al ale lui prin fost cine au cum câte când",
    ),
    (
        Language::Turkish,
        "ve bir bu için ile da de olarak daha çok ne gibi olan kadar en sonra ancak veya her hangi nedir kim kaç zaman \
         tarafından hangisi",
    ),
];

/// Which of `WORDS` each word is in, a bit a row.
static ROWS: LazyLock<HashMap<&'static str, u16>> = LazyLock::new(|| {
    let mut rows = HashMap::new();
    for (row, (_, words)) in WORDS.iter().enumerate() {
        for word in words.split_ascii_whitespace() {
            *rows.entry(word).or_default() |= 1u16 << row;
        }
    }
    rows
});

/// How often the function words of each language were met.
#[derive(Debug)]
pub(in super::super) struct FunctionWords {
    words: usize,
    votes: [usize; WORDS.len()],
    /// Which of its words a language was met with, as a sketch of 16 bits: enough to tell one word from several.
    seen: [u16; WORDS.len()],
}

impl FunctionWords {
    /// Counts those of `sample`.
    pub(in super::super) fn count(sample: &str) -> Self {
        let mut counts = Self { words: 0, votes: [0; WORDS.len()], seen: [0; WORDS.len()] };
        let mut lower = String::new();
        for word in sample.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
            counts.words += 1;
            lower.clear();
            lower.extend(word.chars().flat_map(char::to_lowercase));
            let Some(rows) = ROWS.get(lower.as_str()) else { continue };
            let bit = lower.bytes().fold(0u8, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte)) % 16;
            for row in (0..WORDS.len()).filter(|row| rows & (1 << row) != 0) {
                counts.votes[row] += 1;
                counts.seen[row] |= 1 << bit;
            }
        }
        counts
    }

    /// The language the sample is full of the words of; `fallback` needs less evidence than the others.
    pub(super) fn winner(&self, fallback: Language) -> Option<Language> {
        let best = (0..WORDS.len()).max_by_key(|row| (self.votes[*row], WORDS[*row].0 == fallback))?;
        let best_votes = self.votes[best];
        let second_votes =
            (0..WORDS.len()).filter(|row| *row != best).map(|row| self.votes[row]).max().unwrap_or_default();
        let language = WORDS[best].0;
        if language == fallback && best_votes > second_votes && best_votes * 12 >= self.words {
            return Some(language);
        }
        let is_enough = best_votes * 6 >= self.words && self.seen[best].count_ones() >= 2;
        let is_clear = best_votes >= second_votes + 2 && best_votes * 2 >= second_votes * 3;
        (is_enough && is_clear).then_some(language)
    }

    /// The language that most words of the sample are function words of, if they are at least `votes_min` and more than
    /// those of any other.
    pub(in super::super) fn most_frequent(&self, votes_min: usize) -> Option<Language> {
        let best = (0..WORDS.len()).max_by_key(|row| self.votes[*row])?;
        let is_alone = self.votes.iter().filter(|votes| **votes == self.votes[best]).count() == 1;
        (is_alone && self.votes[best] >= votes_min).then_some(WORDS[best].0)
    }

    /// Whether the sample may be in `language`: not when it is a listed one and none of its words was met.
    pub(super) fn allows(&self, language: Language) -> bool {
        WORDS.iter().zip(self.votes).all(|((listed, _), votes)| *listed != language || votes > 0)
    }
}
