//! NFKC with a way back: every normalised character knows the bytes of the original text it came from.
//!
//! Case is kept (identifiers are split at it); invisible characters are dropped. Does not fold diacritics.
//!
//! Invariant: ranges lie on character borders of the original text, are never empty, and their starts never decrease.

use unicode_normalization::UnicodeNormalization;

use super::script::{is_ignorable, is_mark};

/// One character of the normalised text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MappedChar {
    /// The character after NFKC, its case kept.
    pub(super) c: char,
    /// First byte in the original text.
    pub(super) start: u32,
    /// End byte in the original text, exclusive.
    pub(super) end: u32,
}

/// Replaces what `out` holds by the NFKC form of `chunk`, whose first byte is byte `offset` of the original text.
pub(super) fn normalize_into(chunk: &str, offset: usize, out: &mut Vec<MappedChar>) {
    out.clear();
    if chunk.is_ascii() {
        let mapped = |(at, byte): (usize, u8)| {
            let start = (offset + at) as u32;
            MappedChar { c: char::from(byte), start, end: start + 1 }
        };
        out.extend(chunk.bytes().enumerate().map(mapped));
        return;
    }
    let mut chars = chunk.char_indices().peekable();
    let mut cluster = String::new();
    while let Some((at, c)) = chars.next() {
        let start = (offset + at) as u32;
        let mut end = offset + at + c.len_utf8();
        if is_stable(c) && chars.peek().is_none_or(|(_, next)| is_stable(*next)) {
            out.push(MappedChar { c, start, end: end as u32 });
            continue;
        }
        if is_ignorable(c) {
            continue;
        }
        if matches!(c, '™' | '℠') {
            // NFKC would glue the letters TM to the word before.
            out.push(MappedChar { c, start, end: end as u32 });
            continue;
        }
        cluster.clear();
        cluster.push(c);
        while let Some((next_at, next)) = chars.next_if(|(_, next)| joins_previous(*next) || is_ignorable(*next)) {
            if !is_ignorable(next) {
                cluster.push(next);
                end = offset + next_at + next.len_utf8();
            }
        }
        out.extend(cluster.nfkc().filter(|c| !is_ignorable(*c)).map(|c| MappedChar { c, start, end: end as u32 }));
    }
}

/// Whether `c` is known to be its own NFKC form and never to merge into the character before it. Only frequent
/// characters are listed: the others take the slower way to the same result.
fn is_stable(c: char) -> bool {
    c.is_ascii()
        || matches!(c,
            '\u{00C0}'..='\u{0131}'
            | '\u{0134}'..='\u{013E}'
            | '\u{0141}'..='\u{0148}'
            | '\u{014A}'..='\u{017E}'
            | '\u{0391}'..='\u{03A1}'
            | '\u{03A3}'..='\u{03CE}'
            | '\u{0400}'..='\u{045F}'
            | '\u{0621}'..='\u{063A}'
            | '\u{0641}'..='\u{064A}'
            | '\u{0E01}'..='\u{0E30}'
            | '\u{0E40}'..='\u{0E46}'
            | '\u{2013}'
            | '\u{2014}'
            | '\u{2018}'
            | '\u{2019}'
            | '\u{201C}'
            | '\u{201D}'
            | '\u{3001}'..='\u{3003}'
            | '\u{3041}'..='\u{3096}'
            | '\u{30A1}'..='\u{30FA}'
            | '\u{30FC}'
            | '\u{4E00}'..='\u{9FFF}'
            | '\u{AC00}'..='\u{D7A3}')
}

/// Whether NFKC may merge `c` into the character before it: marks, Hangul vowels and finals, half-width voicing marks.
fn joins_previous(c: char) -> bool {
    is_mark(c) || matches!(c, '\u{1160}'..='\u{11FF}' | '\u{FF9E}' | '\u{FF9F}' | '\u{FFA1}'..='\u{FFDC}')
}

#[cfg(test)]
mod tests {
    use super::normalize_into;

    #[track_caller]
    fn check(text: &str, expected: &[(char, &str)]) {
        let mut out = Vec::new();
        normalize_into(text, 0, &mut out);
        let actual: Vec<(char, &str)> = out.iter().map(|m| (m.c, &text[m.start as usize..m.end as usize])).collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn a_composed_character_maps_to_all_bytes_of_its_parts() {
        check("u\u{308}b", &[('ü', "u\u{308}"), ('b', "b")]);
        check("ガ", &[('ガ', "ガ")]);
        check("ｶﾞ", &[('ガ', "ｶﾞ")]);
        check("\u{1112}\u{1161}\u{11AB}", &[('한', "\u{1112}\u{1161}\u{11AB}")]);
    }

    #[test]
    fn every_character_of_an_expansion_maps_to_its_one_source() {
        check("㍿A", &[('株', "㍿"), ('式', "㍿"), ('会', "㍿"), ('社', "㍿"), ('A', "A")]);
        check("ﬁn", &[('f', "ﬁ"), ('i', "ﬁ"), ('n', "n")]);
        check("Ｗ１", &[('W', "Ｗ"), ('1', "１")]);
    }

    #[test]
    fn invisible_characters_vanish_even_between_a_letter_and_its_mark() {
        check("a\u{AD}b\u{200B}c", &[('a', "a"), ('b', "b"), ('c', "c")]);
        check("e\u{200D}\u{301}", &[('é', "e\u{200D}\u{301}")]);
        check("\u{FEFF}\u{202E}", &[]);
    }

    #[test]
    fn stable_characters_are_their_own_normal_form() {
        use unicode_normalization::UnicodeNormalization;
        for c in (0..=0x0010_FFFFu32).filter_map(char::from_u32).filter(|c| super::is_stable(*c)) {
            assert!(c.to_string().nfkc().eq([c]), "{c:?}");
            assert!(!super::joins_previous(c), "{c:?}");
        }
    }
}
