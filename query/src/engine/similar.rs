//! Pages that are about the same as a given one: by the vectors of its passages, or by its words where there are none.

use std::collections::HashMap;
use std::time::Instant;

use access::{Caller, PageOrdinal, Purpose};
use index::analysis::{Analyzer, Tokens};
use index::vectors::QueryVector;
use index::{Candidate, Clause, ClauseKind, Field, LexicalQuery, Occur, PassageAddress};
use roaring::RoaringBitmap;
use schemas::api::search::Degraded;
use schemas::api::suggest::{SimilarPage, SimilarResponse};
use schemas::api::{Consistency, ListObject};
use schemas::ids::PageId;

use super::rank::some_passages;
use super::suggest::check_limit;
use super::{Engine, View};
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::gate::Gate;
use crate::group::{PageGroup, Ranked, group};

/// Most passages of the page that are compared; of longer pages, that many evenly spread.
const PASSAGES_MAX: usize = 8;
/// Candidates asked for each of them.
const DEPTH: usize = 50;
/// Words taken from the page when its passages have no vectors.
const WORDS_MAX: usize = 16;
/// Shortest such word, in characters.
const WORD_CHARS_MIN: usize = 4;

impl Engine {
    /// Finds at most `limit` pages that are about the same as one the caller can read.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] when there is no such page, and just the same when the caller may not read it.
    ///
    /// Cancel safety: safe.
    pub async fn similar(
        &self,
        caller: &Caller,
        page: &PageId,
        limit: u32,
        deadline: Deadline,
    ) -> Result<SimilarResponse, QueryError> {
        let started = Instant::now();
        check_limit(limit)?;
        let _turn = self.turn(deadline).await?;
        let readable = self.view(caller, Purpose::Read).ok_or(QueryError::NotFound)?;
        let findable = self.view(caller, Purpose::Discover).ok_or(QueryError::NotFound)?;
        let (engine, page) = (self.clone(), page.clone());
        let work = move || engine.compare(&readable, &findable, &page, limit as usize, started);
        self.0.pools.words.run(deadline, work).await
    }

    fn compare(
        &self,
        readable: &View,
        findable: &View,
        page: &PageId,
        limit: usize,
        started: Instant,
    ) -> Result<SimilarResponse, QueryError> {
        let ordinal = readable.workspace.read().access.ordinal_of(page).ok_or(QueryError::NotFound)?;
        if !readable.mask.allows(ordinal) {
            return Err(QueryError::NotFound);
        }
        let others = findable.mask.narrow(&(findable.mask.allowed() - RoaringBitmap::from_iter([ordinal.0])));
        let findable = &View { mask: others, ..findable.clone() };
        let passages: Vec<PassageAddress> = some_passages(readable, ordinal, PASSAGES_MAX)?.collect();
        let mut degraded = Vec::new();
        let mut groups = by_vectors(readable, findable, &passages)?;
        if groups.is_none() {
            degraded.push(Degraded::Semantic);
            groups = Some(by_words(readable, findable, ordinal, &passages)?);
        }
        let Self(parts) = self;
        // The page itself is only readable, its neighbours must be findable.
        let caller = &readable.caller;
        if Gate::open(&readable.workspace, caller, Purpose::Read, &parts.url, &parts.dropped).permit(ordinal).is_none()
        {
            return Err(QueryError::NotFound);
        }
        let gate = Gate::open(&findable.workspace, caller, findable.purpose, &parts.url, &parts.dropped);
        let similar = groups.unwrap_or_default().into_iter().filter_map(|group| {
            let permit = gate.permit(group.page)?;
            Some(SimilarPage { page: permit.summary(), breadcrumb: permit.breadcrumb(), score: group.score })
        });
        Ok(SimilarResponse {
            object: ListObject::List,
            results: similar.take(limit).collect(),
            next_cursor: None,
            has_more: false,
            degraded,
            consistency: Consistency { index_seq: findable.searcher.index_seq(), access_seq: gate.access_seq() },
            took_ms: started.elapsed().as_millis() as u64,
            request_id: String::new(),
        })
    }
}

/// By the nearest passages of each passage; `None` when none of them has a vector.
fn by_vectors(
    readable: &View,
    findable: &View,
    passages: &[PassageAddress],
) -> Result<Option<Vec<PageGroup<PassageAddress>>>, QueryError> {
    let mut best: HashMap<PassageAddress, Candidate> = HashMap::new();
    let mut compared = false;
    for &address in passages {
        let failed = QueryError::index("read a vector");
        let Some(stored) = readable.searcher.vector_of(&readable.mask, address).map_err(failed)? else { continue };
        let Ok(vector) = QueryVector::from_stored(&stored) else { continue };
        compared = true;
        let failed = QueryError::index("search by meaning");
        let found = findable.searcher.semantic(&findable.mask, &vector, DEPTH).map_err(failed)?;
        // What is shown of a page is a passage.
        for candidate in found.into_iter().filter(|candidate| !findable.searcher.is_title(candidate.address)) {
            let known = best.entry(candidate.address).or_insert(candidate);
            known.score = known.score.max(candidate.score);
        }
    }
    Ok(compared.then(|| grouped(best.into_values())))
}

/// By the title and the words that are most frequent in the passages.
fn by_words(
    readable: &View,
    findable: &View,
    page: PageOrdinal,
    passages: &[PassageAddress],
) -> Result<Vec<PageGroup<PassageAddress>>, QueryError> {
    let mut counts: HashMap<String, u32> = HashMap::new();
    let mut tokens = Tokens::new();
    for &address in passages {
        let failed = QueryError::index("read a passage");
        let Some((_, passage)) = readable.searcher.passage(&readable.mask, address).map_err(failed)? else { continue };
        Analyzer::new().surface_words(&passage.text, &mut tokens);
        let long = tokens.iter().filter(|token| token.term.chars().count() >= WORD_CHARS_MIN);
        long.for_each(|token| *counts.entry(token.term.to_owned()).or_default() += 1);
    }
    let mut words: Vec<(String, u32)> = counts.into_iter().collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let title = readable.workspace.read().head(page).map(|head| head.title.clone()).unwrap_or_default();
    let words = words.into_iter().take(WORDS_MAX).map(|(word, _)| word);
    let text = [title].into_iter().chain(words).collect::<Vec<_>>().join(" ");
    let clause = Clause { occur: Occur::Should, field: Field::All, kind: ClauseKind::Words(text) };
    let query = LexicalQuery { clauses: vec![clause], last_word_is_prefix: false, fuzzy: false };
    let failed = QueryError::index("search by words");
    Ok(grouped(findable.searcher.lexical(&findable.mask, &query, DEPTH).map_err(failed)?))
}

fn grouped(candidates: impl IntoIterator<Item = Candidate>) -> Vec<PageGroup<PassageAddress>> {
    const PASSAGES_WEIGHT: f32 = 0.05;
    let ranked = candidates.into_iter().map(|candidate| Ranked {
        address: candidate.address,
        page: candidate.page,
        score: candidate.score.max(0.0),
    });
    group(ranked.collect(), PASSAGES_WEIGHT)
}
