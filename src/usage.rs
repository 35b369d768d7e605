//! Erasure reaches the usage ledger: who was erased from a workspace, or with it, is taken out.
//!
//! Events that erase come by HTTP, by a stream and by imports, so the ledger is compared with what the index knows, at start and
//! every minute, rather than told by each of them. To forget twice does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use index::Index;
use models::generate::Ledger;
use schemas::ids::{UserId, WorkspaceId};

/// How often it is looked for people who were erased.
const INTERVAL: Duration = Duration::from_mins(1);

/// Takes out of the ledger who was erased, now and from time to time, until the runtime ends.
pub(crate) async fn forget_erased_always(ledger: Arc<Ledger>, index: Index) {
    loop {
        let (ledger, index) = (Arc::clone(&ledger), index.clone());
        let looked = tokio::task::spawn_blocking(move || forget_erased(&ledger, &index)).await;
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
