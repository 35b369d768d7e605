//! `/mcp`: the Model Context Protocol over streamable HTTP, and where its clients find out how to sign in (RFC 9728).
//!
//! Every request stands alone: no session is kept, and each is admitted by the identity it carries, as any other request is. Hosts and
//! origins are checked where identities are: a token is asked for, or, in insecure development, a request to this machine.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};

use super::App;
use super::auth::Known;
use super::extract::RequestId;
use super::problem::ApiError;
use crate::audit::act::Actor;
use crate::mcp::{Admitted, Tools};
use crate::trace::Place;

const ENDPOINT: &str = "/mcp";
/// What RFC 9728 has clients put between the host and the path of a resource to find out about it.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The endpoint and its metadata.
pub(super) fn routes(app: &App) -> Router<App> {
    let tools = Tools::new(app.engine().clone(), &app.config().public_url, app.audit().cloned());
    let mut config = StreamableHttpServerConfig::default().disable_allowed_hosts();
    config.legacy_session_mode = false;
    config.json_response = true;
    config.max_request_body_bytes = app.config().body_bytes_max;
    let service =
        StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config);
    let admitted = Router::new()
        .route_service(ENDPOINT, service)
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), admit));
    let routed =
        admitted.route(WELL_KNOWN, get(about_server)).route(&format!("{WELL_KNOWN}{ENDPOINT}"), get(about_endpoint));
    match Public::of(&app.config().public_url) {
        // Without what only patterns of paths may have.
        Some(public) if !public.path.is_empty() && !public.path.contains(['{', '}']) => {
            routed.route(&format!("{WELL_KNOWN}{}{ENDPOINT}", public.path), get(about_endpoint))
        }
        _ => routed,
    }
}

/// Where the server is reached from outside.
struct Public<'a> {
    /// Scheme and host.
    origin: &'a str,
    /// Below which path, without a slash at its end; mostly empty.
    path: &'a str,
}

impl<'a> Public<'a> {
    /// Of what is configured; `None` where nothing is.
    fn of(url: &'a str) -> Option<Self> {
        let url = url.trim_end_matches('/');
        let host = url.find("://").map_or(0, |at| at + 3);
        let (origin, path) = url.split_at(url[host..].find('/').map_or(url.len(), |at| host + at));
        (!url.is_empty()).then_some(Self { origin, path })
    }

    /// Where clients find out about the endpoint.
    fn metadata(&self) -> String {
        format!("{}{WELL_KNOWN}{}{ENDPOINT}", self.origin, self.path)
    }

    /// The endpoint, as tokens are given for it.
    fn endpoint(&self) -> String {
        format!("{}{}{ENDPOINT}", self.origin, self.path)
    }
}

/// Finds out who is asking, and lets the tools know.
async fn admit(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let known = Known::of(request.extensions());
    let identity = app.auth().identify(request.headers(), request.uri(), &known).await;
    let admitted = identity.and_then(|identity| app.0.rates.admit(&identity).map(|()| identity));
    let request_id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone());
    let admitted = admitted
        // The library answers in a task of its own.
        .and_then(|identity| {
            let (caller, actor) = (identity.caller()?, Actor::from(&identity));
            Ok(Admitted { caller, actor, request_id, place: Place::here() })
        });
    match admitted {
        Ok(admitted) => {
            request.extensions_mut().insert(admitted);
            next.run(request).await
        }
        Err(error) => {
            let mut response = error.into_response();
            // Who is told to wait is signed in.
            if response.status() == StatusCode::UNAUTHORIZED
                && let Some(public) = Public::of(&app.config().public_url)
                && let Ok(challenge) = HeaderValue::try_from(format!(
                    "Bearer realm=\"tessera\", resource_metadata=\"{}\"",
                    public.metadata()
                ))
            {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

/// Says by whom tokens for the endpoint are given, where that was configured.
async fn about_endpoint(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let public = Public::of(&app.config().public_url).ok_or_else(ApiError::not_found)?;
    metadata(&app, &public.endpoint())
}

/// The same of all that is at the host: the resource is the one that was asked about. Below a path, the host is not ours to tell of.
async fn about_server(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let public = Public::of(&app.config().public_url).filter(|public| public.path.is_empty());
    metadata(&app, public.ok_or_else(ApiError::not_found)?.origin)
}

fn metadata(app: &App, resource: &str) -> Result<Json<Value>, ApiError> {
    let servers = &app.config().authorization_servers;
    if servers.is_empty() {
        return Err(ApiError::not_found());
    }
    Ok(Json(json!({
        "resource": resource,
        "resource_name": "Tessera",
        "authorization_servers": servers,
        "bearer_methods_supported": ["header"],
    })))
}
