//! A running server, asked over HTTP as any client asks it.
//!
//! In insecure development it is told who asks; elsewhere a service key acts for that person, or a token is theirs.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use query::http::auth::{ACT_AS_HEADER, SERVICE_KEY_PREFIX, USER_HEADER, WORKSPACE_HEADER};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use schemas::api::search::{Fusion, SearchRequest, SearchResponse};
use schemas::ids::{UserId, WorkspaceId};

use super::Searches;
use crate::configuration::Configuration;

/// What a server may take for one answer, and the most that it allows as it is configured by default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of an error that are repeated.
const ERROR_BYTES_MAX: usize = 500;

/// A server, and who asks it.
pub struct Server {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    url: String,
    workspace: WorkspaceId,
    user: UserId,
    /// A service key or a token.
    token: Option<String>,
    fusion: Option<Fusion>,
}

impl Server {
    /// Asks the server at a base address, such as `http://127.0.0.1:8080`, as a person of a workspace.
    pub fn new(url: &str, workspace: WorkspaceId, user: UserId, token: Option<String>) -> anyhow::Result<Self> {
        ensure!(url.starts_with("http://") || url.starts_with("https://"), "{url} is no address of a server");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            client: reqwest::Client::builder().no_proxy().build().context("cannot make a client")?,
            runtime: runtime.context("cannot start a runtime")?,
            url: format!("{}/v1/search", url.trim_end_matches('/')),
            workspace,
            user,
            token,
            fusion: None,
        })
    }

    /// Says in each request from now on what a configuration changes. Fails where a request cannot say it.
    pub fn configure(&mut self, configuration: &Configuration, base: &query::config::Config) -> anyhow::Result<()> {
        self.fusion = configuration.fusion_of_request(base)?;
        Ok(())
    }

    async fn post(&self, body: Vec<u8>) -> anyhow::Result<SearchResponse> {
        let mut request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(body);
        request = match &self.token {
            None => request.header(WORKSPACE_HEADER, self.workspace.as_str()).header(USER_HEADER, self.user.as_str()),
            Some(token) if token.starts_with(SERVICE_KEY_PREFIX) => request
                .header(WORKSPACE_HEADER, self.workspace.as_str())
                .header(ACT_AS_HEADER, self.user.as_str())
                .header(AUTHORIZATION, format!("Bearer {token}")),
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
        };
        let response = request.timeout(2 * TIMEOUT).send().await.context("the server cannot be reached")?;
        let status = response.status();
        let announced = response.content_length().unwrap_or_default();
        ensure!(announced <= ANSWER_BYTES_MAX, "the answer is longer than {ANSWER_BYTES_MAX} bytes");
        let bytes = response.bytes().await.context("the answer broke off")?;
        if !status.is_success() {
            let told = String::from_utf8_lossy(&bytes[..bytes.len().min(ERROR_BYTES_MAX)]).into_owned();
            bail!("the server answered {status}: {told}");
        }
        serde_json::from_slice(&bytes).context("the answer is no answer to a search")
    }
}

impl Searches for Server {
    fn search(&mut self, request: SearchRequest) -> anyhow::Result<SearchResponse> {
        let timeout_ms = Some(TIMEOUT.as_millis() as u32);
        let request = SearchRequest { fusion: self.fusion, timeout_ms, ..request };
        let body = serde_json::to_vec(&request).context("cannot put a request into JSON")?;
        self.runtime.block_on(self.post(body)).with_context(|| format!("cannot ask {}", self.url))
    }
}
