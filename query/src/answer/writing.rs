//! The text of an answer while it is written: markers become citations, sentences are told apart and weighed.
//!
//! Whoever writes, a model or the extractor, writes through here. No I/O. Invariants: a marker that goes out names a source
//! that is there; every citation is a place in such a source, and one that shares words with the sentence or was found near to it in meaning;
//! a sentence is closed once the next one has begun, or at the end.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use index::analysis::{Language, Tokens, detect_language};
use schemas::api::answers::{AnswerSentence, Citation};
use schemas::api::search::HighlightUnit;
use schemas::ids::PageId;

use super::defuse::{visible, without_markers};
use super::markup::{Out, PageLink, Scanner};
use super::source::{SourceText, Span, sentence_ranges};
use super::support::{ByWords, Support as _};
use crate::engine::sources::terms;

/// Two sentences are cited for one only where they hold so much more of it.
const PAIR_GAIN: f64 = 0.15;
/// Share of the words of a sentence that a place must hold to be cited for them: less is a word that any two texts have, such as `in` in
/// English and in German.
const SHARE_MIN: f64 = 0.15;

/// A source that was let out, with the page it is of.
#[derive(Clone, Debug)]
pub struct Readable {
    /// The page.
    pub page: PageId,
    /// The text.
    pub text: SourceText,
}

/// A sentence of a source that may be cited.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// Which source.
    source: usize,
    /// Where in it.
    span: Span,
    /// Its text.
    pub(super) text: String,
}

#[cfg(test)]
impl Place {
    /// Places in the first source, by their texts.
    pub(super) fn of_first_source(texts: &[&str]) -> Vec<Self> {
        let place = |(block, text): (usize, &&str)| Self {
            source: 0,
            span: Span { block, bytes: 0..text.len() },
            text: (*text).to_owned(),
        };
        texts.iter().enumerate().map(place).collect()
    }
}

/// What goes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// Text.
    Delta(String),
    /// A sentence, by its number from 0, rests on a citation, by its own.
    Cited(u32, u32),
}

/// An answer that is being written.
#[derive(Debug)]
pub struct Writing {
    sources: Vec<Readable>,
    scanner: Scanner,
    /// What was written, with spaces in the places of markers.
    text: String,
    /// What went out.
    shown: String,
    /// Bytes of the text that belong to closed sentences.
    closed: usize,
    /// Markers since then: where in the text, and which source.
    open_markers: Vec<(usize, usize)>,
    sentences: Vec<AnswerSentence>,
    /// The sources that the markers of each of them name.
    named: Vec<Vec<usize>>,
    citations: Vec<(usize, Span)>,
    /// Made with the first sentence: it goes through all sources, and nobody should wait for that before they are shown.
    by_words: Option<ByWords>,
    language: Language,
}

impl Writing {
    /// Over sources, in the language of the question.
    pub fn new(sources: Vec<Readable>, language: Language) -> Self {
        Self {
            scanner: Scanner::new(sources.len()),
            sources,
            text: String::new(),
            shown: String::new(),
            closed: 0,
            open_markers: Vec::new(),
            sentences: Vec::new(),
            named: Vec::new(),
            citations: Vec::new(),
            by_words: None,
            language,
        }
    }

    /// What it is made from.
    pub fn sources(&self) -> &[Readable] {
        &self.sources
    }

