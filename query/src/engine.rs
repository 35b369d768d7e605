//! The engine: the read side as one thing, for the HTTP API and the command line alike.
//!
//! [`Engine::search`] is the flow of a search; each step is in a module of its own. Searching holds no lock but for the
//! moment in which a mask is taken and the one in which the response is put together.

mod conversations;
mod export;
mod feedback;
mod interleaved;
mod list;
pub(crate) mod open;
mod page;
mod rank;
mod search;
mod similar;
pub(crate) mod sources;
mod suggest;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access::{Caller, Mask, Purpose, Subject};
use index::catalog::Workspace;
use index::{Index, Searcher};
use models::embed::{Embedder, Embedders};
use models::generate::Generate;
use schemas::api::Consistency;
use schemas::api::operate::{ExplainAccess, IndexedPage, Status, WorkspaceStatus};
use schemas::api::session::Person;
use schemas::grant::Role;
use schemas::ids::{PageId, UserId, WorkspaceId};

use crate::answer::Answers;
use crate::buffers::Buffers;
use crate::config::{Config, ConfigError};
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::export::pdf::Fonts;
use crate::gate::{Dropped, Gate, PageUrl};
use crate::metrics::{Bound, Metrics, Stage};
use crate::retrieve::Pools;
use crate::tasks::Tasks;
use crate::trace;
use crate::turns::{Turn, Turns};

/// How often a request that waits for a change looks for it.
const WAIT_STEP: Duration = Duration::from_millis(10);

/// The read side of one index. Cloning is cheap.
#[derive(Clone)]
pub struct Engine(Arc<Parts>);

struct Parts {
    index: Index,
    embedders: Embedders,
    config: Config,
    /// What some lists are ranked by too.
    second: Option<Config>,
    url: PageUrl,
    turns: Turns,
    pools: Pools,
    buffers: Buffers,
    dropped: Arc<Dropped>,
    answers: Answers,
    drawing: Drawing,
    metrics: Metrics,
}

/// What draws documents.
struct Drawing {
    fonts: Fonts,
    turns: Turns,
    tasks: Tasks,
}

/// What one request reads: a workspace, a snapshot of its text, and what the caller may see of it.
#[derive(Clone)]
struct View {
    workspace: Arc<Workspace>,
    searcher: Searcher,
    /// The model of its vectors.
    embedder: Option<Embedder>,
    caller: Caller,
    purpose: Purpose,
    mask: Mask,
}

impl Engine {
    /// Takes an index, and the embedding models there are. Where that of the index is missing, search goes by words alone and
    /// says so. Answers are made of sentences of their sources.
    pub fn new(index: Index, embedders: impl Into<Embedders>, config: Config) -> Result<Self, ConfigError> {
        Self::with_writer(index, embedders, None, config)
    }

    /// As [`Engine::new`], with language models to write answers, if there are any.
    pub fn with_writer(
        index: Index,
        embedders: impl Into<Embedders>,
        generate: Option<Arc<dyn Generate>>,
        config: Config,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let second = config.interleave.second(&config)?;
        let tasks_max = config.tasks_max_effective();
        let pools = Pools { words: Tasks::new(tasks_max), meaning: Tasks::new(tasks_max) };
        let turns = Turns::new(config.searches_max_effective(), config.queue_share);
        let url = PageUrl(config.page_url.clone());
        let embedders = embedders.into();
        let answers = Answers::new(generate, &config.answer);
        let documents_max = config.export.documents_max_effective();
        let drawing = Drawing {
            fonts: Fonts::load(&config.export.fonts)?,
            turns: Turns::new(documents_max, config.queue_share),
            tasks: Tasks::new(documents_max),
        };
        let parts = Parts {
            index,
            embedders,
            config,
            second,
            url,
            turns,
            pools,
            buffers: Buffers::default(),
            dropped: Arc::default(),
            answers,
            drawing,
            metrics: Metrics::default(),
        };
        Ok(Self(Arc::new(parts)))
    }

    /// Waits for a turn to search, which lasts until it is dropped. [`QueryError::Overloaded`] when none comes in time.
    async fn turn(&self, deadline: Deadline) -> Result<Turn, QueryError> {
        let _running = self.metrics().stage(Stage::Wait);
        self.0.turns.take(deadline).await.inspect_err(|_| self.metrics().shed(Bound::Searches))
    }

