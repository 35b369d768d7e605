//! Diacritics folding: what is left of a lower-case word when accents that people leave out when typing are taken away.
//!
//! Folding is per script and the same in every language. Letters that only look accented stay: Cyrillic й and ї, kana
//! with voicing marks, Indic vowel signs.

use super::script::{Class, Script, ascii_digit, class_of, is_mark};

/// Appends the folded form of `word` (NFKC, lower case) to `out`.
pub(super) fn fold_into(word: &str, out: &mut String) {
    if word.is_ascii() {
        out.push_str(word);
        return;
    }
    let mut marks_go = false;
    for c in word.chars() {
        if c.is_ascii() {
            marks_go = true;
            out.push(c);
            continue;
        }
        match class_of(c) {
            Class::Letter(script) => {
                marks_go = matches!(
                    script,
                    Script::Latin | Script::Greek | Script::Cyrillic | Script::Arabic | Script::Hebrew
                );
                fold_letter(script, c, out);
            }
            Class::Mark if marks_go => {}
            Class::Mark => match c {
                // The Devanagari nukta is often left out, and candrabindu written as anusvara.
                '\u{093C}' => {}
                '\u{0901}' => out.push('\u{0902}'),
                _ => out.push(c),
            },
            Class::Digit => out.push(ascii_digit(c).unwrap_or(c)),
            _ => out.push(c),
        }
    }
}

fn fold_letter(script: Script, c: char, out: &mut String) {
    match (script, c) {
        (Script::Latin, 'ß') => out.push_str("ss"),
        (Script::Latin, 'æ' | 'ǽ') => out.push_str("ae"),
        (Script::Latin, 'œ') => out.push_str("oe"),
        (Script::Latin, 'þ') => out.push_str("th"),
        (Script::Latin, 'ø' | 'ǿ') => out.push('o'),
        (Script::Latin, 'đ' | 'ð') => out.push('d'),
        (Script::Latin, 'ł') => out.push('l'),
        (Script::Latin, 'ħ') => out.push('h'),
        (Script::Latin, 'ı') => out.push('i'),
        (Script::Latin, 'ŋ') => out.push('n'),
        (Script::Latin, 'ŧ') => out.push('t'),
        (Script::Greek, 'ς') => out.push('σ'),
        (Script::Cyrillic, 'ё') => out.push('е'),
        (Script::Arabic, 'ى' | 'ی') => out.push('ي'),
        (Script::Arabic, 'ک') => out.push('ك'),
        (Script::Arabic, 'ة') => out.push('ه'),
        (Script::Arabic, 'ٱ') => out.push('ا'),
        (Script::Latin | Script::Greek | Script::Arabic | Script::Hebrew, _) => {
            unicode_normalization::char::decompose_canonical(c, |part| {
                if !is_mark(part) {
                    out.push(part);
                }
            });
        }
        _ => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::fold_into;

    #[track_caller]
    fn check(word: &str, expected: &str) {
        let mut out = String::new();
        fold_into(word, &mut out);
        assert_eq!(out, expected, "{word}");
    }

    #[test]
    fn accents_that_people_leave_out_go() {
        check("zürich", "zurich");
        check("straße", "strasse");
        check("søren", "soren");
        check("łódź", "lodz");
        check("đường", "duong");
        check("i\u{307}stanbul", "istanbul");
        check("λόγος", "λογοσ");
        check("ёлка", "елка");
        check("за\u{301}мок", "замок");
        check("أَحْمَد", "احمد");
        check("שָׁלוֹם", "שלום");
        check("क\u{93C}लम", "कलम");
        check("٣", "3");
    }

    #[test]
    fn letters_that_only_look_accented_stay() {
        check("мой", "мой");
        check("її", "її");
        check("が", "が");
        check("हिन्दी", "हिन्दी");
        check("தமிழ்", "தமிழ்");
    }
}
