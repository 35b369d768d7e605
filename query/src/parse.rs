//! The query language: what a person types, as words, phrases, exclusions and filters.
//!
//! Reading never fails: what is no filter is words, so that `https://…`, `foo::bar` and `type:string` survive. Nothing
//! is looked up here; whether an id exists is decided under the mask. Invariant: printing a parsed query and reading
//! it again gives the same query.
//!
//! ```text
//! query   = { [ "-" ] ( filter | phrase | word ) }
//! filter  = ( "title" | "type" | "author" | "in" | "tag" | "before" | "after" ) ":" ( phrase | word )
//! phrase  = '"' … ( '"' | end of input )          typographic quotes count too
//! ```
//!
//! `type:` takes a kind of page, `author:` and `in:` an id, `before:` and `after:` a day as `2026-03-01`; with any other
//! value they are plain words. A filter without value is a plain word, too.

use std::fmt;

use index::analysis::Analyzer;
use index::{Clause, ClauseKind, Field, LexicalQuery, Occur};
use jiff::civil::Date;
use schemas::api::search::FILTER_CHARS_MAX;
use schemas::page::PageKind;

/// Most parts of a query; what comes after is dropped.
pub const PARTS_MAX: usize = 64;

/// A query that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ParsedQuery {
    /// Its parts in the order they were typed, at most [`PARTS_MAX`].
    pub parts: Vec<Part>,
}

/// One part of a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Whether a `-` stands before it: pages that it fits are left out.
    pub excluded: bool,
    /// What it is.
    pub kind: PartKind,
}

/// What a part of a query is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// A word: letters between spaces, punctuation included.
    Word(String),
    /// Words in quotes: they stand side by side.
    Phrase(String),
    /// `title:` with a word or, in quotes, a phrase.
    Title {
        /// The words.
        text: String,
        /// Whether they stood in quotes.
        phrase: bool,
    },
    /// `type:`, `author:`, `in:`, `tag:`, `before:` or `after:`.
    Filter(Filter),
}

/// A condition on a page, not on its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// It is of this kind.
    Type(PageKind),
    /// This person made it.
    Author(String),
    /// It is this page or below it.
    In(String),
    /// It has this tag, whatever the case.
    Tag(String),
    /// It was changed last before this day began, in UTC.
    Before(Date),
    /// It was changed last on this day or later, in UTC.
    After(Date),
}

