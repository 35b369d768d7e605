//! Running text under construction: runs of one style each, with line breaks turned into what a reader sees.
//!
//! Invariant: neighbouring runs differ in style or link, and no run is empty.

use schemas::block::RichText;

/// Text being gathered.
#[derive(Default)]
pub(super) struct Inline {
    runs: Vec<RichText>,
    /// A line break of the source that becomes a space, or nothing between two ideographs.
    soft_break: bool,
    pub(super) bold: u32,
    pub(super) italic: u32,
    pub(super) strikethrough: u32,
    links: Vec<Option<String>>,
}

impl Inline {
    /// Appends text in the current style.
    pub(super) fn push(&mut self, text: &str) {
        self.push_styled(text, false);
    }

    /// Appends program text.
    pub(super) fn push_code(&mut self, text: &str) {
        self.push_styled(text, true);
    }

    fn push_styled(&mut self, text: &str, code: bool) {
        let Some(next) = text.chars().next() else { return };
        if std::mem::take(&mut self.soft_break) {
            let last = self.runs.last().and_then(|run| run.plain_text.chars().next_back());
            if last.is_some_and(|last| !(is_ideographic(last) && is_ideographic(next))) {
                self.append(" ", false);
            }
        }
        self.append(text, code);
    }

    fn append(&mut self, text: &str, code: bool) {
        let styles = [(self.bold > 0, "bold"), (self.italic > 0, "italic"), (self.strikethrough > 0, "strikethrough")];
        let styles = styles.into_iter().chain([(code, "code")]).filter(|(on, _)| *on);
        let annotations: Vec<String> = styles.map(|(_, name)| name.to_owned()).collect();
        let href = self.links.last().cloned().flatten();
        match self.runs.last_mut() {
            Some(run) if run.annotations == annotations && run.href == href => run.plain_text.push_str(text),
            _ => self.runs.push(RichText { plain_text: text.to_owned(), href, annotations }),
        }
    }

    /// Notes a line break that the author did not mean as one.
    pub(super) fn soft_break(&mut self) {
        self.soft_break = true;
    }

    /// Appends a line break that the author meant.
    pub(super) fn hard_break(&mut self) {
        self.soft_break = false;
        self.append("\n", false);
    }

    /// Text from here on links to an address.
    pub(super) fn open_link(&mut self, href: Option<String>) {
        self.links.push(href);
    }

    /// The link that was opened last ends.
    pub(super) fn close_link(&mut self) {
        self.links.pop();
    }

    /// Forgets links that were never closed.
    pub(super) fn reset_links(&mut self) {
        self.links.clear();
    }

    /// The link that text now belongs to.
    pub(super) fn link(&self) -> Option<&str> {
        self.links.last()?.as_deref()
    }

    /// True when nothing but white space was gathered.
    pub(super) fn is_blank(&self) -> bool {
        self.runs.iter().all(|run| run.plain_text.trim().is_empty())
    }

    /// Hands over the text without white space at its ends. Open styles and links stay open.
    pub(super) fn take(&mut self) -> Vec<RichText> {
        self.soft_break = false;
        let mut runs = std::mem::take(&mut self.runs);
        while let Some(last) = runs.last_mut() {
            last.plain_text.truncate(last.plain_text.trim_end().len());
            if !last.plain_text.is_empty() {
                break;
            }
            runs.pop();
        }
        let blank = runs.iter().take_while(|run| run.plain_text.trim().is_empty()).count();
        runs.drain(..blank);
        if let Some(first) = runs.first_mut() {
            let leading = first.plain_text.len() - first.plain_text.trim_start().len();
            first.plain_text.drain(..leading);
        }
        runs
    }
}

/// Scripts written without spaces between words, with their punctuation. Korean has spaces.
fn is_ideographic(c: char) -> bool {
    matches!(u32::from(c),
        0x2E80..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x2_0000..=0x3_FFFF)
}
