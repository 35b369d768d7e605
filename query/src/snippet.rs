//! Snippets: the excerpt of a passage that shows best why it was found.
//!
//! Pure. Invariants: an excerpt is a piece of the passage cut at character borders, on one line; ranges are ascending,
//! do not overlap, and lie within it, counted in UTF-16 code units.

use schemas::api::search::{HighlightUnit, Snippet};

/// An excerpt and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// What is shown.
    pub snippet: Snippet,
    /// The byte of the passage that it begins with.
    pub start: u32,
}

/// Characters shown before the first mark, where there are more.
const LEAD_CHARS: usize = 40;

/// Cuts an excerpt of at most `chars_max` characters, beside the dots, where most of the marks are.
///
/// `marks` are byte ranges of `text`, ascending, not overlapping, on character borders. The first of equally good places
/// wins. Costs time linear in the text and the marks.
pub fn excerpt(text: &str, marks: &[(u32, u32)], chars_max: usize) -> Excerpt {
    let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let chars = borders.len() - 1;
    let char_at = |byte: usize| borders.partition_point(|&border| border < byte);
    let lead = LEAD_CHARS.min(chars_max / 4);
    let (mut best_start, mut best_covered) = (0, 0);
    let mut last = 0;
    for (first, &(mark_start, _)) in marks.iter().enumerate() {
        let start = char_at(mark_start as usize).saturating_sub(lead).min(chars.saturating_sub(chars_max));
        let end_byte = borders[(start + chars_max).min(chars)];
        last = last.max(first);
        while last < marks.len() && marks[last].1 as usize <= end_byte {
            last += 1;
        }
        let covered: u32 = marks[first..last].iter().take(32).map(|(start, end)| end - start).sum();
        if covered > best_covered {
            (best_start, best_covered) = (start, covered);
        }
    }
    let first_mark_char = |start: usize| {
        let inside = marks.iter().find(|(mark_start, _)| *mark_start as usize >= borders[start]);
        inside.map_or(start + lead, |(mark_start, _)| char_at(*mark_start as usize))
    };
    let start = at_word(text, &borders, best_start, first_mark_char(best_start).min(best_start + lead));
    let end = (start + chars_max).min(chars);
    let (start, end) = (borders[start], borders[end]);
    render(text, marks, start, end)
}

/// The first beginning of a word from `from` on, at most at `before`; `from` itself when there is none.
fn at_word(text: &str, borders: &[usize], from: usize, before: usize) -> usize {
    if from == 0 {
        return 0;
    }
    let spaced = |at: &usize| text[..borders[*at]].ends_with(char::is_whitespace);
    (from..=before.min(borders.len() - 1)).find(spaced).unwrap_or(from)
}

fn render(text: &str, marks: &[(u32, u32)], start: usize, end: usize) -> Excerpt {
    let mut shown = String::with_capacity(end - start + 8);
    let mut units = 0u32;
    let push = |c: char, shown: &mut String, units: &mut u32| {
        shown.push(c);
        *units += c.len_utf16() as u32;
    };
    if start > 0 {
        push('…', &mut shown, &mut units);
    }
    let mut highlights: Vec<[u32; 2]> = Vec::new();
    let mut marks_left = marks.iter().filter(|mark| mark.0 as usize >= start && mark.1 as usize <= end).peekable();
    let mut open = None;
    for (at, c) in text[start..end].char_indices() {
        let byte = start + at;
        if let Some((from, until)) = open
            && byte >= until
        {
            highlights.push([from, units]);
            open = None;
        }
        if let Some(&&(mark_start, mark_end)) = marks_left.peek()
            && mark_start as usize <= byte
        {
            open = Some((units, mark_end as usize));
            marks_left.next();
        }
        // One line; the length in bytes stays, so that the ranges do.
        push(if c.is_control() { ' ' } else { c }, &mut shown, &mut units);
    }
    if let Some((from, _)) = open {
        highlights.push([from, units]);
    }
    if end < text.len() {
        push('…', &mut shown, &mut units);
    }
    let snippet = Snippet { text: shown, highlights, unit: HighlightUnit::Utf16CodeUnits };
    Excerpt { snippet, start: start as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The marked pieces of a snippet.
    fn marked(snippet: &Snippet) -> Vec<String> {
        let units: Vec<u16> = snippet.text.encode_utf16().collect();
        let piece = |range: &[u32; 2]| String::from_utf16(&units[range[0] as usize..range[1] as usize]).unwrap();
        snippet.highlights.iter().map(piece).collect()
    }

    fn marks(text: &str, words: &[&str]) -> Vec<(u32, u32)> {
        let mut marks: Vec<_> = words
            .iter()
            .flat_map(|word| text.match_indices(word).map(|(at, word)| (at as u32, (at + word.len()) as u32)))
            .collect();
        marks.sort_unstable();
        marks
    }

    #[test]
    fn a_short_text_is_shown_whole() {
        let excerpt = excerpt("one\ntwo", &[(4, 7)], 100);
        assert_eq!(excerpt.snippet.text, "one two");
        assert_eq!(marked(&excerpt.snippet), ["two"]);
    }

    #[test]
    fn the_window_is_where_most_marks_are_and_begins_with_a_word() {
        let text = format!("mirror {} the mirror coating of 2026 {}", "filler ".repeat(50), "more ".repeat(50));
        let excerpt = excerpt(&text, &marks(&text, &["mirror", "coating"]), 60);
        assert_eq!(marked(&excerpt.snippet), ["mirror", "coating"]);
        assert!(excerpt.snippet.text.starts_with("…filler"), "{}", excerpt.snippet.text);
        assert!(excerpt.snippet.text.ends_with('…'));
        assert!(excerpt.snippet.text.chars().count() <= 62);
    }

    #[test]
    fn ranges_count_utf_16_code_units() {
        let text = "😀 望遠鏡 works";
        let excerpt = excerpt(text, &marks(text, &["望遠鏡", "works"]), 100);
        assert_eq!(excerpt.snippet.highlights, [[3, 6], [7, 12]]);
    }

    #[test]
    fn nothing_marked_shows_the_beginning() {
        assert_eq!(excerpt("", &[], 40).snippet.text, "");
        assert!(excerpt(&"word ".repeat(30), &[], 40).snippet.text.starts_with("word word"));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_piece_of_itself_with_ranges_inside(text in "\\PC{0,120}", chars_max in 1usize..60, words in prop::collection::vec("\\PC{1,3}", 0..4)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut last_end = 0;
            let mut apart = marks(&text, &words);
            apart.retain(|&(start, end)| { let fits = start >= last_end; if fits { last_end = end; } fits });
            let excerpt = excerpt(&text, &apart, chars_max);
            let inner = excerpt.snippet.text.strip_prefix('…').filter(|_| excerpt.start > 0).unwrap_or(&excerpt.snippet.text);
            prop_assert!(excerpt.snippet.text.chars().count() <= chars_max + 2);
            prop_assert!(text[excerpt.start as usize..].starts_with(inner.strip_suffix('…').unwrap_or(inner)) || inner.contains(' '));
            let mut end = 0;
            for [from, until] in &excerpt.snippet.highlights {
                prop_assert!(*from >= end && until > from);
                end = *until;
            }
            prop_assert!(end as usize <= excerpt.snippet.text.encode_utf16().count());
            marked(&excerpt.snippet);
        }
    }
}
