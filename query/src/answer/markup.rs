//! Markup of an answer as it is written: citation markers are found, and links, images and HTML that could reach out go.
//!
//! Pure. Text comes in pieces of any size; what could still become a marker or a link is held back until that is settled, so a
//! marker may be split over pieces. Invariants: whatever comes in, what goes out holds no image, no link but to an address
//! that `page_link` allows, no HTML element that loads or runs something, and no `[1]` that is no marker. Everything that is
//! held back is bounded.

use super::defuse::is_hidden;

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// Text to show.
    Text(String),
    /// A marker names a source.
    Marker(u32),
}

/// Gives the address of a page as it is to be shown, if an address is that of a page that the caller can read.
pub type PageLink<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Stands where a link was.
pub const REMOVED: &str = "(link removed)";
/// Longest text of a link, in bytes; what is longer is none.
const BRACKET_BYTES_MAX: usize = 1_000;
/// Longest target of a link, in bytes.
const TARGET_BYTES_MAX: usize = 2_000;
/// Longest HTML tag.
const TAG_BYTES_MAX: usize = 1_000;
/// Longest word; what is longer is cut there.
const WORD_BYTES_MAX: usize = 2_000;
/// Elements that load, run, send or restyle something.
const ELEMENTS: [&str; 32] = [
    "a", "applet", "area", "audio", "base", "body", "button", "embed", "form", "frame", "frameset", "head", "html",
    "iframe", "image", "img", "input", "link", "map", "math", "meta", "noscript", "object", "picture", "portal",
    "script", "source", "style", "svg", "template", "track", "video",
];
/// Schemes without slashes that a client may make a link of.
const SCHEMES: [&str; 8] = ["javascript:", "vbscript:", "mailto:", "xmpp:", "data:", "tel:", "sms:", "file:"];

/// Reads an answer as it comes.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    pending: String,
    /// Links, images and elements that were removed.
    pub removed: u64,
}

/// What is to be done with the beginning of what is pending.
enum Step {
    /// So many bytes are settled.
    Take(usize, Vec<Out>),
    /// More must come first.
    Wait,
}

impl Scanner {
    /// Takes a piece, and gives what is settled.
    pub fn push(&mut self, piece: &str, page_link: PageLink<'_>) -> Vec<Out> {
        self.pending.extend(piece.chars().filter(|c| !is_hidden(*c)));
        self.settle(false, page_link)
    }

    /// Gives the rest.
    pub fn finish(&mut self, page_link: PageLink<'_>) -> Vec<Out> {
        self.settle(true, page_link)
    }

    fn settle(&mut self, ended: bool, page_link: PageLink<'_>) -> Vec<Out> {
        let pending = std::mem::take(&mut self.pending);
        let mut reader = Reader { ended, page_link, removed: 0 };
        let (taken, out) = reader.read(&pending);
        self.removed += reader.removed;
        pending[taken..].clone_into(&mut self.pending);
        out
    }
}

struct Reader<'a> {
    ended: bool,
    page_link: PageLink<'a>,
    removed: u64,
}

