//! Markup of an answer as it is written: citation markers are found, and links, images and HTML that could reach out go.
//!
//! Pure. Text comes in pieces of any size; what could still become a marker or a link is held back until that is settled, so a
//! marker may be split over pieces. Invariants: whatever comes in, what goes out holds no image, no link but to an address
//! that `page_link` allows, no HTML element that loads or runs something, and no `[1]` that is no marker. What stood on both sides
//! of something that was removed stays apart, so that no two harmless parts join to what was never judged. Everything that is held
//! back is bounded.

mod link;

use self::link::is_link;
use super::defuse::is_hidden;

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// Text to show.
    Text(String),
    /// A marker names a source that is there, by its number from 1.
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

/// Reads an answer as it comes.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    /// How many sources there are to name.
    sources: u32,
    pending: String,
    /// The last character that came out, and the one before it.
    last: Option<char>,
    before_last: Option<char>,
    /// How many backslashes came out last.
    backslashes: usize,
    /// Whether something was removed since.
    has_gap: bool,
    /// Links, images and elements that were removed.
    pub removed: u64,
    /// Markers that named no source.
    pub dropped: u64,
}

/// What is to be done with the beginning of what is pending.
enum Step {
    /// So many bytes are settled.
    Take(usize, Vec<Found>),
    /// More must come first.
    Wait,
}

/// What was found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// Text to show.
    Text(String),
    /// Text that closes what stands before it, and can join with nothing.
    Closing(String),
    /// A bracket that is to open nothing.
    Bracket,
    /// A marker, by its number.
    Marker(u32),
    /// Something was removed here.
    Gap,
}

impl Scanner {
    /// Of a text that may name so many sources.
    pub fn new(sources: usize) -> Self {
        Self { sources: u32::try_from(sources).unwrap_or(u32::MAX), ..Self::default() }
    }

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
        let mut reader = Reader { ended, is_inner: false, page_link, removed: 0 };
        let (taken, found) = reader.read(&pending);
        self.removed += reader.removed;
        pending[taken..].clone_into(&mut self.pending);
        let mut out = Vec::new();
        for found in found {
            self.emit(found, &mut out);
        }
        out
    }

    fn emit(&mut self, found: Found, out: &mut Vec<Out>) {
        match found {
            Found::Gap => self.has_gap = true,
            Found::Marker(number) if !(1..=self.sources).contains(&number) => {
                self.dropped += 1;
                self.has_gap = true;
            }
            Found::Marker(number) => {
                self.keep_apart('[', out);
                out.push(Out::Marker(number));
                (self.before_last, self.last, self.backslashes) = (Some('['), Some(']'), 0);
            }
            Found::Closing(text) if self.last.is_some_and(|last| last.is_alphanumeric() || CLOSING.contains(last)) => {
                self.has_gap = false;
                self.show(&text, out);
            }
            Found::Text(text) | Found::Closing(text) => {
                if let Some(first) = text.chars().next() {
                    self.keep_apart(first, out);
                    self.show(&text, out);
                }
            }
            Found::Bracket => {
                self.keep_apart('[', out);
                // After a backslash it opens nothing already, after two it would.
                self.show(if self.backslashes % 2 == 1 { "[" } else { "\\[" }, out);
            }
        }
    }

    /// Puts a space where something was removed before this, unless nothing can join there.
    fn keep_apart(&mut self, next: char, out: &mut Vec<Out>) {
        let has_gap = std::mem::take(&mut self.has_gap);
        let Some(last) = self.last.filter(|_| has_gap) else { return };
        let opens = OPENING.contains(last) && self.before_last.is_none_or(char::is_whitespace);
        let is_apart = last.is_whitespace() || next.is_whitespace() || opens;
        if !(is_apart || stands_alone(last) && stands_alone(next)) {
            self.show(" ", out);
        }
    }

    fn show(&mut self, text: &str, out: &mut Vec<Out>) {
        let without = text.trim_end_matches('\\');
        self.backslashes = text.len() - without.len() + if without.is_empty() { self.backslashes } else { 0 };
        let mut chars = text.chars().rev();
        if let Some(last) = chars.next() {
            self.before_last = chars.next().or(self.last);
            self.last = Some(last);
        }
        match out.last_mut() {
            Some(Out::Text(shown)) => shown.push_str(text),
            _ => out.push(Out::Text(text.to_owned())),
        }
    }
}

/// What opens something at the beginning of a word, after which text can begin without a space.
const OPENING: &str = "(\"“„«「『（";
/// What closes something or ends a sentence; a colon can make a target of what follows it.
const CLOSING: &str = ".,;!?)]\"'…»”’*_。、，．；！？」』）";

struct Reader<'a> {
    ended: bool,
    /// Whether it is a part of a text, after which something comes.
    is_inner: bool,
    page_link: PageLink<'a>,
    removed: u64,
}

