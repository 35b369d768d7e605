//! What may hold something of a page, a person or a workspace, in the order in which it is erased: the one list of it.
//!
//! A further store is a struct with `erase` and `look`, and a line in [`stores`]. Each looks into the files themselves where it has some, so that
//! what is told of them does not rest on what was remembered.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use index::Index;
use indexer::engine::erase::{Erasing, Remains, remains};
use models::generate::{Ledger, LedgerConfig};
use query::answer::resume::ResumeConfig;
use query::audit::{Audit, AuditConfig, AuditKey};
use query::conversations::{Conversations, ConversationsConfig, Whose};
use query::erasure::{Store, StoreError, Subject};
use query::feedback::{Feedback, FeedbackConfig};
use schemas::api::erasures::ErasureCheck;
use schemas::ids::BlockId;

use crate::parts::USAGE;

/// How long a writer of a log is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the stores work with.
pub(crate) struct Site {
    pub(crate) data_dir: PathBuf,
    pub(crate) indexer: indexer::engine::Engine,
    pub(crate) engine: query::engine::Engine,
    pub(crate) feedback: Option<Feedback>,
    pub(crate) feedback_config: FeedbackConfig,
    pub(crate) conversations: Conversations,
    pub(crate) usage: Option<Arc<Ledger>>,
    pub(crate) usage_config: LedgerConfig,
    pub(crate) audit: Option<Audit>,
    pub(crate) audit_config: AuditConfig,
    pub(crate) audit_key: Option<AuditKey>,
}

/// All of them, the index first.
pub(crate) fn stores(site: Site) -> Vec<Box<dyn Store>> {
    let Site {
        data_dir,
        indexer,
        engine,
        feedback,
        feedback_config,
        conversations,
        usage,
        usage_config,
        audit,
        audit_config,
        audit_key,
    } = site;
    let index = indexer.index().clone();
    vec![
        Box::new(IndexStore { indexer: indexer.clone() }),
        Box::new(DeadLetters { index: index.clone(), data_dir: data_dir.clone() }),
        Box::new(Answers { engine }),
        Box::new(KeptConversations { conversations, indexer }),
        Box::new(FeedbackLog {
            data_dir: data_dir.clone(),
            index: index.clone(),
            config: feedback_config,
            log: feedback,
        }),
        Box::new(UsageLedger { data_dir: data_dir.clone(), config: usage_config, ledger: usage }),
        Box::new(AuditLog { data_dir, index, config: audit_config, key: audit_key, log: audit }),
    ]
}

/// What may hold something and is not reached from here.
pub(crate) fn not_reached(data_dir: &Path, has_stream: bool, resume: ResumeConfig) -> Vec<String> {
    let mut places = vec![
        "snapshots taken before: after one of them was restored, erase again; `tessera snapshot --keep` retires them"
            .to_owned(),
        "copies of the data folder and of its logs that others made".to_owned(),
        "the product that the events came from, which must not send them again".to_owned(),
        "the file of service keys and `auth.service_keys`, where they name the workspace as one that a key may touch: revoke such keys; \
         `tessera keys prune` forgets them"
            .to_owned(),
    ];
    if resume.streams_max > 0 {
        places.push(format!(
            "streamed answers in memory, those that are being written and for {} seconds after their end: told to whoever asked alone, and \
             nothing of them that may not be read any more",
            resume.keep_ms.div_ceil(1_000)
        ));
    }
    if has_stream {
        places.push("the stream: its topics of events and of dead letters, until their retention".to_owned());
    }
    if data_dir.join(crate::index_stream::SHARDS).is_dir() {
        places.push("the folder `shards` of `tessera indexer`, which events erase from".to_owned());
    }
    places
}

/// What the write side calls it.
pub(crate) fn erasing(subject: &Subject) -> Erasing {
    match subject {
        Subject::Page(_, page) => Erasing::Page(page.clone()),
        Subject::User(_, user) => Erasing::User(user.clone()),
        Subject::Workspace(_) => Erasing::Workspace,
    }
}

