//! The page that people search with, at `/`: its files, carried in the binary, and the headers that keep it to itself.
//!
//! The page is a client of the HTTP API like any other: nothing is put into it here, and it holds no content. Its files are the
//! same for everyone, so they need no identity.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::App;

/// A file of the page.
#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FILES: &[File] = &[
    File { path: "/", content_type: HTML, text: include_str!("../../web/index.html") },
    File { path: "/ui/style.css", content_type: CSS, text: include_str!("../../web/style.css") },
    File { path: "/ui/icon.svg", content_type: SVG, text: include_str!("../../web/icon.svg") },
    File { path: "/ui/main.js", content_type: JAVASCRIPT, text: include_str!("../../web/main.js") },
    File { path: "/ui/ask.js", content_type: JAVASCRIPT, text: include_str!("../../web/ask.js") },
    File { path: "/ui/api.js", content_type: JAVASCRIPT, text: include_str!("../../web/api.js") },
    File { path: "/ui/counters.js", content_type: JAVASCRIPT, text: include_str!("../../web/counters.js") },
    File { path: "/ui/dom.js", content_type: JAVASCRIPT, text: include_str!("../../web/dom.js") },
    File { path: "/ui/page.js", content_type: JAVASCRIPT, text: include_str!("../../web/page.js") },
    File { path: "/ui/routes.js", content_type: JAVASCRIPT, text: include_str!("../../web/routes.js") },
    File { path: "/ui/search.js", content_type: JAVASCRIPT, text: include_str!("../../web/search.js") },
    File { path: "/ui/session.js", content_type: JAVASCRIPT, text: include_str!("../../web/session.js") },
    File { path: "/ui/status.js", content_type: JAVASCRIPT, text: include_str!("../../web/status.js") },
    File { path: "/ui/talks.js", content_type: JAVASCRIPT, text: include_str!("../../web/talks.js") },
    File { path: "/ui/why.js", content_type: JAVASCRIPT, text: include_str!("../../web/why.js") },
];

/// Only its own scripts, styles, pictures and API; no frames around it, no forms elsewhere, nothing written into the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                                       base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The routes of the page.
pub(super) fn routes() -> Router<App> {
    FILES.iter().fold(Router::new(), |router, file| {
        let tag = format!("\"{}\"", &blake3::hash(file.text.as_bytes()).to_hex()[..32]);
        router.route(file.path, get(async move |headers: HeaderMap| serve(file, &tag, &headers)))
    })
}

fn serve(file: &File, tag: &str, headers: &HeaderMap) -> Response {
    let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| known.as_bytes() == tag.as_bytes());
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_TYPE, file.content_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { file.text.into_response() };
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
