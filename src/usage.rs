//! Erasure reaches the usage ledger and the answers that are kept: who was erased from a workspace, or with it, is taken out.
//!
//! Events that erase come by HTTP, by a stream and by imports, so the ledger is compared with what the index knows, at start and
//! every minute, rather than told by each of them. To forget twice does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use index::Index;
use models::generate::Ledger;
use query::engine::Engine;
use schemas::ids::{UserId, WorkspaceId};

/// How often it is looked for people who were erased.
const INTERVAL: Duration = Duration::from_mins(1);

/// Takes out of the ledger and of the kept answers who was erased, now and from time to time, until the runtime ends.
pub(crate) async fn forget_erased_always(ledger: Arc<Ledger>, index: Index, engine: Engine) {
    loop {
        let (ledger, index, engine) = (Arc::clone(&ledger), index.clone(), engine.clone());
        let look = move || {
            forget_erased(&ledger, &index);
            engine.sweep_answers();
        };
        let looked = tokio::task::spawn_blocking(look).await;
        if let Err(error) = looked {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot look for erased people in the ledger");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Takes out of the ledger who was erased.
pub(crate) fn forget_erased(ledger: &Ledger, index: &Index) {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sum in ledger.all() {
        users.entry(sum.workspace).or_default().insert(sum.user);
    }
    for (workspace, users) in users {
        let known = WorkspaceId::new(workspace.as_str()).ok().and_then(|id| index.catalog().get(&id));
        let Some(known) = known else { continue };
        let state = known.read();
        if state.erased {
            ledger.forget(&workspace, None);
            continue;
        }
        for user in users {
            let erased = UserId::new(user.as_str()).is_ok_and(|id| !state.may_name(&id));
            if erased {
                ledger.forget(&workspace, Some(&user));
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use index::OpenMode;
    use indexer::engine::Wait;
    use models::generate::{Entry, LedgerConfig, Outcome, Task};

    use super::*;
    use crate::config::Config;
    use crate::parts;

    /// A call of someone at a time.
    pub(crate) fn call(workspace: &str, user: &str, at: jiff::Timestamp) -> Entry {
        Entry {
            at,
            workspace: workspace.into(),
            user: user.into(),
            task: Task::Answer,
            endpoint: "main".into(),
            model: "small".into(),
            prompt_tokens: 1,
            completion_tokens: 1,
            cost_micros: 1,
            outcome: Outcome::Complete,
            duration_ms: 1,
            first_text_ms: None,
        }
    }

    #[test]
    fn who_was_erased_is_in_the_ledger_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        let index = parts::open_index(&config, OpenMode::ReadWrite).unwrap();
        let indexer = parts::open_indexer(&config, index.clone(), None).unwrap();
        let event = |id: u32, workspace: &str, kind: &str, rest: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"x:y","type":"{kind}","workspaceid":"{workspace}",{rest}"data":{{"version":{{"clock":{{"eu":{id}}},"timestamp":{{"wall_ms":1}},"region":"eu"}}{}}}}}"#,
                if kind == "member.changed" { r#","role":"member""# } else { "" }
            )
        };
        let events = [
            event(1, "acme", "member.changed", r#""subject":"ada","#),
            event(2, "acme", "member.changed", r#""subject":"bob","#),
            event(3, "globex", "member.changed", r#""subject":"eve","#),
            event(4, "acme", "user.erased", r#""subject":"ada","#),
            event(5, "globex", "workspace.erased", ""),
        ];
        let sent = indexer.submit_bytes(None, events.join("\n").as_bytes(), Wait::Durable).unwrap();
        assert_eq!(sent.rejected, []);
        let ledger =
            Ledger::open(&dir.path().join(parts::USAGE), LedgerConfig::default(), jiff::Timestamp::now()).unwrap();
        for (workspace, user) in [("acme", "ada"), ("acme", "bob"), ("globex", "eve")] {
            ledger.record(&call(workspace, user, jiff::Timestamp::now()));
        }
        forget_erased(&ledger, &index);
        let left = ledger.all();
        let mut left: Vec<_> =
            left.iter().map(|sum| (sum.workspace.as_str(), sum.user.as_str(), sum.totals.calls)).collect();
        left.sort_unstable();
        assert_eq!(left, [("acme", "", 1), ("acme", "bob", 1)], "what ada took counts for the workspace");
        assert!(ledger.flush(Duration::from_mins(1)));
        let files = std::fs::read_to_string(dir.path().join("usage/usage.ndjson")).unwrap();
        assert!(!files.contains("ada") && !files.contains("globex"), "{files}");
    }
}