fn check(store: &str, present: bool, looked_for: &str, left: u64, kept: &[&str]) -> ErasureCheck {
    let kept = kept.iter().map(|&kept| kept.to_owned()).collect();
    ErasureCheck { store: store.to_owned(), present, looked_for: looked_for.to_owned(), left, kept }
}

struct IndexStore {
    indexer: indexer::engine::Engine,
}

impl Store for IndexStore {
    fn erase(&self, subject: &Subject) -> Result<bool, StoreError> {
        Ok(self.indexer.erase(subject.workspace(), &erasing(subject))?)
    }

    fn look(&self, subject: &Subject) -> Result<ErasureCheck, StoreError> {
        let remains = self.indexer.remains(subject.workspace(), &erasing(subject))?;
        Ok(of_index(self.indexer.index(), subject, remains))
    }
}

/// What an index was found to hold.
pub(crate) fn of_index(index: &Index, subject: &Subject, remains: Remains) -> ErasureCheck {
    let Remains { is_there, documents, texts, .. } = remains;
    let (looked_for, kept) = match subject {
        Subject::Page(..) => (
            "the page, its passages, vectors, texts and deleted documents in segments of every generation",
            "a tombstone: its id and those of its blocks, with the clocks of their writes".to_owned(),
        ),
        Subject::User(workspace, user) => {
            let written = index.catalog().get(workspace).map_or(0, |known| {
                let state = known.read();
                let is_by = |by: &Option<schemas::ids::UserId>| by.as_ref() == Some(user);
                state.heads().filter(|head| is_by(&head.created_by) || is_by(&head.edited_by)).count()
            });
            let kept =
                format!("a tombstone: the id; and the id as author of {written} pages and in grants, shown to nobody");
            ("a person who may be named", kept)
        }
        Subject::Workspace(_) => (
            "the workspace and its deleted documents in segments of every generation",
            "a tombstone: its id, and that it was erased".to_owned(),
        ),
    };
    check("index", true, looked_for, u64::from(is_there) + documents + texts, &[&kept])
}

/// Erased with the index.
struct DeadLetters {
    index: Index,
    data_dir: PathBuf,
}

impl Store for DeadLetters {
    fn erase(&self, _: &Subject) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn look(&self, subject: &Subject) -> Result<ErasureCheck, StoreError> {
        let remains = remains(&self.index, &self.data_dir, subject.workspace(), &erasing(subject))?;
        Ok(of_letters(&self.data_dir, remains))
    }
}

/// What dead letters were found to hold.
pub(crate) fn of_letters(data_dir: &Path, remains: Remains) -> ErasureCheck {
    let present = indexer::dead_letters::FILES.iter().any(|name| data_dir.join(name).exists());
    check("dead_letters", present, "letters that name it, and such as cannot be read", remains.letters, &[])
}

/// Answers that language models wrote, in memory.
struct Answers {
    engine: query::engine::Engine,
}

impl Store for Answers {
    fn erase(&self, _: &Subject) -> Result<bool, StoreError> {
        self.engine.sweep_answers();
        Ok(true)
    }

    fn look(&self, _: &Subject) -> Result<ErasureCheck, StoreError> {
        let left = self.engine.answers_of_erased() as u64;
        Ok(check("answers", true, "kept answers that rest on something erased", left, &[]))
    }
}

/// Conversations that people had kept.
struct KeptConversations {
    conversations: Conversations,
    indexer: indexer::engine::Engine,
}

impl KeptConversations {
    /// The blocks of a page, those that were deleted too: they may have stood on another page when they were told.
    fn blocks(&self, subject: &Subject) -> Result<Vec<BlockId>, StoreError> {
        let Subject::Page(workspace, page) = subject else { return Ok(Vec::new()) };
        let record = self.indexer.page_record(workspace, page)?;
        Ok(record.map(|record| record.blocks.into_keys().collect()).unwrap_or_default())
    }
}

fn whose<'a>(subject: &'a Subject, blocks: &'a [BlockId]) -> Whose<'a> {
    match subject {
        Subject::Page(workspace, page) => Whose::Page(workspace, page, blocks),
        Subject::User(workspace, user) => Whose::Person(workspace, user),
        Subject::Workspace(workspace) => Whose::Workspace(workspace),
    }
}

