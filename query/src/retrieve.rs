//! Retrieval: both legs under one mask, side by side, each in time or left out.
//!
//! What both legs must hold (filters, required phrases, exclusions) narrows the mask before they start, so a condition
//! means the same to words and to meaning. Invariant: nothing here widens a mask, and all stages of a request read one
//! snapshot of the index.

use access::Mask;
use index::analysis::Analyzer;
use index::vectors::{ModelTag, QueryVector};
use index::{Candidate, Clause, ClauseKind, Field, LexicalQuery, Occur, Searcher};
use models::embed::Embedder;
use schemas::api::search::{Degraded, Mode};
use tracing::Instrument as _;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::fuse::Legs;
use crate::metrics::{Metrics, Stage};
use crate::parse::{PageCondition, ParsedQuery};
use crate::tasks::Tasks;
use crate::trace;

/// Shortest word, in characters, in which typos are forgiven.
const TYPO_CHARS_MIN: usize = 5;
/// Most words of a query that are looked up one by one for typos.
const TYPO_WORDS_MAX: usize = 8;

/// What the two legs found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retrieved {
    /// By words, best first; `None` when the leg was not asked, down or late.
    pub(crate) lexical: Option<Lexical>,
    /// By meaning, best first; `None` when the leg was not asked, down or late.
    pub(crate) semantic: Option<Semantic>,
    /// What was asked and is missing.
    pub(crate) degraded: Vec<Degraded>,
}

impl Retrieved {
    /// Which legs answered.
    pub(crate) fn legs(&self) -> Legs {
        match (&self.lexical, &self.semantic) {
            (Some(_), Some(_)) => Legs::Both,
            (None, Some(_)) => Legs::Semantic,
            _ => Legs::Lexical,
        }
    }
}

/// What was found by words.
#[derive(Clone, Debug)]
pub(crate) struct Lexical {
    /// Best first.
    pub(crate) candidates: Vec<Candidate>,
    /// The query that found them.
    pub(crate) query: LexicalQuery,
}

/// What was found by meaning.
#[derive(Clone, Debug)]
pub(crate) struct Semantic {
    /// Best first.
    pub(crate) candidates: Vec<Candidate>,
    /// The query that found them.
    pub(crate) vector: QueryVector,
}

/// The threads that retrieval runs on: a slow embedding model must not keep searches by words waiting.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    /// For words, and for everything after retrieval.
    pub(crate) words: Tasks,
    /// For meaning.
    pub(crate) meaning: Tasks,
}

/// What to retrieve, and how.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The query.
    pub(crate) query: ParsedQuery,
    /// Which legs.
    pub(crate) mode: Mode,
    /// Whether the last word is still being typed.
    pub(crate) prefix: bool,
    /// Candidates of each leg.
    pub(crate) depth: usize,
    /// Fewer candidates than this by exact words are too little.
    pub(crate) fuzzy_below: usize,
}

/// Asks both legs and waits for them until the deadline; fails only if none answered.
pub(crate) async fn retrieve(
    pools: &Pools,
    embedder: Option<&Embedder>,
    searcher: &Searcher,
    mask: &Mask,
    wanted: &Wanted,
    metrics: &Metrics,
    deadline: Deadline,
) -> Result<Retrieved, QueryError> {
    let by_meaning = wanted.mode != Mode::Lexical;
    let by_words = wanted.mode != Mode::Semantic;
    let words = || {
        let (searcher, mask, wanted) = (searcher.clone(), mask.clone(), wanted.clone());
        let leg = pools.words.run(deadline, move || lexical_leg(&searcher, &mask, &wanted));
        async {
            let running = metrics.stage(Stage::Lexical);
            leg.instrument(running.span()).await
        }
    };
    let lexical = async { if by_words { Some(words().await) } else { None } };
    let semantic = async {
        let embedder = embedder.filter(|_| by_meaning)?.clone();
        let running = metrics.stage(Stage::Semantic);
        let (searcher, mask, wanted) = (searcher.clone(), mask.clone(), wanted.clone());
        let leg = move || semantic_leg(&embedder, &searcher, &mask, &wanted, deadline);
        Some(pools.meaning.run(deadline, leg).instrument(running.span()).await)
    };
    let (mut lexical, semantic) = tokio::join!(lexical, semantic);
    if lexical.is_none() && !matches!(semantic, Some(Ok(Some(_)))) {
        // Meaning alone was asked and cannot be had: some answer, said to be degraded, is better than none.
        lexical = Some(words().await);
    }
    let retrieved = gather(lexical, semantic, by_words, by_meaning)?;
    metrics.degraded(&retrieved.degraded);
    Ok(retrieved)
}

