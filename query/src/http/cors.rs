//! Which web pages of elsewhere may ask in the name of whoever has them open: those of listed origins, by tokens alone.
//!
//! No origin is allowed unless it is named, and no cookie or other credential of the browser is ever let through.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::CorsLayer;

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The first origin that is none, and why.
pub(super) fn wrong(origins: &[String]) -> Option<String> {
    let wrong = origins.iter().find(|origin| !is_origin(origin))?;
    Some(format!(
        "`cors_origins` has `{wrong}`: name each origin as https://app.example.com, without a path and without `*`"
    ))
}

/// Whether it is an origin as browsers write it: scheme, host and perhaps port, all in lower case.
fn is_origin(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let scheme = uri.scheme_str().unwrap_or_default();
    let Some(authority) = uri.authority().map(axum::http::uri::Authority::as_str) else { return false };
    let is_plain = !authority.contains(['*', '@']) && origin.bytes().all(|byte| !byte.is_ascii_uppercase());
    ["http", "https"].contains(&scheme) && is_plain && origin == format!("{scheme}://{authority}")
}

/// Tells browsers; none where no origin is listed, and then they let no page of elsewhere ask.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let own = |name: &'static str| HeaderName::from_static(name);
    Some(
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([
                header::ACCEPT,
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                own("last-event-id"),
                own("mcp-protocol-version"),
                own("mcp-session-id"),
                own("tessera-user"),
                own("tessera-workspace"),
                own("traceparent"),
                own("x-request-id"),
            ])
            .expose_headers([
                header::CONTENT_DISPOSITION,
                header::ETAG,
                header::LOCATION,
                header::RETRY_AFTER,
                own("mcp-session-id"),
                own("x-request-id"),
            ])
            .max_age(REMEMBERED),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_named_as_browsers_write_it() {
        for origin in ["https://app.example.com", "http://localhost:3000", "https://[::1]:8443", "http://127.0.0.1"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "*",
            "null",
            "",
            "app.example.com",
            "https://*.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://App.example.com",
            "https://name@app.example.com",
            "ftp://app.example.com",
            "https://",
        ] {
            assert!(!is_origin(other), "{other}");
        }
        let told = wrong(&["https://a.example".to_owned(), "*".to_owned()]).unwrap();
        assert!(told.contains("`*`"), "{told}");
        assert!(layer(&[]).is_none());
    }
}