impl Store for KeptConversations {
    fn erase(&self, subject: &Subject) -> Result<bool, StoreError> {
        self.conversations.erase(whose(subject, &self.blocks(subject)?))?;
        Ok(true)
    }

    fn look(&self, subject: &Subject) -> Result<ErasureCheck, StoreError> {
        Ok(of_conversations(&self.conversations, subject, &self.blocks(subject)?)?)
    }
}

/// What conversations were found to hold.
fn of_conversations(conversations: &Conversations, subject: &Subject, blocks: &[BlockId]) -> io::Result<ErasureCheck> {
    let left = u64::from(conversations.holds(whose(subject, blocks))?);
    let looked_for = "turns that rest on the page or on blocks of it, or files of the person or the workspace";
    Ok(check("conversations", conversations.is_there(), looked_for, left, &[]))
}

struct FeedbackLog {
    data_dir: PathBuf,
    index: Index,
    config: FeedbackConfig,
    log: Option<Feedback>,
}

impl Store for FeedbackLog {
    fn erase(&self, subject: &Subject) -> Result<bool, StoreError> {
        match (&self.log, subject) {
            (_, Subject::Page(..)) => Ok(true),
            (Some(log), _) => Ok(log.settle(PATIENCE)),
            (None, _) => {
                query::feedback::clean_left(&self.data_dir, &self.config, self.index.clone())?;
                Ok(true)
            }
        }
    }

    fn look(&self, subject: &Subject) -> Result<ErasureCheck, StoreError> {
        Ok(of_feedback(&self.data_dir, subject)?)
    }
}

/// What the log of feedback was found to hold.
pub(crate) fn of_feedback(data_dir: &Path, subject: &Subject) -> io::Result<ErasureCheck> {
    let present = data_dir.join(query::feedback::FOLDER).exists();
    let (left, kept): (_, &[&str]) = match subject {
        Subject::Page(..) if present => (0, &["ids of pages in lists that were shown, until they are too old"]),
        Subject::Page(..) => (0, &[]),
        Subject::User(workspace, user) => (query::feedback::lines_of(data_dir, workspace, Some(user))?, &[]),
        Subject::Workspace(workspace) => (query::feedback::lines_of(data_dir, workspace, None)?, &[]),
    };
    Ok(check("feedback", present, "lines of the person or the workspace", left, kept))
}

struct UsageLedger {
    data_dir: PathBuf,
    config: LedgerConfig,
    ledger: Option<Arc<Ledger>>,
}

impl Store for UsageLedger {
    fn erase(&self, subject: &Subject) -> Result<bool, StoreError> {
        let user = match subject {
            Subject::Page(..) => return Ok(true),
            Subject::User(_, user) => Some(user.as_str()),
            Subject::Workspace(_) => None,
        };
        let forget = |ledger: &Ledger| {
            ledger.forget(subject.workspace().as_str(), user);
            ledger.flush(PATIENCE)
        };
        match &self.ledger {
            Some(ledger) => Ok(forget(ledger)),
            // It could not be opened at the start.
            None if of_usage(&self.data_dir, subject)?.left > 0 => {
                let dir = self.data_dir.join(USAGE);
                Ok(forget(&Ledger::open(&dir, self.config.clone(), jiff::Timestamp::now())?))
            }
            None => Ok(true),
        }
    }

    fn look(&self, subject: &Subject) -> Result<ErasureCheck, StoreError> {
        Ok(of_usage(&self.data_dir, subject)?)
    }
}

/// What the usage ledger was found to hold.
pub(crate) fn of_usage(data_dir: &Path, subject: &Subject) -> io::Result<ErasureCheck> {
    let dir = data_dir.join(USAGE);
    let mut left = 0;
    for name in ["usage.ndjson", "usage.1.ndjson"] {
        let file = match File::open(dir.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            let Ok(line) = serde_json::from_slice::<serde_json::Value>(&line?) else { continue };
            let line = line.get("sum").unwrap_or(&line);
            let is_of_workspace = line["workspace"] == subject.workspace().as_str();
            left += u64::from(match subject {
                Subject::Page(..) => false,
                Subject::User(_, user) => is_of_workspace && line["user"] == user.as_str(),
                Subject::Workspace(_) => is_of_workspace,
            });
        }
    }
    let kept: &[&str] = if matches!(subject, Subject::User(..)) {
        &["what the person took, in the sums of the workspace"]
    } else {
        &[]
    };
    let present = dir.exists();
    Ok(check("usage", present, "calls and sums of the person or the workspace", left, if present { kept } else { &[] }))
}