/// Keeps what came in time; what did not is said to be missing and logged, or is the error when nothing came.
fn gather(
    lexical: Option<Result<Lexical, QueryError>>,
    semantic: Option<Result<Option<Semantic>, QueryError>>,
    by_words: bool,
    by_meaning: bool,
) -> Result<Retrieved, QueryError> {
    let mut retrieved = Retrieved::default();
    let mut failure = None;
    match lexical {
        Some(Ok(lexical)) => retrieved.lexical = Some(lexical),
        Some(Err(error)) => failure = Some(error),
        None => {}
    }
    match semantic {
        Some(Ok(semantic)) => retrieved.semantic = semantic,
        Some(Err(error)) => {
            if retrieved.lexical.is_some() {
                tracing::warn!(leg = "semantic", error = &error as &dyn std::error::Error, "leg left out");
            }
            failure = failure.or(Some(error));
        }
        None => {}
    }
    if by_words && retrieved.lexical.is_none() {
        retrieved.degraded.push(Degraded::Lexical);
    }
    if by_meaning && retrieved.semantic.is_none() {
        retrieved.degraded.push(Degraded::Semantic);
    }
    match failure {
        Some(error) if retrieved.lexical.is_none() && retrieved.semantic.is_none() => Err(error),
        Some(error) if retrieved.lexical.is_none() => {
            tracing::warn!(leg = "lexical", error = &error as &dyn std::error::Error, "leg left out");
            Ok(retrieved)
        }
        _ => Ok(retrieved),
    }
}

/// Narrows a mask to the pages that hold what must be held and nothing that must not.
pub(crate) fn narrow(searcher: &Searcher, mut mask: Mask, conditions: &[PageCondition]) -> Result<Mask, QueryError> {
    let failed = QueryError::index;
    for condition in conditions {
        if mask.is_empty() {
            break;
        }
        let holding =
            searcher.matching_pages(&mask, &condition.query).map_err(failed("find the pages of a condition"))?;
        let left = if condition.excluded { mask.allowed() - holding } else { holding };
        mask = mask.narrow(&left);
    }
    Ok(mask)
}

/// Searches by words: exactly first, and with typos forgiven when that finds too little or a longer word stands nowhere.
fn lexical_leg(searcher: &Searcher, mask: &Mask, wanted: &Wanted) -> Result<Lexical, QueryError> {
    let exact = wanted.query.lexical(wanted.prefix, false);
    let search = |query: &LexicalQuery| {
        searcher.lexical(mask, query, wanted.depth).map_err(QueryError::index("search by words"))
    };
    let candidates = search(&exact)?;
    let too_little = candidates.len() < wanted.fuzzy_below || has_unknown_word(searcher, mask, wanted)?;
    if wanted.fuzzy_below == 0 || !too_little {
        return Ok(Lexical { candidates, query: exact });
    }
    let fuzzy = LexicalQuery { fuzzy: true, ..exact.clone() };
    let forgiven = search(&fuzzy)?;
    // The same when there is no word like the unknown one.
    if forgiven != candidates {
        return Ok(Lexical { candidates: forgiven, query: fuzzy });
    }
    Ok(Lexical { candidates, query: exact })
}

/// Whether a longer word of the query stands on no page at all that the caller can find. One passage with it is enough
/// to tell.
fn has_unknown_word(searcher: &Searcher, mask: &Mask, wanted: &Wanted) -> Result<bool, QueryError> {
    let text = wanted.query.wanted_text();
    let words = Analyzer::new().query_terms(&text, &[]);
    // The last word of a prefix query is not finished.
    let unfinished = words.iter().map(|word| word.unit).max().filter(|_| wanted.prefix);
    let long = words.iter().filter(|word| {
        word.is_expandable() && word.surface.chars().count() >= TYPO_CHARS_MIN && Some(word.unit) != unfinished
    });
    for word in long.take(TYPO_WORDS_MAX) {
        let kind = ClauseKind::Words(word.surface.clone());
        let clause = Clause { occur: Occur::Must, field: Field::All, kind };
        let query = LexicalQuery { clauses: vec![clause], last_word_is_prefix: false, fuzzy: false };
        let found = searcher.lexical(mask, &query, 1).map_err(QueryError::index("look up a word"))?;
        if found.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Searches by meaning; `None` when the model cannot embed the query at the moment.
fn semantic_leg(
    embedder: &Embedder,
    searcher: &Searcher,
    mask: &Mask,
    wanted: &Wanted,
    deadline: Deadline,
) -> Result<Option<Semantic>, QueryError> {
    let embed = || embedder.embed_query(&wanted.query.wanted_text(), deadline.instant());
    let vector = match trace::part("embed").in_scope(embed) {
        Ok(vector) => vector,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "query was not embedded");
            return Ok(None);
        }
    };
    let tag = ModelTag::of(embedder.model_id().as_str());
    let Ok(vector) = QueryVector::new(&vector, tag) else {
        tracing::warn!("the embedding of a query has no direction");
        return Ok(None);
    };
    let candidates = searcher.semantic(mask, &vector, wanted.depth).map_err(QueryError::index("search by meaning"))?;
    Ok(Some(Semantic { candidates, vector }))
}
