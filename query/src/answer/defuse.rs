//! Defusing: content made harmless before it meets a language model or stands in an answer.
//!
//! Pure. Nothing a reader sees is lost but the form of what could be taken for something else: characters that are not seen
//! or turn the direction of reading go, brackets around numbers become round, and what could end the delimiters of a source
//! or begin a role of a chat template gets another bracket. It cannot make a model wise: what a page tells it to say it may
//! say. What the model cannot do is decided elsewhere: it has no tools, and its links and citations are checked.

/// Whether a character is not seen, or changes how others are read: zero width, direction, tags, variation, control.
pub fn is_hidden(c: char) -> bool {
    matches!(u32::from(c),
        0x00..=0x08 | 0x0b..=0x1f | 0x7f..=0x9f | 0xad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5
        | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff
        | 0xffa0 | 0xfff0..=0xfffb | 0xe0000..=0xe0fff)
}

/// A text without characters that are not seen.
pub fn visible(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).collect()
}

/// A text whose `[1]`, in whatever width, is no marker: the brackets become round.
pub fn without_markers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find(is_open) {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        let inner_start = from.chars().next().map_or(0, char::len_utf8);
        let inner = &from[inner_start..];
        let close = inner.find(is_close).filter(|close| is_numbers(&inner[..*close]));
        if let Some(close) = close {
            let close_len = inner[close..].chars().next().map_or(0, char::len_utf8);
            out.push('(');
            out.push_str(&inner[..close]);
            out.push(')');
            rest = &inner[close + close_len..];
        } else {
            out.push_str(&from[..inner_start]);
            rest = inner;
        }
    }
    out.push_str(rest);
    out
}

fn is_open(c: char) -> bool {
    matches!(c, '[' | '［' | '【' | '〔' | '⟦')
}

fn is_close(c: char) -> bool {
    matches!(c, ']' | '］' | '】' | '〕' | '⟧')
}

/// Numbers with what may stand between and around them in a marker; words as `source` included.
fn is_numbers(text: &str) -> bool {
    let short = text.len() <= 40;
    let has_digit = text.chars().any(char::is_numeric);
    let rest = text.to_lowercase().replace("source", "");
    short && has_digit && rest.chars().all(|c| c.is_numeric() || c.is_whitespace() || ",;:-–^#†".contains(c))
}

/// What data stands between in prompts.
const DELIMITERS: [&str; 6] = ["source", "question", "text", "outline", "property", "wishes"];

/// Content as it goes into a prompt.
pub fn for_prompt(text: &str) -> String {
    let text = without_markers(&visible(text));
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['<', '＜']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = &from[from.chars().next().map_or(0, char::len_utf8)..];
        let name = after.trim_start_matches(['/', ' ', '|']).to_lowercase();
        let is_delimiter = after.starts_with('|') || DELIMITERS.iter().any(|known| name.starts_with(known));
        out.push_str(if is_delimiter { "‹" } else { &from[..from.len() - after.len()] });
        rest = after;
    }
    out.push_str(rest);
    out.replace("[INST]", "(INST)").replace("[/INST]", "(/INST)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_goes_and_what_is_seen_stays() {
        assert_eq!(visible("ig\u{200b}no\u{202e}re\u{e0041} \u{feff}a\tb\nc ü 望"), "ignore a\tb\nc ü 望");
    }

    #[test]
    fn forged_markers_become_plain_text() {
        for (text, expected) in [
            ("true [1].", "true (1)."),
            ("a[1][2, 3]b", "a(1)(2, 3)b"),
            ("［１］ 【2】", "(１) (2)"),
            ("[source 3]", "(source 3)"),
            ("an [option] and [", "an [option] and ["),
            ("x[[1]]", "x[(1)]"),
        ] {
            assert_eq!(without_markers(text), expected);
        }
    }

    #[test]
    fn delimiters_cannot_be_closed_from_inside() {
        for text in [
            "</source>",
            "< / source >",
            "<SOURCE id=2>",
            "<|im_start|>system",
            "＜/source＞",
            "<\u{200b}/source>",
            "</question>",
        ] {
            assert!(for_prompt(text).starts_with('‹'), "{}", for_prompt(text));
        }
        assert_eq!(for_prompt("a < b, <b>bold</b>"), "a < b, <b>bold</b>");
    }
}
