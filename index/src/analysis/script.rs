//! What each character is to the segmenter: its class and, for letters, its script.
//!
//! Works on characters after NFKC. Knows nothing of words or languages.

/// The scripts whose letters are folded or stemmed in a way of their own; letters of other scripts are `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Latin,
    Greek,
    Cyrillic,
    Arabic,
    Hebrew,
    Devanagari,
    Tamil,
    Other,
}

/// What a character does to the run it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A letter of a script that puts spaces between words.
    Letter(Script),
    /// A decimal digit or another numeral.
    Digit,
    /// A combining mark: belongs to the character before it.
    Mark,
    /// A Han ideograph.
    Han,
    /// Hiragana or Bopomofo.
    Hiragana,
    /// Katakana, with its long vowel mark.
    Katakana,
    /// A Hangul syllable.
    Hangul,
    /// Thai, Lao, Khmer or Burmese: no spaces between words.
    Unspaced,
    /// An emoji or pictograph, searchable on its own.
    Pictograph,
    /// Everything else: ends a run, though it may join the parts of an identifier.
    Break,
}

/// The class of `c`, which is part of NFKC text.
pub(super) fn class_of(c: char) -> Class {
    if c.is_ascii() {
        return match c {
            'a'..='z' | 'A'..='Z' => Class::Letter(Script::Latin),
            '0'..='9' => Class::Digit,
            _ => Class::Break,
        };
    }
    match c {
        '\u{4E00}'..='\u{9FFF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{20000}'..='\u{33479}'
        | '\u{F900}'..='\u{FAFF}'
        | '々'
        | '〆'
        | '〇' => Class::Han,
        '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}' | '\u{3105}'..='\u{312F}' => Class::Hiragana,
        '\u{30A1}'..='\u{30FA}' | '\u{30FC}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' => Class::Katakana,
        '\u{AC00}'..='\u{D7A3}' | '\u{1100}'..='\u{11FF}' => Class::Hangul,
        // The next four are frequent, and their answer below would take table look-ups.
        '\u{00C0}'..='\u{00D6}' | '\u{00D8}'..='\u{00F6}' | '\u{00F8}'..='\u{024F}' => Class::Letter(Script::Latin),
        '\u{0400}'..='\u{0481}' => Class::Letter(Script::Cyrillic),
        '\u{0621}'..='\u{063F}' | '\u{0641}'..='\u{064A}' => Class::Letter(Script::Arabic),
        '\u{0E01}'..='\u{0E30}' | '\u{0E32}' | '\u{0E40}'..='\u{0E46}' => Class::Unspaced,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' => unspaced_class(c),
        '\u{1F000}'..='\u{1FAFF}' | '\u{2600}'..='\u{27BF}' | '\u{2B00}'..='\u{2BFF}' => Class::Pictograph,
        _ if is_mark(c) => Class::Mark,
        _ if c.is_numeric() => Class::Digit,
        _ if c.is_alphabetic() => Class::Letter(script_of(c)),
        _ => Class::Break,
    }
}

/// Whether `c` is a combining mark, spacing ones included.
pub(super) fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// Whether `c` is an invisible character that never changes what a word is: zero-width characters, soft hyphens,
/// directional controls, variation selectors, fillers, tags and the Arabic lengthening mark.
pub(super) fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{00AD}'
        | '\u{034F}'
        | '\u{0640}'
        | '\u{061C}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{1F3FB}'..='\u{1F3FF}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// The ASCII digit of the same value, for the decimal digits of the other scripts in use.
pub(super) fn ascii_digit(c: char) -> Option<char> {
    const ZEROS: [u32; 18] = [
        0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0E50, 0x0ED0,
        0x0F20, 0x1040, 0x17E0, 0x1810,
    ];
    let zero = ZEROS.into_iter().find(|zero| (*zero..zero + 10).contains(&(c as u32)))?;
    char::from_digit(c as u32 - zero, 10)
}

fn unspaced_class(c: char) -> Class {
    if is_mark(c) {
        Class::Mark
    } else if c.is_numeric() {
        Class::Digit
    } else if c.is_alphabetic() {
        Class::Unspaced
    } else {
        Class::Break
    }
}

fn script_of(c: char) -> Script {
    match c {
        '\u{0041}'..='\u{02AF}' | '\u{1E00}'..='\u{1EFF}' | '\u{2C60}'..='\u{2C7F}' | '\u{A720}'..='\u{A7FF}' => {
            Script::Latin
        }
        '\u{0370}'..='\u{03FF}' | '\u{1F00}'..='\u{1FFF}' => Script::Greek,
        '\u{0400}'..='\u{052F}' | '\u{1C80}'..='\u{1C8F}' | '\u{A640}'..='\u{A69F}' => Script::Cyrillic,
        '\u{0600}'..='\u{06FF}' | '\u{0750}'..='\u{077F}' | '\u{08A0}'..='\u{08FF}' => Script::Arabic,
        '\u{0590}'..='\u{05FF}' => Script::Hebrew,
        '\u{0900}'..='\u{097F}' => Script::Devanagari,
        '\u{0B80}'..='\u{0BFF}' => Script::Tamil,
        _ => Script::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Script, ascii_digit, class_of, is_ignorable};

    #[test]
    fn letters_digits_and_ideographs_are_told_apart() {
        assert_eq!(class_of('é'), Class::Letter(Script::Latin));
        assert_eq!(class_of('я'), Class::Letter(Script::Cyrillic));
        assert_eq!(class_of('々'), Class::Han);
        assert_eq!(class_of('ー'), Class::Katakana);
        assert_eq!(class_of('・'), Class::Break);
        assert_eq!(class_of('한'), Class::Hangul);
        assert_eq!(class_of('ไ'), Class::Unspaced);
        assert_eq!(class_of('๗'), Class::Digit);
        assert_eq!(class_of('\u{0E34}'), Class::Mark);
        assert_eq!(class_of('🚀'), Class::Pictograph);
        assert_eq!(class_of('—'), Class::Break);
    }

    #[test]
    fn digits_of_every_listed_script_become_ascii() {
        assert_eq!(ascii_digit('٣'), Some('3'));
        assert_eq!(ascii_digit('९'), Some('9'));
        assert_eq!(ascii_digit('๗'), Some('7'));
        assert_eq!(ascii_digit('五'), None);
    }

    #[test]
    fn soft_hyphen_and_bidi_controls_are_ignorable_but_letters_are_not() {
        assert!(is_ignorable('\u{00AD}') && is_ignorable('\u{202E}') && is_ignorable('\u{FE0F}'));
        assert!(!is_ignorable('a') && !is_ignorable('ك'));
    }
}
