//! Suggestions while typing: titles that hold a word beginning as typed, then words of the text.

use std::collections::HashSet;
use std::time::Instant;

use access::{Caller, Purpose};
use index::{Clause, ClauseKind, Field, LexicalQuery, Occur};
use schemas::api::suggest::{SuggestResponse, Suggestion};
use schemas::api::{Consistency, ListObject};

use super::{Engine, View};
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::gate::Permit;

/// Most suggestions in one response.
pub(super) const SUGGESTIONS_MAX: u32 = 50;
/// Longest text to complete, in characters.
pub(super) const TYPED_CHARS_MAX: usize = 200;
/// Most of the suggestions that may be words.
const TERMS_MAX: usize = 5;

impl Engine {
    /// Completes what was typed, at most `limit` times, with what the caller can find.
    ///
    /// Cancel safety: safe.
    pub async fn suggest(
        &self,
        caller: &Caller,
        typed: &str,
        limit: u32,
        deadline: Deadline,
    ) -> Result<SuggestResponse, QueryError> {
        let started = Instant::now();
        let chars = typed.chars().count();
        if !(1..=TYPED_CHARS_MAX).contains(&chars) {
            let reason = format!("must have 1 to {TYPED_CHARS_MAX} characters, it has {chars}");
            return Err(QueryError::InvalidRequest { field: "query", reason });
        }
        check_limit(limit)?;
        let (results, consistency) = match self.view(caller, Purpose::Discover) {
            None => (Vec::new(), self.consistency(&caller.workspace)),
            Some(view) => {
                let (engine, typed) = (self.clone(), typed.to_owned());
                let work = move || engine.suggestions(&view, &typed, limit as usize);
                self.0.pools.words.run(deadline, work).await?
            }
        };
        Ok(SuggestResponse {
            object: ListObject::List,
            results,
            next_cursor: None,
            has_more: false,
            consistency,
            took_ms: started.elapsed().as_millis() as u64,
            request_id: String::new(),
        })
    }

    fn suggestions(
        &self,
        view: &View,
        typed: &str,
        limit: usize,
    ) -> Result<(Vec<Suggestion>, Consistency), QueryError> {
        let (words, is_unfinished) = searched(typed);
        let clause = Clause { occur: Occur::Must, field: Field::Title, kind: ClauseKind::Words(words.to_owned()) };
        let query = LexicalQuery { clauses: vec![clause], last_word_is_prefix: is_unfinished, fuzzy: false };
        let searcher = &view.searcher;
        let depth = self.config().depth.max(4 * limit);
        let candidates = searcher.lexical(&view.mask, &query, depth).map_err(QueryError::index("search titles"))?;
        let last_word = typed.split_whitespace().next_back().filter(|_| !typed.ends_with(char::is_whitespace));
        let terms = match last_word {
            Some(word) => {
                let failed = QueryError::index("complete a word");
                searcher.suggest_terms(&view.mask, word, TERMS_MAX.min(limit)).map_err(failed)?
            }
            None => Vec::new(),
        };
        let gate = self.gate(view);
        let mut seen = HashSet::new();
        let pages = candidates.iter().map(|candidate| candidate.page).filter(|page| seen.insert(*page));
        // A word has no page to check, so words are let out only while access is as it was when they were found.
        let terms = if gate.is_as(&view.mask) { terms } else { Vec::new() };
        let pages_max = limit - terms.len().min(limit / 2);
        let mut pages: Vec<Permit<'_>> = pages.filter_map(|page| gate.permit(page)).collect();
        // Whoever types a title begins with its beginning. The order is otherwise kept.
        let typed = folded(typed);
        pages.sort_by_cached_key(|permit| !folded(&permit.head().title).starts_with(&typed));
        let pages = pages
            .into_iter()
            .take(pages_max)
            .map(|permit| Suggestion::Page { page: permit.summary(), breadcrumb: permit.breadcrumb() });
        let mut results: Vec<Suggestion> = pages.collect();
        results.extend(terms.into_iter().map(|text| Suggestion::Term { text }));
        results.truncate(limit);
        let consistency = Consistency { index_seq: searcher.index_seq(), access_seq: gate.access_seq() };
        Ok((results, consistency))
    }
}

/// What of the words typed titles must hold, and whether the last of it may be the beginning of a longer word.
///
/// A single letter after other words begins too many words to look them up, and ends no title's search: it is left out.
fn searched(typed: &str) -> (&str, bool) {
    let last = typed.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or(typed);
    let before = &typed[..typed.len() - last.len()];
    // Of scripts without capitals a single one may be a whole word.
    let is_letter = |letter: char| letter.is_lowercase() || letter.is_uppercase() || letter.is_ascii_digit();
    let is_one_letter = last.chars().count() == 1 && last.chars().all(is_letter);
    if is_one_letter && before.chars().any(char::is_alphanumeric) { (before, false) } else { (typed, !last.is_empty()) }
}

/// A title, or its beginning, as it is compared: small letters, and one blank where there is white space.
fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.trim_start().chars().flat_map(char::to_lowercase) {
        let letter = if letter.is_whitespace() { ' ' } else { letter };
        if !(letter == ' ' && folded.ends_with(' ')) {
            folded.push(letter);
        }
    }
    folded
}

/// Checks the length of a short list.
pub(super) fn check_limit(limit: u32) -> Result<(), QueryError> {
    if (1..=SUGGESTIONS_MAX).contains(&limit) {
        return Ok(());
    }
    let reason = format!("must be from 1 to {SUGGESTIONS_MAX}, it is {limit}");
    Err(QueryError::InvalidRequest { field: "limit", reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_letter_after_other_words_waits_for_the_next() {
        assert_eq!(searched("dep"), ("dep", true));
        assert_eq!(searched("d"), ("d", true));
        assert_eq!(searched("deploy r"), ("deploy ", false));
        assert_eq!(searched("deploy (r"), ("deploy (", false));
        assert_eq!(searched("deploy ru"), ("deploy ru", true));
        assert_eq!(searched("deploy "), ("deploy ", false));
        assert_eq!(searched("(d"), ("(d", true));
        assert_eq!(searched("京都 大"), ("京都 大", true));
    }

    #[test]
    fn titles_are_compared_without_case_and_white_space() {
        assert_eq!(folded("  Deploy\t \nRUNBOOK "), "deploy runbook ");
        assert!(folded("Deploy runbook").starts_with(&folded("deploy  r")));
    }
}