impl Reader<'_> {
    /// Reads as far as it can be settled.
    fn read(&mut self, text: &str) -> (usize, Vec<Out>) {
        let mut out: Vec<Out> = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let Step::Take(len, outs) = self.step(&text[at..]) else { break };
            at += len;
            for next in outs {
                match (out.last_mut(), next) {
                    (Some(Out::Text(last)), Out::Text(text)) => last.push_str(&text),
                    (_, next) => out.push(next),
                }
            }
        }
        (at, out)
    }

    /// A text that is whole.
    fn whole(&mut self, text: &str) -> Vec<Out> {
        let ended = std::mem::replace(&mut self.ended, true);
        let (_, out) = self.read(text);
        self.ended = ended;
        out
    }

    fn step(&mut self, rest: &str) -> Step {
        match rest.chars().next() {
            Some('!') if rest.len() == 1 && !self.ended => Step::Wait,
            Some('!') if rest[1..].starts_with('[') => match self.bracket(&rest[1..]) {
                // An image is removed whole, whatever it shows.
                Step::Take(len, outs) if len > 1 => {
                    let is_marker = matches!(outs[..], [Out::Marker(_), ..]);
                    self.removed += u64::from(!is_marker);
                    let kept = if is_marker { text("!").into_iter().chain(outs).collect() } else { Vec::new() };
                    Step::Take(1 + len, kept)
                }
                Step::Take(len, outs) => Step::Take(1 + len, outs),
                Step::Wait => Step::Wait,
            },
            Some('[') => self.bracket(rest),
            Some('<') => self.tag(rest),
            Some(c) if c.is_whitespace() || stands_alone(c) => Step::Take(c.len_utf8(), text(&rest[..c.len_utf8()])),
            _ => self.word(rest),
        }
    }

    /// `[1]`, `[text](target)`, `[text][name]`, `[text]`.
    fn bracket(&mut self, rest: &str) -> Step {
        let Some(close) = closing(rest, '[', ']', BRACKET_BYTES_MAX) else {
            let may_close = !self.ended && rest.len() <= BRACKET_BYTES_MAX && !rest.contains("\n\n");
            return if may_close { Step::Wait } else { Step::Take(1, text("\\[")) };
        };
        let (inner, after) = (&rest[1..close], &rest[close + 1..]);
        if after.is_empty() && !self.ended {
            return Step::Wait;
        }
        let numbers = numbers(inner);
        let markers = || numbers.clone().map(|all| all.into_iter().map(Out::Marker).collect::<Vec<_>>());
        if after.starts_with('(') {
            let Some(end) = closing(after, '(', ')', TARGET_BYTES_MAX) else {
                if !self.ended && after.len() <= TARGET_BYTES_MAX {
                    return Step::Wait;
                }
                let shown = markers().unwrap_or_else(|| self.whole(inner));
                self.removed += 1;
                return Step::Take(close + 2, shown);
            };
            let target = after[1..end].split_whitespace().next().unwrap_or("").trim_matches(['<', '>']);
            let allowed = (self.page_link)(target).filter(|_| numbers.is_none());
            let shown = markers().unwrap_or_else(|| self.whole(inner));
            let len = close + 1 + end + 1;
            let is_plain = !shown.iter().any(|out| matches!(out, Out::Marker(_)));
            if let Some(address) = allowed.filter(|_| is_plain) {
                let link = text("[").into_iter().chain(shown).chain(text(&format!("]({address})")));
                return Step::Take(len, link.collect());
            }
            self.removed += 1;
            return Step::Take(len, shown);
        }
        // `[name]: target` would give a name a target.
        let apart = if after.starts_with(':') { " " } else { "" };
        if let Some(markers) = markers() {
            return Step::Take(close + 1, markers.into_iter().chain(text(apart)).collect());
        }
        let shown = self.whole(inner);
        if after.starts_with('[') {
            return Step::Take(close + 1, shown);
        }
        Step::Take(close + 1, text("[").into_iter().chain(shown).chain(text(&format!("]{apart}"))).collect())
    }

    /// `<tag>`, `<https://...>`, or a sign.
    fn tag(&mut self, rest: &str) -> Step {
        let after = &rest[1..];
        let end = after.find(['>', '<']);
        let begins = after.chars().next();
        if !self.ended
            && (begins.is_none() || end.is_none() && rest.len() <= TAG_BYTES_MAX && !begins.is_some_and(is_sign))
        {
            return Step::Wait;
        }
        if begins.is_none_or(is_sign) {
            return Step::Take(1, text("<"));
        }
        let Some(end) = end.filter(|end| after[*end..].starts_with('>') && *end <= TAG_BYTES_MAX) else {
            return Step::Take(1, text("&lt;"));
        };
        let inner = &after[..end];
        let name = inner.trim_start_matches('/').to_lowercase();
        let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        let reaches_out =
            inner.contains(['=', ':', '@', '&']) || ELEMENTS.contains(&name) || inner.starts_with(['!', '?']);
        if reaches_out {
            self.removed += 1;
            let address = (self.page_link)(inner);
            return Step::Take(end + 2, address.map_or_else(Vec::new, |address| text(&address)));
        }
        Step::Take(end + 2, text(&rest[..end + 2]))
    }

    fn word(&mut self, rest: &str) -> Step {
        let ends = |c: char| c.is_whitespace() || matches!(c, '[' | '<') || stands_alone(c);
        let mut end = rest.find(ends).unwrap_or(rest.len());
        if end == rest.len() && !self.ended && end <= WORD_BYTES_MAX {
            return Step::Wait;
        }
        // `![` begins an image.
        if rest[end..].starts_with('[') && rest[..end].ends_with('!') && end > 1 {
            end -= 1;
        }
        let word = &rest[..end];
        if !is_link(word) {
            return Step::Take(end, text(word));
        }
        let trimmed = word.trim_matches(|c: char| "()\"'*_`~,;:.!?{}".contains(c));
        if let Some(address) = (self.page_link)(trimmed) {
            return Step::Take(end, text(&word.replace(trimmed, &address)));
        }
        self.removed += 1;
        Step::Take(end, text(REMOVED))
    }
}