impl ParsedQuery {
    /// Reads a query. Never fails.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while parts.len() < PARTS_MAX {
            rest = rest.trim_start_matches(is_space);
            if rest.is_empty() {
                break;
            }
            let (part, after) = next_part(rest);
            parts.extend(part);
            rest = after;
        }
        Self { parts }
    }

    /// The same as a question: its filters hold, and everything else is words. Who asks in sentences means no operators by
    /// quotation marks and dashes.
    #[must_use]
    pub fn as_question(self) -> Self {
        let parts = self.parts.into_iter().map(|part| match part.kind {
            PartKind::Phrase(text) | PartKind::Word(text) => Part { excluded: false, kind: PartKind::Word(text) },
            kind => Part { kind, ..part },
        });
        Self { parts: parts.collect() }
    }

    /// True when there are words to look for, so that hits can be ranked.
    pub fn has_words(&self) -> bool {
        self.parts.iter().any(|part| !part.excluded && !matches!(part.kind, PartKind::Filter(_)))
    }

    /// The words to look for as one text, for an embedding; without operators, filters and exclusions.
    pub fn wanted_text(&self) -> String {
        let wanted = self.parts.iter().filter(|part| !part.excluded).filter_map(|part| part.kind.text());
        wanted.collect::<Vec<_>>().join(" ")
    }

    /// The filters, each with whether it is excluded.
    pub fn filters(&self) -> impl Iterator<Item = (&Filter, bool)> {
        self.parts.iter().filter_map(|part| match &part.kind {
            PartKind::Filter(filter) => Some((filter, part.excluded)),
            _ => None,
        })
    }

    /// What to score passages by: every word and phrase that is wanted, none of them required.
    ///
    /// What is required or excluded narrows the pages before ([`ParsedQuery::page_conditions`]), so that it holds for
    /// both retrievers and for the page as a whole.
    pub fn lexical(&self, last_word_is_prefix: bool, fuzzy: bool) -> LexicalQuery {
        let mut words: Vec<&str> = Vec::new();
        let mut clauses = Vec::new();
        for part in self.parts.iter().filter(|part| !part.excluded) {
            match &part.kind {
                PartKind::Word(word) => words.push(word),
                _ => clauses.extend(part.kind.clause(Occur::Should)),
            }
        }
        let last = self.parts.last();
        let ends_in_word = last.is_some_and(|part| !part.excluded && matches!(part.kind, PartKind::Word(_)));
        let ends_in_title =
            last.is_some_and(|part| !part.excluded && matches!(part.kind, PartKind::Title { phrase: false, .. }));
        if !words.is_empty() {
            let words = ClauseKind::Words(words.join(" "));
            let clause = Clause { occur: Occur::Should, field: Field::All, kind: words };
            // The prefix is the last word of the last clause.
            let at = if ends_in_title { 0 } else { clauses.len() };
            clauses.insert(at, clause);
        }
        let last_word_is_prefix = last_word_is_prefix && (ends_in_word || ends_in_title);
        LexicalQuery { clauses, last_word_is_prefix, fuzzy }
    }

    /// What a page must hold somewhere, and what it must not hold anywhere: phrases, titles and exclusions.
    pub fn page_conditions(&self) -> Vec<PageCondition> {
        // What holds nothing that could be found, as `"!"`, is no condition.
        let is_something = |text: &str| !Analyzer::new().query_terms(text, &[]).is_empty();
        let conditional = self.parts.iter().filter(|part| {
            let narrows = part.excluded || !matches!(part.kind, PartKind::Word(_));
            narrows && part.kind.text().is_some_and(is_something)
        });
        conditional
            .filter_map(|part| {
                let clause = part.kind.clause(Occur::Must)?;
                let query = LexicalQuery { clauses: vec![clause], last_word_is_prefix: false, fuzzy: false };
                Some(PageCondition { excluded: part.excluded, query })
            })
            .collect()
    }
}

/// Something that a page must hold, or must not.
#[derive(Clone, Debug)]
pub struct PageCondition {
    /// Whether pages that hold it are left out, instead of being the only ones left.
    pub excluded: bool,
    /// Finds the pages that hold it.
    pub query: LexicalQuery,
}

impl PartKind {
    /// Its words; `None` for a filter.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Phrase(text) | Self::Title { text, .. } => Some(text),
            Self::Filter(_) => None,
        }
    }

    fn clause(&self, occur: Occur) -> Option<Clause> {
        let (field, kind) = match self {
            Self::Word(text) => (Field::All, ClauseKind::Words(text.clone())),
            Self::Phrase(text) => (Field::All, ClauseKind::Phrase(text.clone())),
            Self::Title { text, phrase: true } => (Field::Title, ClauseKind::Phrase(text.clone())),
            Self::Title { text, phrase: false } => (Field::Title, ClauseKind::Words(text.clone())),
            Self::Filter(_) => return None,
        };
        Some(Clause { occur, field, kind })
    }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

/// Reads the part that `text` begins with, which is no space. Nothing comes back for empty quotes.
fn next_part(text: &str) -> (Option<Part>, &str) {
    // A dash excludes what follows it directly; `--flag` and a lone dash are words.
    let dashed =
        text.strip_prefix('-').filter(|rest| !rest.starts_with(|c| c == '-' || is_space(c)) && !rest.is_empty());
    let (excluded, text) = dashed.map_or((false, text), |rest| (true, rest));
    let part = |kind| Some(Part { excluded, kind });
    if text.starts_with(is_quote) {
        let (phrase, rest) = quoted(text);
        return (phrase.and_then(|phrase| part(PartKind::Phrase(phrase))), rest);
    }
    if let Some((kind, rest)) = next_filter(text) {
        return (part(kind), rest);
    }
    let (word, rest) = next_word(text);
    (part(PartKind::Word(word.to_owned())), rest)
}