struct AuditLog {
    data_dir: PathBuf,
    index: Index,
    config: AuditConfig,
    key: Option<AuditKey>,
    log: Option<Audit>,
}

impl Store for AuditLog {
    fn erase(&self, subject: &Subject) -> Result<bool, StoreError> {
        match (&self.log, subject) {
            (_, Subject::Page(..)) => Ok(true),
            (Some(log), _) => Ok(log.settle(PATIENCE)),
            (None, _) => {
                query::audit::clean_left(&self.data_dir, &self.config, self.key.clone(), &self.index)?;
                Ok(true)
            }
        }
    }

    fn look(&self, subject: &Subject) -> Result<ErasureCheck, StoreError> {
        Ok(of_audit(&self.data_dir, subject)?)
    }
}

/// What the audit log was found to hold.
pub(crate) fn of_audit(data_dir: &Path, subject: &Subject) -> io::Result<ErasureCheck> {
    let dir = data_dir.join(query::audit::FOLDER);
    let present = dir.exists();
    let (left, kept): (_, &[&str]) = match subject {
        Subject::Page(..) => (0, &["ids of pages that were shown or opened, until their segments are retired"]),
        Subject::User(workspace, user) => {
            let kept = &[
                "when something was done and to which pages, by nobody who is named; hashes with salts that are gone",
            ];
            (query::audit::lines_of(&dir, workspace, Some(user))?, kept)
        }
        Subject::Workspace(workspace) => (
            query::audit::lines_of(&dir, workspace, None)?,
            &["when something was done; hashes with salts that are gone"],
        ),
    };
    Ok(check("audit", present, "lines that name the person or the workspace", left, if present { kept } else { &[] }))
}

/// All checks that can be made of the files beside a server that runs.
pub(crate) fn look_from_outside(
    index: &Index,
    data_dir: &Path,
    subject: &Subject,
) -> anyhow::Result<Vec<ErasureCheck>> {
    let remains =
        remains(index, data_dir, subject.workspace(), &erasing(subject)).context("cannot look into the index")?;
    let conversations = Conversations::open(data_dir, &ConversationsConfig::default(), index.clone());
    Ok(vec![
        of_index(index, subject, remains),
        of_letters(data_dir, remains),
        // Which blocks the page has is for the server to say: by the page alone.
        of_conversations(&conversations, subject, &[]).context("cannot look into conversations")?,
        of_feedback(data_dir, subject).context("cannot look into the log of feedback")?,
        of_usage(data_dir, subject).context("cannot look into the usage ledger")?,
        of_audit(data_dir, subject).context("cannot look into the audit log")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::call;

    /// The ledger was opened with the bounds of the default configuration, and what they left of it was written.
    #[test]
    fn an_erasure_cuts_the_ledger_by_its_configured_bounds_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = LedgerConfig { days: 3_660, ..LedgerConfig::default() };
        let open = || Ledger::open(&dir.path().join(USAGE), config.clone(), jiff::Timestamp::now()).unwrap();
        let ledger = open();
        let long_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * 1_000);
        for (user, at) in [("ada", long_ago), ("bob", long_ago), ("ada", jiff::Timestamp::now())] {
            ledger.record(&call("acme", user, at));
        }
        drop(ledger);
        let store = UsageLedger { data_dir: dir.path().to_owned(), config: config.clone(), ledger: None };
        let ada = Subject::User("acme".parse().unwrap(), "ada".parse().unwrap());
        assert!(store.erase(&ada).unwrap());
        assert_eq!(store.look(&ada).unwrap().left, 0);
        let left: Vec<_> = open().all().into_iter().map(|sum| (sum.user, sum.totals.calls)).collect();
        assert_eq!(left, [(String::new(), 1), ("bob".to_owned(), 1), (String::new(), 1)]);
    }
}