fn text(text: &str) -> Vec<Out> {
    if text.is_empty() { Vec::new() } else { vec![Out::Text(text.to_owned())] }
}

/// Whether a `<` before it begins no tag.
fn is_sign(c: char) -> bool {
    !(c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'))
}

/// Characters of scripts without spaces: each is settled by itself, so that such a text flows.
fn stands_alone(c: char) -> bool {
    matches!(u32::from(c), 0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3000..=0x9fff | 0xac00..=0xd7af | 0xff01..=0xff0f | 0x20000..=0x3fffd)
}

/// Where the bracket that `text` begins with is closed, if that is within `bytes_max` and before an empty line.
fn closing(text: &str, open: char, close: char, bytes_max: usize) -> Option<usize> {
    let mut depth = 0;
    let mut escaped = false;
    let mut last = ' ';
    for (at, c) in text.char_indices().take_while(|(at, _)| *at <= bytes_max) {
        if c == '\n' && last == '\n' {
            return None;
        }
        last = c;
        let was_escaped = escaped;
        escaped = c == '\\' && !was_escaped;
        if was_escaped {
            continue;
        }
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// The numbers of a marker: `1`, `1, 2`, `^3`.
fn numbers(inner: &str) -> Option<Vec<u32>> {
    let parts = inner.trim_start_matches('^').split([',', ';']).map(str::trim);
    let numbers = parts.map(|part| {
        let is_number = !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    });
    numbers.collect()
}

/// Whether a client may make a link of a word.
fn is_link(word: &str) -> bool {
    let plain = word.replace('\\', "").to_lowercase();
    let encoded =
        plain.contains("&#") || ["&colon;", "&sol;", "&period;", "&commat;"].iter().any(|name| plain.contains(name));
    if plain.contains("://") || encoded || plain.contains("www.") || plain.contains("](") {
        return true;
    }
    let bare = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '/');
    let has_scheme = |scheme: &str| {
        plain
            .find(scheme)
            .is_some_and(|at| at + scheme.len() < plain.trim_end_matches(['*', '_', '`', '"', '\'', '.', ',']).len())
    };
    if SCHEMES.iter().any(|scheme| has_scheme(scheme)) || bare.starts_with("//") && bare.contains('.') {
        return true;
    }
    // `host.example/path`, which some clients take for an address.
    let Some(end) = bare.find(['/', '?', '#', ':']) else { return false };
    let (host, path) = bare.split_at(end);
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let top = labels.last().is_some_and(|top| top.len() >= 2 && top.chars().all(char::is_alphabetic));
    // After a colon comes a port, or it is no address.
    let has_path = path.len() > 1 && (!path.starts_with(':') || path[1..].starts_with(|c: char| c.is_ascii_digit()));
    labels.len() > 1 && labels.iter().all(|label| is_label(label)) && top && has_path
}

#[cfg(test)]
mod tests;