    /// All that went out, markers included.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The sentences that are closed.
    pub fn sentences(&self) -> &[AnswerSentence] {
        &self.sentences
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Markers that named no source, and links, images and elements that were removed.
    pub fn dropped(&self) -> (u64, u64) {
        (self.scanner.dropped, self.scanner.removed)
    }

    /// Takes what a model wrote.
    pub fn push(&mut self, piece: &str, page_link: PageLink<'_>) -> Vec<Written> {
        let out = self.scanner.push(piece, page_link);
        self.take(out, false)
    }

    /// Closes what a model wrote.
    pub fn finish(&mut self, page_link: PageLink<'_>) -> Vec<Written> {
        let out = self.scanner.finish(page_link);
        self.take(out, true)
    }

    /// Adds a sentence of a source, after `lead`, with its marker.
    pub fn quote(&mut self, lead: &str, source: usize, span: Span, page_link: PageLink<'_>) -> Vec<Written> {
        let quoted = without_markers(&visible(self.sources[source].text.text(&span)));
        // A source's own markers are none of ours.
        let mut scanner = Scanner::new(0);
        let outs = scanner.push(&quoted, page_link).into_iter().chain(scanner.finish(page_link));
        let pieces = outs.filter_map(|out| match out {
            Out::Text(piece) => Some(piece),
            Out::Marker(_) => None,
        });
        let text = pieces.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
        self.scanner.removed += scanner.removed;
        let citation = self.cite(source, span);
        let sentence = self.sentences.len() as u32;
        let delta = format!("{lead}{text} [{}]", source + 1);
        self.shown.push_str(&delta);
        self.text.push_str(lead);
        self.text.push_str(&text);
        self.closed = self.text.len();
        self.add_sentence(text, vec![source], vec![citation]);
        vec![Written::Delta(delta), Written::Cited(sentence, citation)]
    }

    fn take(&mut self, out: Vec<Out>, ended: bool) -> Vec<Written> {
        let mut delta = String::new();
        for out in out {
            match out {
                Out::Text(text) => {
                    delta.push_str(&text);
                    self.text.push_str(&text);
                }
                Out::Marker(number) => {
                    let _ = write!(delta, "[{number}]");
                    self.open_markers.push((self.text.len(), number as usize - 1));
                    // What stands on both sides of it was judged apart.
                    self.text.push(' ');
                }
            }
        }
        let mut written = Vec::new();
        if !delta.is_empty() {
            self.shown.push_str(&delta);
            written.push(Written::Delta(delta));
        }
        written.extend(self.close_sentences(ended));
        written
    }

    fn close_sentences(&mut self, ended: bool) -> Vec<Written> {
        let ranges = sentence_ranges(&self.text[self.closed..]);
        let begin = self.closed;
        let mut written = Vec::new();
        for (at, range) in ranges.iter().enumerate() {
            let next = ranges.get(at + 1).map(|next| begin + next.start);
            let end = match next {
                Some(next) => next,
                None if ended => self.text.len(),
                None => break,
            };
            let text = without_gaps(&self.text[begin + range.start..begin + range.end]);
            let (of_this, later) = std::mem::take(&mut self.open_markers).into_iter().partition(|(at, _)| *at <= end);
            self.open_markers = later;
            self.closed = end;
            let of_this: Vec<(usize, usize)> = of_this;
            let mut named: Vec<usize> = Vec::new();
            for (_, source) in of_this {
                if !named.contains(&source) {
                    named.push(source);
                }
            }
            let mut citations = Vec::new();
            for &source in &named {
                let Some(span) = self.locate(source, &text) else { continue };
                let citation = self.cite(source, span);
                if !citations.contains(&citation) {
                    citations.push(citation);
                }
            }
            let sentence = self.sentences.len() as u32;
            written.extend(citations.iter().map(|citation| Written::Cited(sentence, *citation)));
            self.add_sentence(text, named, citations);
        }
        written
    }

    fn add_sentence(&mut self, text: String, named: Vec<usize>, citations: Vec<u32>) {
        let cited: Vec<&str> = citations
            .iter()
            .map(|at| {
                let (source, span) = &self.citations[*at as usize];
                self.sources[*source].text.text(span)
            })
            .collect();
        let by_words = self.by_words.get_or_insert_with(|| {
            let texts: Vec<String> = self.sources.iter().map(|source| source.text.whole()).collect();
            ByWords::new(texts.iter().map(String::as_str), self.language, ByWords::THRESHOLD)
        });
        // By words nothing can fail.
        let support = if cited.is_empty() { 0.0 } else { by_words.score(&cited, &text).unwrap_or(0.0) };
        let supported = !cited.is_empty() && support >= ByWords::THRESHOLD;
        self.sentences.push(AnswerSentence { text, citations, support: support as f32, supported });
        self.named.push(named);
    }

    /// Raises the support of a sentence, as something else than words found it.
    pub fn raise(&mut self, sentence: usize, support: f32, supported: bool) {
        let sentence = &mut self.sentences[sentence];
        sentence.support = sentence.support.max(support);
        sentence.supported |= supported;
    }

    /// Has a sentence cite a place, as something else than words found it.
    pub(super) fn place(&mut self, sentence: usize, place: Place) -> Written {
        let citation = self.cite(place.source, place.span);
        let citations = &mut self.sentences[sentence].citations;
        if !citations.contains(&citation) {
            citations.push(citation);
        }
        Written::Cited(sentence as u32, citation)
    }

    /// All sentences of the sources that the markers of a sentence name, and that it cites no place of: no words lead to one.
    pub(super) fn places(&self, sentence: usize) -> Vec<Place> {
        let cited = self.sentences[sentence].citations.iter().map(|at| self.citations[*at as usize].0);
        let cited: BTreeSet<usize> = cited.collect();
        let named = self.named[sentence].iter().filter(|source| !cited.contains(source));
        let places = named.flat_map(|source| {
            let text = &self.sources[*source].text;
            let place = |span: Span| Place { source: *source, text: text.text(&span).to_owned(), span };
            text.sentences().into_iter().map(place)
        });
        places.collect()
    }

    /// Whether it answers in the language of the question, and names a source that is in another one: words cannot bear it out then. In
    /// doubt both are in the language of the source.
    pub(super) fn is_foreign(&self, question: &str) -> bool {
        let with_markers = self.sentences.iter().zip(&self.named).filter(|(_, named)| !named.is_empty());
        let said = with_markers.map(|(sentence, _)| sentence.text.as_str()).collect::<Vec<_>>().join(" ");
        self.named.iter().flatten().any(|source| {
            let blocks = &self.sources[*source].text.blocks;
            let Some(first) = blocks.first() else { return false };
            let language = detect_language(&said, first.language);
            let is_other = blocks.iter().all(|block| block.language != language);
            is_other && detect_language(question, first.language) == language
        })
    }

    /// The texts that a sentence cites.
    pub fn cited_texts(&self, sentence: &AnswerSentence) -> Vec<String> {
        let cited = sentence.citations.iter().map(|at| &self.citations[*at as usize]);
        cited.map(|(source, span)| self.sources[*source].text.text(span).to_owned()).collect()
    }

    fn cite(&mut self, source: usize, span: Span) -> u32 {
        let known = self.citations.iter().position(|(of, place)| *of == source && *place == span);
        let at = known.unwrap_or_else(|| {
            self.citations.push((source, span));
            self.citations.len() - 1
        });
        at as u32
    }

    /// A citation as responses show it.
    pub fn citation(&self, at: u32) -> Citation {
        let (source, span) = &self.citations[at as usize];
        let Readable { page, text } = &self.sources[*source];
        let block = &text.blocks[span.block];
        Citation {
            source: *source as u32 + 1,
            page: page.clone(),
            block: block.block.clone(),
            version: block.version.clone(),
            range: text.utf16(span),
            unit: HighlightUnit::Utf16CodeUnits,
            text: text.text(span).to_owned(),
        }
    }

    /// All citations.
    pub fn citations(&self) -> Vec<Citation> {
        (0..self.citations.len() as u32).map(|at| self.citation(at)).collect()
    }

    /// The sentence of a source, or two side by side in one block, that holds most of what a sentence says; nothing where none holds a word
    /// in seven of it.
    fn locate(&self, source: usize, sentence: &str) -> Option<Span> {
        let text = &self.sources[source].text;
        let mut tokens = Tokens::new();
        let mut terms_of = |text: &str| terms(text, self.language, &mut tokens);
        let wanted = terms_of(sentence);
        let spans = text.sentences();
        let terms: Vec<BTreeSet<String>> = spans.iter().map(|span| terms_of(text.text(span))).collect();
        let held = |terms: &BTreeSet<String>| wanted.intersection(terms).count() as f64 / wanted.len().max(1) as f64;
        let mut best: Option<(f64, Span)> = None;
        let mut offer = |score: f64, span: Span| {
            if best.as_ref().is_none_or(|(known, _)| score > *known) {
                best = Some((score, span));
            }
        };
        for (at, span) in spans.iter().enumerate() {
            offer(held(&terms[at]), span.clone());
            if let Some(next) = spans.get(at + 1).filter(|next| next.block == span.block) {
                let both: BTreeSet<String> = terms[at].union(&terms[at + 1]).cloned().collect();
                let bytes = span.bytes.start..next.bytes.end;
                offer(held(&both) - PAIR_GAIN, Span { block: span.block, bytes });
            }
        }
        best.filter(|(share, _)| *share >= SHARE_MIN).map(|(_, span)| span)
    }
}

/// A sentence without the gaps that markers left before signs that end something. Whatever else stood apart stays apart.
fn without_gaps(sentence: &str) -> String {
    let mut text = String::with_capacity(sentence.len());
    for word in sentence.split_whitespace() {
        let is_end = word.chars().all(|c| ".,;!?)。、，．；！？）".contains(c));
        if !(is_end || text.is_empty()) {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests;
