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
use super::extract::RequestId;
use super::problem::ApiError;
use crate::audit::act::Actor;
use crate::mcp::{Admitted, Tools};
use crate::trace::Place;

const ENDPOINT: &str = "/mcp";
/// Where RFC 9728 has clients look, for a server as a whole and for this endpoint.
const METADATA: [&str; 2] = ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"];

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
    METADATA.iter().fold(admitted, |router, path| router.route(path, get(metadata)))
}

/// Finds out who is asking, and lets the tools know.
async fn admit(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let identity = app.auth().identify(request.headers(), request.uri()).await;
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
            let public_url = app.config().public_url.trim_end_matches('/');
            let challenge = format!("Bearer realm=\"tessera\", resource_metadata=\"{public_url}{}\"", METADATA[1]);
            // Who is told to wait is signed in.
            if response.status() == StatusCode::UNAUTHORIZED
                && !public_url.is_empty()
                && let Ok(challenge) = HeaderValue::try_from(challenge)
            {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

/// Says for what and by whom tokens are given, where that was configured.
async fn metadata(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let config = app.config();
    let public_url = config.public_url.trim_end_matches('/');
    if public_url.is_empty() || config.authorization_servers.is_empty() {
        return Err(ApiError::not_found());
    }
    Ok(Json(json!({
        "resource": format!("{public_url}{ENDPOINT}"),
        "resource_name": "Tessera",
        "authorization_servers": config.authorization_servers,
        "bearer_methods_supported": ["header"],
    })))
}
