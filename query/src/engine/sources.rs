//! The sources of an answer: the pages that a search finds, each with the blocks around what was found, held back.
//!
//! The same retrieval, mask and ranking as for a search. No model is asked that writes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use access::{Caller, PageOrdinal};
use index::Passage;
use index::analysis::{Analyzer, Language, TokenKind, Tokens};
use index::catalog::Workspace;
use models::embed::Embedder;
use models::extract::Word;
use schemas::api::search::Degraded;

use super::rank::{Ranking, read_passage};
use super::{Engine, View};
use crate::answer::pack::{Budget, Seen, pack};
use crate::answer::room::Room;
use crate::answer::source::SourceText;
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::gate::{Gate, Held};
use crate::plan::Plan;

/// How long something that is written down is waited for.
const WRITING_MAX: Duration = Duration::from_secs(5);

/// What was found for a question.
pub(crate) struct Gathered {
    pub(crate) view: Gatherer,
    /// Best first, one for each page.
    pub(crate) held: Vec<Held<SourceText>>,
    /// The words of the question, by the languages of the sources.
    pub(crate) words: Vec<Word>,
    pub(crate) degraded: Vec<Degraded>,
}

/// Under what it was found.
#[derive(Clone)]
pub(crate) struct Gatherer(View);

impl Gatherer {
    pub(super) fn over(view: View) -> Self {
        Self(view)
    }

    pub(crate) fn workspace(&self) -> &Arc<Workspace> {
        &self.0.workspace
    }

    pub(crate) fn embedder(&self) -> Option<&Embedder> {
        self.0.embedder.as_ref()
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.0.caller
    }

    pub(crate) fn purpose(&self) -> access::Purpose {
        self.0.purpose
    }

    pub(crate) fn index_seq(&self) -> u64 {
        self.0.searcher.index_seq()
    }

    pub(crate) fn gate<'a>(&'a self, engine: &'a Engine) -> Gate<'a> {
        engine.gate(&self.0)
    }
}

impl Engine {
    /// Finds what a question may be answered from, as far as there is room; `None` where nothing was ever said about the workspace.
    pub(crate) async fn gather(
        &self,
        caller: &Caller,
        plan: Plan,
        room: Room,
        deadline: Deadline,
    ) -> Result<Option<Gathered>, QueryError> {
        self.wait_for(&caller.workspace, plan.at_least, deadline).await?;
        let _turn = self.turn(deadline).await?;
        let Some(view) = self.view(caller, plan.purpose) else { return Ok(None) };
        let view = self.narrowed(view, &plan, deadline).await?;
        let ranking = if plan.query.has_words() {
            let retrieved = self.retrieved(&view, &plan, deadline).await?;
            self.ranked(&view, &plan, None, retrieved, deadline).await?.0
        } else {
            self.listed(&view, &plan, deadline).await?
        };
        let (engine, text) = (self.clone(), plan.query.wanted_text());
        let work = move || {
            let degraded = ranking.degraded.clone();
            let held = engine.packed(&view, ranking, &room)?;
            let words = words(&view, &text)?;
            Ok(Some(Gathered { view: Gatherer(view), held, words, degraded }))
        };
        self.0.pools.words.run(deadline, work).await
    }

    /// The words of a question with what each says. Blocks.
    pub(crate) fn words_of(&self, caller: &Caller, plan: &Plan) -> Result<Vec<Word>, QueryError> {
        match self.view(caller, plan.purpose) {
            Some(view) => words(&view, &plan.query.wanted_text()),
            None => Ok(Vec::new()),
        }
    }

