//! One installation in a temporary folder: an index with a write side and read sides over it.

use std::sync::Arc;
use std::time::Duration;

use access::{Caller, Subject};
use eval::leak::parrot::Parrot;
use index::{Index, OpenMode};
use models::embed::Embedder;
use query::answer::resume::{ResumeConfig, Streams};
use query::conversations::{Conversations, ConversationsConfig};
use query::feedback::{Feedback, FeedbackConfig};
use schemas::ids::{UserId, WorkspaceId};

/// Far more than any step takes, so that only a hang comes to its end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
const DIMENSIONS: usize = 16;

pub(crate) struct Site {
    pub(crate) indexer: indexer::engine::Engine,
    /// Forgives no typos, so that what it finds can be worked out.
    pub(crate) exact: query::engine::Engine,
    /// As it is served.
    pub(crate) lenient: query::engine::Engine,
    /// Has a model write answers that says all it was shown.
    pub(crate) parroting: query::engine::Engine,
    /// Records what `lenient` shows.
    pub(crate) feedback: Feedback,
    /// What people asked and were answered.
    pub(crate) conversations: Conversations,
    /// Answers whose connection broke; they wait for as long as it takes.
    pub(crate) streams: Streams,
    /// Dropped last: the engines write to it until they end.
    _dir: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = index::Config {
            dir: dir.path().join("index"),
            dimensions: DIMENSIONS,
            writer_memory_bytes: 15 << 20,
            ..index::Config::default()
        };
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        let embedder = Embedder::fake(DIMENSIONS);
        let read = |fuzzy_below| {
            let config = query::config::Config { fuzzy_below, ..query::config::Config::default() };
            query::engine::Engine::new(index.clone(), Some(embedder.clone()), config).unwrap()
        };
        let (exact, lenient) = (read(0), read(3));
        let config = query::config::Config::default();
        let parrot = Some(Arc::new(Parrot) as Arc<dyn models::generate::Generate>);
        let parroting =
            query::engine::Engine::with_writer(index.clone(), Some(embedder.clone()), parrot, config).unwrap();
        let recording = FeedbackConfig { enabled: true, bytes_max: 1 << 20, ..FeedbackConfig::default() };
        let feedback = Feedback::open(dir.path(), &recording, index.clone()).unwrap().unwrap();
        let conversations = Conversations::open(dir.path(), &ConversationsConfig::default(), index.clone());
        let streams = Streams::new(ResumeConfig {
            streams_max: 10_000,
            stream_bytes_max: 1 << 20,
            detached_ms: 300_000,
            keep_ms: 3_600_000,
        });
        let config = indexer::config::Config {
            data_dir: dir.path().to_owned(),
            commit_interval_ms: 1,
            embed_interval_ms: 1,
            ..indexer::config::Config::default()
        };
        let indexer = indexer::engine::Engine::open(index, Some(embedder), config).unwrap();
        Self { indexer, exact, lenient, parroting, feedback, conversations, streams, _dir: dir }
    }

    /// Waits until all is searchable by words and by meaning.
    #[track_caller]
    pub(crate) fn settle(&self) {
        assert!(self.indexer.wait_embedded(PATIENCE), "{:?}", self.indexer.status());
    }
}

pub(crate) fn caller(workspace: &WorkspaceId, user: Option<&UserId>) -> Caller {
    let subject = user.map_or(Subject::Anonymous, |user| Subject::User(user.clone()));
    Caller { workspace: workspace.clone(), subject }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
