//! Whether a client may make a link of a word: by a scheme, `www.`, a host with a path, or what is decoded to one.
//!
//! Pure, and rather too strict than too lax. A mail address without `mailto:` stays: people are named by theirs, and what a client
//! makes of it sends nothing by itself.

use super::{CLOSING, stands_alone};

/// Schemes without slashes that a client may make a link of.
const SCHEMES: [&str; 8] = ["javascript:", "vbscript:", "mailto:", "xmpp:", "data:", "tel:", "sms:", "file:"];
/// Names of characters that addresses are made of.
const NAMES: [&str; 4] = ["&colon;", "&sol;", "&period;", "&commat;"];

/// Whether a client may make a link of a word, after which this character comes.
pub(super) fn is_link(word: &str, next: Option<char>) -> bool {
    let plain = word.replace('\\', "").to_lowercase();
    let encoded = plain.contains("&#") || NAMES.iter().any(|name| plain.contains(name));
    let goes_on_alone = next.is_some_and(|next| stands_alone(next) && next.is_alphanumeric());
    let is_web = plain.find("www.").is_some_and(|at| goes_on_alone || !is_over(&plain[at + 4..]));
    if plain.contains("://") || encoded || is_web || plain.contains("](") {
        return true;
    }
    let has_scheme = |scheme: &str| {
        plain
            .find(scheme)
            .is_some_and(|at| at + scheme.len() < plain.trim_end_matches(['*', '_', '`', '"', '\'', '.', ',']).len())
    };
    let bare = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '/');
    if SCHEMES.iter().any(|scheme| has_scheme(scheme)) || bare.starts_with("//") && has_dot(bare) {
        return true;
    }
    hosts(&plain).any(|(host, path)| is_host(host) && is_path(path, goes_on_alone))
}

/// Whether there is a dot with something behind it, as in the name of a host.
fn has_dot(text: &str) -> bool {
    text.split('.').skip(1).any(|behind| behind.starts_with(char::is_alphanumeric))
}

/// Whether nothing is left but signs that close something.
fn is_over(rest: &str) -> bool {
    rest.chars().all(|c| CLOSING.contains(c))
}

/// What may be the names of hosts in a word, each with what follows it: those that begin it, or stand after a sign. A file after
/// folders is none, as in `src/main.rs:12`.
fn hosts(word: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_of_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let begins = move |at: usize| {
        let before = &word[..at];
        let is_after_sign = !before.ends_with(is_of_host) && !before.ends_with(['/', '%']);
        is_after_sign || !before.contains(char::is_alphanumeric) && before.ends_with('/')
    };
    let starts = word.char_indices().filter(move |(_, c)| is_of_host(*c)).map(|(at, _)| at);
    starts.filter(move |at| begins(*at)).map(move |at| {
        let from = &word[at..];
        let end = from.find(|c: char| !is_of_host(c)).unwrap_or(from.len());
        (from[..end].trim_matches('_').trim_end_matches('.'), &from[end..])
    })
}

/// `host.example`.
fn is_host(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let top = labels.last().copied().unwrap_or("");
    let is_top = top.len() >= 2 && top.chars().all(char::is_alphabetic) || top.starts_with("xn--");
    labels.len() > 1 && labels.iter().all(is_label) && is_top
}

/// Whether what follows a host makes an address of it. After a colon comes a port, or it is none.
fn is_path(path: &str, goes_on_alone: bool) -> bool {
    match path.chars().next() {
        Some('/') => true,
        Some('?' | '#') => goes_on_alone || !is_over(&path[1..]),
        Some(':') => path[1..].starts_with(|c: char| c.is_ascii_digit()),
        _ => false,
    }
}