    fn packed(&self, view: &View, mut ranking: Ranking, room: &Room) -> Result<Vec<Held<SourceText>>, QueryError> {
        let config = &self.config().answer;
        let mut found = std::mem::take(&mut ranking.passages);
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.address.cmp(&b.address)));
        let mut further: HashMap<PageOrdinal, Vec<_>> = HashMap::new();
        for passage in found {
            further.entry(passage.page).or_default().push(passage.address);
        }
        let best_score = ranking.pages.first().map_or(0.0, |best| best.score).max(f32::MIN_POSITIVE);
        let (mut held, mut seen, mut tokens) = (Vec::new(), Seen::default(), 0);
        // Repeated and empty pages make room for others.
        for ranked in std::mem::take(&mut ranking.pages).into_iter().take(2 * config.sources_max) {
            if held.len() >= config.sources_max {
                break;
            }
            let mut addresses = Vec::new();
            for address in ranked.best.into_iter().chain(further.remove(&ranked.page).unwrap_or_default()) {
                if !addresses.contains(&address) && addresses.len() < config.passages_max {
                    addresses.push(address);
                }
            }
            let mut passages: Vec<Passage> = Vec::new();
            for address in addresses {
                passages.extend(read_passage(view, address, &mut ranking.read)?.filter(|of| !of.is_title()).cloned());
            }
            let failed = QueryError::index("read a page");
            let Some(text) = view.searcher.page_text(&view.mask, ranked.page).map_err(failed)? else { continue };
            let head = view.workspace.read().head(ranked.page).cloned();
            let Some(page) = head.as_ref().map(|head| head.page.clone()) else { continue };
            let headings = passages.first().map(|first| first.headings.as_slice()).unwrap_or_default();
            let left = room.tokens_max.saturating_sub(tokens + room.around(head.as_ref(), headings));
            let budget = Budget { count: &*room.count, tokens_max: config.source_tokens_max.min(left) };
            let score = (ranked.score / best_score).clamp(0.0, 1.0);
            let Some(mut source) = pack(&text.in_order(&page), &passages, score, &budget) else { continue };
            let packed = source.blocks.len();
            if !seen.leave_out_repeated(&mut source) && source.blocks.len() < packed {
                continue;
            }
            let text = source.whole();
            let taken = room.taken(head.as_ref(), &source);
            if text.trim().is_empty() || tokens + taken > room.tokens_max || seen.is_repeated(&text) {
                continue;
            }
            tokens += taken;
            held.push(Held::new(ranked.page, source));
        }
        Ok(held)
    }

    /// The pages that gates turned away are counted together, whoever keeps the gate.
    pub(crate) fn dropped(&self) -> &Arc<crate::gate::Dropped> {
        &self.0.dropped
    }

    /// Blocking work that picks sentences by words.
    pub(crate) async fn picking_work<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        self.0.pools.words.run(deadline, work).await
    }

    /// Blocking work that writes something down. It goes on when nobody waits for it any more.
    pub(crate) async fn writing_work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        self.0.pools.words.run(Deadline::after(WRITING_MAX), work).await
    }

    /// Blocking work for an answer that waits for the embedding model.
    pub(crate) async fn embedding_work<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        self.0.pools.meaning.run(deadline, work).await
    }
}

/// The words of a question with what each of them says: how rare it is in the workspace, and what it is in the question.
fn words(view: &View, question: &str) -> Result<Vec<Word>, QueryError> {
    let languages = view.workspace.read().languages();
    let words = Analyzer::new().query_terms(question, &languages);
    let failed = QueryError::index("count the words of the question");
    let rarities = view.searcher.rarities(&view.mask, &words).map_err(failed)?;
    let weighed = words.into_iter().zip(rarities);
    Ok(weighed.map(|(word, rarity)| Word { weight: word.weight() * rarity, terms: word.terms }).collect())
}

/// The terms of a text.
pub(crate) fn terms(text: &str, language: Language, tokens: &mut Tokens) -> BTreeSet<String> {
    Analyzer::new().tokens(text, language, tokens);
    let words = tokens.iter().filter(|token| token.kind != TokenKind::Symbol);
    words.map(|token| token.term.to_owned()).collect()
}
