//! Reading requests: bodies, query strings, paths and identities, each with the one shape of error.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use schemas::problem::ProblemCode;
use serde::de::DeserializeOwned;

use super::App;
use super::auth::{Identity, Known};
use super::problem::ApiError;

/// The id of this request: in every response, problem and log line.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::internal)
    }
}

impl FromRequestParts<App> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let known = Known::of(&parts.extensions);
        let identity = app.auth().identify(&parts.headers, &parts.uri, &known).await?;
        // Events may hold revocations.
        if parts.uri.path() != "/v1/events" {
            app.0.rates.admit(&identity)?;
        }
        Ok(identity)
    }
}

/// The id that a path names, where it is one. Never refused by itself: who may ask is found out first.
pub(super) struct PathId<T>(Option<T>);

impl<T> PathId<T> {
    /// The id. A text that is no id names nothing, and is answered as what is not there.
    pub(super) fn named(self) -> Result<T, ApiError> {
        self.0.ok_or_else(ApiError::not_found)
    }
}

impl<T: TryFrom<String>> FromRequestParts<App> for PathId<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let text = Path::<String>::from_request_parts(parts, app).await;
        Ok(Self(text.ok().and_then(|Path(text)| T::try_from(text).ok())))
    }
}

/// A JSON body.
pub(super) struct ApiJson<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let media_type = media_type(request.headers())?;
        if media_type != "application/json" {
            return Err(ApiError::new(ProblemCode::UnsupportedMediaType, "send `Content-Type: application/json`"));
        }
        let body = read_body(request, app).await?;
        // serde would take an array of the fields' values for an object.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(ApiError::field("body", "must be a JSON object"));
        }
        let value = serde_json::from_slice(&body).map_err(|error| ApiError::field("body", error.to_string()))?;
        Ok(Self(value))
    }
}

/// The whole body, within the limit of its route.
pub(super) async fn read_body(request: Request, app: &App) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, app).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(ProblemCode::TooLarge, "the body is larger than this endpoint takes")
        }
        _ => ApiError::new(
            ProblemCode::InvalidRequest,
            "the body ended early, stood still for too long or cannot be read",
        ),
    })
}

/// The media type of the body in lower case, without parameters. Compressed bodies are not taken.
pub(super) fn media_type(headers: &HeaderMap) -> Result<String, ApiError> {
    let unsupported = |detail| ApiError::new(ProblemCode::UnsupportedMediaType, detail);
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    if encoding.is_some_and(|encoding| encoding != b"identity") {
        return Err(unsupported("send the body without `Content-Encoding`"));
    }
    let value = headers.get(header::CONTENT_TYPE).ok_or_else(|| unsupported("send a `Content-Type`"))?;
    let value = value.to_str().map_err(|_| unsupported("`Content-Type` cannot be read"))?;
    let (media_type, parameters) = value.split_once(';').unwrap_or((value, ""));
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if charset.is_some_and(|charset| !charset.trim_matches('"').eq_ignore_ascii_case("utf-8")) {
        return Err(unsupported("send the body in UTF-8"));
    }
    Ok(media_type.trim().to_ascii_lowercase())
}

/// The parameters in the query string. Unknown ones are refused, `workspace` and `as` apart: those are read by whoever
/// finds out who is asking.
pub(super) struct ApiQuery<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let invalid = |reason: String| ApiError::field("query string", reason);
        let query = parts.uri.query().unwrap_or("");
        let of_identity = |pair: &&str| ["workspace", "as"].contains(&pair.split('=').next().unwrap_or(""));
        let rest: Vec<&str> = query.split('&').filter(|pair| !of_identity(pair) && !pair.is_empty()).collect();
        let uri: Uri = format!("/?{}", rest.join("&")).parse().map_err(|_| invalid("cannot be read".to_owned()))?;
        let parsed = Query::try_from_uri(&uri);
        Ok(Self(parsed.map_err(|rejection| invalid(rejection.body_text()))?.0))
    }
}
