//! Text that becomes part of a page.

use std::fmt;

use schemas::api::search::Snippet;

/// Shows a text so that no browser takes any of it for markup, in elements and in quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Not allowed in a page at all, and of no use in one.
                c if c.is_control() => f.write_str(" ")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Shows a snippet with what fits the query marked.
pub(super) struct Marked<'a>(pub(super) &'a Snippet);

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starts = |at: u32| self.0.highlights.iter().any(|[start, end]| *start == at && start < end);
        let ends = |at: u32| self.0.highlights.iter().any(|[start, end]| *end == at && start < end);
        let (mut at, mut is_open) = (0, false);
        let mut turn = |at: u32, f: &mut fmt::Formatter<'_>| -> fmt::Result {
            if is_open && ends(at) {
                f.write_str("</mark>")?;
                is_open = false;
            }
            if !is_open && starts(at) {
                f.write_str("<mark>")?;
                is_open = true;
            }
            Ok(())
        };
        for c in self.0.text.chars() {
            turn(at, f)?;
            write!(f, "{}", Escaped(c.encode_utf8(&mut [0; 4])))?;
            at += c.len_utf16() as u32;
        }
        turn(at, f)?;
        if is_open { f.write_str("</mark>") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let text = "<script>alert('x')</script> & \"y\"\u{0}";
        let shown = Escaped(text).to_string();
        assert_eq!(shown, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot; ");
    }

    #[test]
    fn marks_are_where_the_browser_counts_them_and_always_closed() {
        let marked = |text: &str, highlights: &[[u32; 2]]| {
            let snippet = Snippet { text: text.to_owned(), highlights: highlights.to_vec(), ..Snippet::default() };
            Marked(&snippet).to_string()
        };
        assert_eq!(marked("a <b> c", &[[2, 5]]), "a <mark>&lt;b&gt;</mark> c");
        assert_eq!(marked("😀 dome", &[[3, 7]]), "😀 <mark>dome</mark>");
        assert_eq!(marked("ab", &[[0, 1], [1, 2]]), "<mark>a</mark><mark>b</mark>");
        assert_eq!(marked("ab", &[[1, 9], [2, 2]]), "a<mark>b</mark>");
    }
}
