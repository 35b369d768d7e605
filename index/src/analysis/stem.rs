//! From a lower-case word to the terms it is indexed under: folding and Snowball stemming, with a bounded memory.
//!
//! Stemming comes after folding, so that `Zürich` and `Zurich` end in one stem. Where the stemmer reads accents (Spanish
//! `-ción`, French `-é`) an accented word is also stemmed before folding, and both stems are kept when they differ: the
//! first finds what was typed without accents, the second joins inflections that folding pulls apart.
//!
//! Invariant: a word has one term or two, never an empty one, and the same ones at index and at query time.

use rust_stemmers::{Algorithm, Stemmer};

use super::MAX_TERM_BYTES;
use super::fold::fold_into;
use super::language::Language;
use super::script::Script;
use super::segment::truncate;

/// Words remembered; a power of two. At 24 bytes a word about a megabyte when full.
const CACHE_SLOTS: usize = 1 << 13;

/// The terms of one word: `primary`, and `variant` unless it is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    pub(super) primary: String,
    pub(super) variant: String,
}

/// Makes terms of words, reusing its buffers.
#[derive(Debug, Default)]
pub(super) struct WordStemmer {
    folded: String,
    slots: Vec<Slot>,
    document: u64,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    language: Language,
    word: String,
    terms: Terms,
    /// The document in which the word was met last.
    met_in: Option<u64>,
}

impl WordStemmer {
    /// The terms of `word` (NFKC, lower case, letters of `script`), whose apostrophe stood at byte `apostrophe`;
    /// remembered, so that a frequent word is stemmed once.
    pub(super) fn terms(&mut self, language: Language, script: Script, word: &str, apostrophe: usize) -> &Terms {
        &self.slot(language, script, without_suffix(language, word, apostrophe)).terms
    }

    /// As [`Self::terms`], and whether the word is new: true when it is first met after [`Self::next_document`], and
    /// later again for what was forgotten.
    pub(super) fn terms_and_news(
        &mut self,
        language: Language,
        script: Script,
        word: &str,
        apostrophe: usize,
    ) -> (&Terms, bool) {
        let document = self.document;
        let stem = without_suffix(language, word, apostrophe);
        let slot = self.slot(language, script, stem);
        // Words with other endings behind the apostrophe share the slot: they are not remembered as met.
        let is_new = stem.len() < word.len() || slot.met_in.replace(document) != Some(document);
        (&slot.terms, is_new)
    }

    fn slot(&mut self, language: Language, script: Script, word: &str) -> &mut Slot {
        if self.slots.is_empty() {
            self.slots.resize(CACHE_SLOTS, Slot::default());
        }
        let slot = &mut self.slots[slot_of(language, word)];
        if slot.language != language || slot.word != word {
            slot.language = language;
            slot.word.clear();
            slot.word.push_str(word);
            slot.met_in = None;
            stem_into(language, script, word, &mut self.folded, &mut slot.terms);
        }
        slot
    }

    /// Makes every word new.
    pub(super) fn next_document(&mut self) {
        self.document += 1;
    }

    /// As [`Self::terms`], without remembering.
    pub(super) fn terms_once(&mut self, language: Language, script: Script, word: &str, apostrophe: usize) -> Terms {
        let mut terms = Terms::default();
        stem_into(language, script, without_suffix(language, word, apostrophe), &mut self.folded, &mut terms);
        terms
    }
}

/// Turkish sets the endings of proper names off by an apostrophe.
fn without_suffix(language: Language, word: &str, apostrophe: usize) -> &str {
    if language == Language::Turkish && apostrophe > 0 { &word[..apostrophe] } else { word }
}

fn slot_of(language: Language, word: &str) -> usize {
    // FNV-1a; a collision only costs stemming the word again.
    let seed = 0xCBF2_9CE4_8422_2325 ^ u64::from(language.code());
    let hash = word.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    (hash ^ (hash >> 32)) as usize % CACHE_SLOTS
}