    /// The choices it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn index(&self) -> &Index {
        &self.0.index
    }

    /// What answers share.
    pub(crate) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// Pages that were retrieved and turned away at the last check since the start. It rises when access is taken away
    /// in the middle of a search; if it rises all the time, retrieval does not heed the mask.
    pub fn permit_dropped_total(&self) -> u64 {
        self.0.dropped.count()
    }

    /// Says why someone can or cannot see a page. For administrators alone; titles are told as far as `asking` can read the pages.
    pub fn explain_access(
        &self,
        workspace: &WorkspaceId,
        asking: Option<&Caller>,
        subject: &Subject,
        page: &PageId,
    ) -> ExplainAccess {
        let known = self.0.index.catalog().get(workspace);
        let nothing = access::AccessGraph::new(0);
        let state = known.as_ref().map(|workspace| workspace.read());
        let graph = state.as_ref().map_or(&nothing, |state| &state.access);
        let caller = Caller { workspace: workspace.clone(), subject: subject.clone() };
        let decision = graph.ordinal_of(page).map(|ordinal| graph.decide(&caller, ordinal)).unwrap_or_default();
        let head = state.as_ref().and_then(|state| state.head_of(page));
        let explanation = graph.explain(subject, page);
        let consistency = Consistency { index_seq: self.0.index.searcher().index_seq(), access_seq: graph.seq() };
        let indexed = head.map(|head| IndexedPage {
            passages: u64::from(head.passages),
            vectors: u64::from(head.vectors),
            trashed: decision.trashed,
            deleted: head.deleted,
        });
        drop(state);
        let asking = asking.zip(known.as_ref()).filter(|(asking, _)| asking.workspace == *workspace);
        let titles = asking.map_or_else(BTreeMap::new, |(asking, known)| {
            let gate = Gate::open(known, asking, Purpose::Read, &self.0.url, &self.0.dropped);
            let title = |page: &PageId| Some((page.clone(), gate.look_by_id(page)?.head().title.clone()));
            explanation.path.iter().filter_map(|step| title(&step.page)).collect()
        });
        ExplainAccess {
            workspace: workspace.clone(),
            subject: subject.to_string(),
            page: page.clone(),
            discover: decision.discover,
            read: decision.read,
            indexed,
            explanation: serde_json::to_value(explanation).expect("an explanation is text, numbers and lists of them"),
            titles,
            consistency,
            request_id: String::new(),
        }
    }

    /// People who belong to a workspace, by workspace and name; `most` of them at most. For insecure development alone, where
    /// anyone may say to be any of them.
    pub fn people(&self, most: usize) -> Vec<Person> {
        let mut people = Vec::new();
        let mut workspaces = self.0.index.catalog().workspaces();
        workspaces.sort_by(|a, b| a.id.cmp(&b.id));
        for workspace in workspaces {
            if people.len() >= most {
                break;
            }
            let state = workspace.read();
            let role = |user: &UserId| state.access.role_of(user).filter(|&role| role != Role::Removed);
            let named = state.people().filter(|user| state.may_name(user));
            let mut here: Vec<_> = named.filter_map(|user| Some((user.clone(), role(user)?))).collect();
            here.sort();
            let person = |(user, role)| Person { workspace: workspace.id.clone(), user, role };
            people.extend(here.into_iter().map(person).take(most - people.len()));
        }
        people
    }

    /// Says how it stands. Counts are for administrators alone. What the write side knows is for others to fill in.
    pub fn status(&self, workspace: Option<&WorkspaceId>, admin: bool) -> Status {
        let known = workspace.and_then(|workspace| self.0.index.catalog().get(workspace));
        let state = known.as_ref().map(|workspace| workspace.read());
        let counts = state.as_ref().zip(workspace).filter(|_| admin).map(|(state, id)| {
            let stats = state.stats();
            WorkspaceStatus {
                id: id.clone(),
                pages: stats.pages,
                passages: stats.passages,
                vectors: stats.vectors,
                pending_vectors: stats.embeddable.saturating_sub(stats.vectors),
            }
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: true,
            model_id: self
                .0
                .embedders
                .get(self.0.index.searcher().model_id())
                .map(|embedder| embedder.model_id().as_str().to_owned()),
            consistency: Consistency {
                index_seq: self.0.index.searcher().index_seq(),
                access_seq: state.as_ref().map_or(0, |state| state.access.seq()),
            },
            workspace: counts,
            ingest: None,
            request_id: String::new(),
        }
    }

    /// What a request reads; `None` when nothing was ever said about its workspace, or all of it was erased.
    fn view(&self, caller: &Caller, purpose: Purpose) -> Option<View> {
        let workspace = self.0.index.catalog().get(&caller.workspace)?;
        // The mask first: text that is newer than the mask is checked at the gate, a mask newer than the text is exact.
        let mask = {
            let _masking = trace::part("mask").entered();
            let state = workspace.read();
            if state.erased {
                return None;
            }
            state.access.mask(caller, purpose)
        };
        // The models before the snapshot: that of a new generation is loaded before it is in use, that of the former let go after.
        let loaded = self.0.embedders.loaded();
        let searcher = self.0.index.searcher();
        let embedder = Embedders::one_of(&loaded, searcher.model_id());
        Some(View { workspace, searcher, embedder, caller: caller.clone(), purpose, mask })
    }

    /// The last check of what a request is about to say.
    fn gate<'a>(&'a self, view: &'a View) -> Gate<'a> {
        Gate::open(&view.workspace, &view.caller, view.purpose, &self.0.url, &self.0.dropped)
    }

    /// What has been read of a workspace.
    fn consistency(&self, workspace: &WorkspaceId) -> Consistency {
        let known = self.0.index.catalog().get(workspace);
        Consistency {
            index_seq: self.0.index.searcher().index_seq(),
            access_seq: known.map_or(0, |workspace| workspace.read().access.seq()),
        }
    }

    /// Waits until at least that much has been read.
    async fn wait_for(
        &self,
        workspace: &WorkspaceId,
        at_least: Consistency,
        deadline: Deadline,
    ) -> Result<(), QueryError> {
        loop {
            let read = self.consistency(workspace);
            if read.index_seq >= at_least.index_seq && read.access_seq >= at_least.access_seq {
                return Ok(());
            }
            if deadline.has_passed() {
                return Err(QueryError::NotYetVisible);
            }
            tokio::time::sleep(WAIT_STEP.min(deadline.left())).await;
        }
    }
}