/// The phrase in the quotes that `text` begins with, its spaces made single; `None` when there is nothing in them.
fn quoted(text: &str) -> (Option<String>, &str) {
    let mut inner = text.chars();
    inner.next();
    let inner = inner.as_str();
    let (phrase, rest) = match inner.char_indices().find(|(_, c)| is_quote(*c)) {
        Some((end, quote)) => (&inner[..end], &inner[end + quote.len_utf8()..]),
        None => (inner, ""),
    };
    let words: Vec<&str> = phrase.split(is_space).filter(|word| !word.is_empty()).collect();
    ((!words.is_empty()).then(|| words.join(" ")), rest)
}

/// A word ends at a space, or after a colon that quotes follow.
fn next_word(text: &str) -> (&str, &str) {
    let mut after_colon = false;
    for (at, c) in text.char_indices() {
        if is_space(c) || (after_colon && is_quote(c)) {
            return text.split_at(at);
        }
        after_colon = c == ':';
    }
    (text, "")
}

/// A known key with a value that fits it.
fn next_filter(text: &str) -> Option<(PartKind, &str)> {
    const KEYS: [&str; 7] = ["title", "type", "author", "in", "tag", "before", "after"];
    let (key, value) = text.split_once(':')?;
    let key = KEYS.iter().find(|known| known.eq_ignore_ascii_case(key))?;
    let in_quotes = value.starts_with(is_quote);
    let (value, rest) = if in_quotes {
        let (phrase, rest) = quoted(value);
        (phrase?, rest)
    } else {
        let (word, rest) = next_word(value);
        (word.to_owned(), rest)
    };
    // `title::x` is a path of some programming language.
    if value.is_empty() || (!in_quotes && value.starts_with(':')) || value.chars().count() > FILTER_CHARS_MAX {
        return None;
    }
    let id = || (!value.contains(is_space)).then(|| value.clone());
    let day = || value.parse::<Date>().ok().filter(|day| day.to_string() == value);
    let filter = match *key {
        "title" => return Some((PartKind::Title { text: value, phrase: in_quotes }, rest)),
        "type" => Filter::Type(kind_of_page(&value)?),
        "author" => Filter::Author(id()?),
        "in" => Filter::In(id()?),
        "tag" => Filter::Tag(value),
        "before" => Filter::Before(day()?),
        _ => Filter::After(day()?),
    };
    Some((PartKind::Filter(filter), rest))
}

fn kind_of_page(name: &str) -> Option<PageKind> {
    let kinds = [PageKind::Page, PageKind::Database, PageKind::Row, PageKind::Teamspace];
    kinds.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
}

impl fmt::Display for ParsedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{part}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.excluded {
            f.write_str("-")?;
        }
        match &self.kind {
            PartKind::Word(word) => f.write_str(word),
            PartKind::Phrase(phrase) => write!(f, "\"{phrase}\""),
            PartKind::Title { text, phrase: true } => write!(f, "title:\"{text}\""),
            PartKind::Title { text, phrase: false } => write!(f, "title:{text}"),
            PartKind::Filter(filter) => write!(f, "{filter}"),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = match self {
            Self::Type(kind) => return write!(f, "type:{}", kind.as_str()),
            Self::Before(day) => return write!(f, "before:{day}"),
            Self::After(day) => return write!(f, "after:{day}"),
            Self::Author(value) => ("author", value),
            Self::In(value) => ("in", value),
            Self::Tag(value) => ("tag", value),
        };
        // Quotes only where the bare form would be read otherwise.
        let (bare, rest) = next_word(value);
        if rest.is_empty() && bare == value && !value.starts_with(':') {
            write!(f, "{key}:{value}")
        } else {
            write!(f, "{key}:\"{value}\"")
        }
    }
}

#[cfg(test)]
mod tests;