fn stem_into(language: Language, script: Script, word: &str, folded: &mut String, terms: &mut Terms) {
    terms.primary.clear();
    terms.variant.clear();
    folded.clear();
    fold_into(word, folded);
    let Some(algorithm) = algorithm(language, script) else {
        terms.primary.push_str(folded);
        truncate(&mut terms.primary, MAX_TERM_BYTES);
        // Where accents are most of the difference between words, folding alone is too coarse: nDCG@10 on XQuAD vi is
        // .955 with the accented word beside the folded one, .935 without.
        if script == Script::Latin && folded != word {
            terms.variant.push_str(word);
            truncate(&mut terms.variant, MAX_TERM_BYTES);
        }
        return;
    };
    let stemmer = Stemmer::create(algorithm);
    match algorithm {
        Algorithm::German => undo_digraphs(folded),
        Algorithm::Arabic => restore_feminine_ending(folded),
        _ => {}
    }
    push_stem(&stemmer, folded, &mut terms.primary);
    if reads_accents(algorithm) && folded != word {
        let stem = stemmer.stem(word);
        fold_into(&stem, &mut terms.variant);
        truncate(&mut terms.variant, MAX_TERM_BYTES);
        if terms.variant == terms.primary {
            terms.variant.clear();
        }
    }
}

fn push_stem(stemmer: &Stemmer, folded: &str, out: &mut String) {
    let stem = stemmer.stem(folded);
    out.push_str(if stem.is_empty() { folded } else { &stem });
    truncate(out, MAX_TERM_BYTES);
}

/// The stemmer for a word of `script` in a text in `language`. A word in a foreign script gets the commonest language of
/// that script: Latin words in Japanese or Russian text are mostly English.
fn algorithm(language: Language, script: Script) -> Option<Algorithm> {
    if language == Language::Other {
        return None;
    }
    match script {
        Script::Latin => Some(match language {
            Language::Danish => Algorithm::Danish,
            Language::Dutch => Algorithm::Dutch,
            Language::Finnish => Algorithm::Finnish,
            Language::French => Algorithm::French,
            Language::German => Algorithm::German,
            Language::Hungarian => Algorithm::Hungarian,
            Language::Italian => Algorithm::Italian,
            Language::Norwegian => Algorithm::Norwegian,
            Language::Portuguese => Algorithm::Portuguese,
            Language::Romanian => Algorithm::Romanian,
            Language::Spanish => Algorithm::Spanish,
            Language::Swedish => Algorithm::Swedish,
            Language::Turkish => Algorithm::Turkish,
            _ => Algorithm::English,
        }),
        Script::Greek => Some(Algorithm::Greek),
        Script::Cyrillic => Some(Algorithm::Russian),
        Script::Arabic => Some(Algorithm::Arabic),
        Script::Tamil => Some(Algorithm::Tamil),
        Script::Hebrew | Script::Devanagari | Script::Other => None,
    }
}

/// Whether the algorithm takes off endings that have accents, so that folding first would hide them from it.
///
/// nDCG@10 on XQuAD (BM25, k1 = 1.2, b = 0.75) with both stems and with the folded alone: tr .938 and .932, ar .936 and
/// .932, es .960 and .959, ro .967 both; it costs a tenth more tokens in Turkish, a twentieth or less in the others.
fn reads_accents(algorithm: Algorithm) -> bool {
    !matches!(
        algorithm,
        Algorithm::English | Algorithm::German | Algorithm::Greek | Algorithm::Russian | Algorithm::Tamil
    )
}

/// Writes the German `ae`, `oe`, `ue` as the folded umlaut, so that `Mueller` meets `Müller`; `ue` stays after a vowel
/// or `q`, where it is none (`neue`, `Quelle`). Both sides do it, so a wrong guess (`Poet`) still finds itself.
fn undo_digraphs(word: &mut String) {
    if !word.is_ascii() || !["ae", "oe", "ue"].iter().any(|digraph| word.contains(digraph)) {
        return;
    }
    let bytes = word.as_bytes();
    let mut out = String::with_capacity(word.len());
    for (at, byte) in bytes.iter().enumerate() {
        let is_digraph_end = *byte == b'e'
            && at > 0
            && match bytes[at - 1] {
                b'a' | b'o' => true,
                b'u' => at < 2 || !matches!(bytes[at - 2], b'a' | b'e' | b'i' | b'o' | b'u' | b'q'),
                _ => false,
            };
        if !is_digraph_end {
            out.push(*byte as char);
        }
    }
    *word = out;
}

/// Makes a final `ه` a `ة`, which folding took away and the stemmer wants to see: many write the one for the other, and
/// the pronoun `ه` goes in stemming just as well.
fn restore_feminine_ending(word: &mut String) {
    if let Some(start) = word.strip_suffix('ه').map(str::len) {
        word.replace_range(start.., "ة");
    }
}
