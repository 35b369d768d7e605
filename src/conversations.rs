//! Conversations are looked through for what may be kept no longer, at start and every minute, until the runtime ends.
//!
//! Events that erase come by HTTP, by a stream and by imports, so what is kept is compared with what the index knows.

use std::time::Duration;

use jiff::Timestamp;
use query::conversations::Conversations;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_mins(1);

/// Takes out what may be kept no longer, now and from time to time.
pub(crate) async fn sweep_always(conversations: Conversations) {
    loop {
        let swept = conversations.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || swept.sweep(Timestamp::now())).await {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot look through the conversations");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