impl Reader<'_> {
    /// Reads as far as it can be settled.
    fn read(&mut self, text: &str) -> (usize, Vec<Found>) {
        let mut found: Vec<Found> = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let Step::Take(len, next) = self.step(&text[at..]) else { break };
            at += len;
            found.extend(next);
        }
        (at, found)
    }

    /// A text that is whole.
    fn whole(&mut self, text: &str) -> Vec<Found> {
        let ended = std::mem::replace(&mut self.ended, true);
        let is_inner = std::mem::replace(&mut self.is_inner, true);
        let (_, found) = self.read(text);
        (self.ended, self.is_inner) = (ended, is_inner);
        found
    }

    fn step(&mut self, rest: &str) -> Step {
        match rest.chars().next() {
            Some('!') if rest.len() == 1 && !self.ended => Step::Wait,
            Some('!') if rest[1..].starts_with('[') => match self.bracket(&rest[1..]) {
                // An image is removed whole, whatever it shows.
                Step::Take(len, found) if len > 1 => {
                    let is_marker = matches!(found[..], [Found::Marker(_), ..]);
                    self.removed += u64::from(!is_marker);
                    Step::Take(1 + len, if is_marker { before(text("!"), found) } else { vec![Found::Gap] })
                }
                Step::Take(len, found) => Step::Take(1 + len, before(text("!"), found)),
                Step::Wait => Step::Wait,
            },
            Some('[') => self.bracket(rest),
            Some('<') => self.tag(rest),
            Some(c) if c.is_whitespace() || stands_alone(c) => {
                let alone = rest[..c.len_utf8()].to_owned();
                let is_closing = CLOSING.contains(c);
                Step::Take(alone.len(), vec![if is_closing { Found::Closing(alone) } else { Found::Text(alone) }])
            }
            _ => self.word(rest),
        }
    }

    /// `[1]`, `[text](target)`, `[text][name]`, `[text]`.
    fn bracket(&mut self, rest: &str) -> Step {
        let Some(close) = closing(rest, '[', ']', BRACKET_BYTES_MAX) else {
            let may_close = !self.ended && rest.len() <= BRACKET_BYTES_MAX && !rest.contains("\n\n");
            return if may_close { Step::Wait } else { Step::Take(1, vec![Found::Bracket]) };
        };
        let (inner, after) = (&rest[1..close], &rest[close + 1..]);
        if after.is_empty() && !self.ended {
            return Step::Wait;
        }
        let markers = numbers(inner).map(|all| all.into_iter().map(Found::Marker).collect::<Vec<_>>());
        if after.starts_with('(') {
            let Some(end) = closing(after, '(', ')', TARGET_BYTES_MAX) else {
                if !self.ended && after.len() <= TARGET_BYTES_MAX {
                    return Step::Wait;
                }
                self.removed += 1;
                let shown = markers.unwrap_or_else(|| before(vec![Found::Gap], self.whole(inner)));
                return Step::Take(close + 2, before(shown, vec![Found::Gap]));
            };
            let target = after[1..end].split_whitespace().next().unwrap_or("").trim_matches(['<', '>']);
            let len = close + 1 + end + 1;
            if let Some(markers) = markers {
                self.removed += 1;
                return Step::Take(len, before(markers, vec![Found::Gap]));
            }
            let shown = self.whole(inner);
            let is_plain = !shown.iter().any(|found| matches!(found, Found::Marker(_)));
            if let Some(address) = (self.page_link)(target).filter(|_| is_plain) {
                let link = before(text("["), before(shown, text(&format!("]({address})"))));
                return Step::Take(len, link);
            }
            self.removed += 1;
            return Step::Take(len, apart(shown));
        }
        // `[name]: target` would give a name a target.
        let colon = if after.starts_with(':') { text(" ") } else { Vec::new() };
        if let Some(markers) = markers {
            return Step::Take(close + 1, before(markers, colon));
        }
        let shown = self.whole(inner);
        if after.starts_with('[') {
            return Step::Take(close + 1, apart(shown));
        }
        Step::Take(close + 1, before(text("["), before(shown, before(text("]"), colon))))
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
        let reaches_out = inner.contains(['=', ':', '@', '&', '[', ']', '(', ')'])
            || ELEMENTS.contains(&name)
            || inner.starts_with(['!', '?'])
            || inner.split_whitespace().any(|word| is_link(word, None));
        if reaches_out {
            self.removed += 1;
            let address = (self.page_link)(inner);
            return Step::Take(end + 2, apart(address.map_or_else(Vec::new, |address| text(&address))));
        }
        Step::Take(end + 2, text(&rest[..end + 2]))
    }

    fn word(&mut self, rest: &str) -> Step {
        let ends = |c: char| c.is_whitespace() || matches!(c, '[' | '<') || stands_alone(c);
        let mut end = rest.find(ends).unwrap_or(rest.len());
        if end == rest.len() && !self.ended && end <= WORD_BYTES_MAX {
            return Step::Wait;
        }
        if end > WORD_BYTES_MAX {
            let end = rest.floor_char_boundary(WORD_BYTES_MAX);
            return Step::Take(end, before(self.judged(&rest[..end], None), vec![Found::Gap]));
        }
        // `![` begins an image.
        if rest[end..].starts_with('[') && rest[..end].ends_with('!') && end > 1 {
            end -= 1;
        }
        let (word, next) = (&rest[..end], rest[end..].chars().next());
        let is_last = next.map_or(!self.is_inner, char::is_whitespace);
        if is_last && word.chars().all(|c| CLOSING.contains(c)) {
            return Step::Take(end, vec![Found::Closing(word.to_owned())]);
        }
        Step::Take(end, self.judged(word, next))
    }

    /// A word as it may be shown, with what comes after it.
    fn judged(&mut self, word: &str, next: Option<char>) -> Vec<Found> {
        if !is_link(word, next) {
            return text(word);
        }
        let trimmed = word.trim_matches(|c: char| "()\"'*_`~,;:.!?{}".contains(c));
        if let Some(address) = (self.page_link)(trimmed) {
            return text(&word.replace(trimmed, &address));
        }
        self.removed += 1;
        apart(text(REMOVED))
    }
}

fn text(text: &str) -> Vec<Found> {
    if text.is_empty() { Vec::new() } else { vec![Found::Text(text.to_owned())] }
}

fn before(mut first: Vec<Found>, then: Vec<Found>) -> Vec<Found> {
    first.extend(then);
    first
}

/// What is left of something whose beginning and end were removed.
fn apart(left: Vec<Found>) -> Vec<Found> {
    before(vec![Found::Gap], before(left, vec![Found::Gap]))
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

#[cfg(test)]
mod tests;
