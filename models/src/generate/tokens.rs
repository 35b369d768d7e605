//! How many tokens a text takes at most, without the tokenizer of the model at hand.
//!
//! Tokenizers agree on little but that common words of English are one token. So each kind of character has a rate that hardly any
//! tokenizer exceeds over a sentence and more; `docs/providers.md` says which were compared, where they do, and how far above
//! them this lies. Pure.

/// Letters and digits without a break, from which on they are no words but keys or numbers.
const WORD_CHARS_MAX: usize = 16;

/// Tokens of a text, rather too many.
pub(super) fn of_text(text: &str) -> usize {
    let mut counter = Counter::default();
    counter.read(text);
    counter.tokens()
}

/// Counts the tokens of a text that comes in pieces.
#[derive(Default)]
pub(super) struct Counter {
    hundredths: usize,
    /// Letters and digits of ASCII until here.
    run: usize,
    before: Kind,
}

impl Counter {
    /// Reads the next piece.
    pub(super) fn read(&mut self, piece: &str) {
        for c in piece.chars() {
            let (kind, before) = (Kind::of(c), self.before);
            self.run = if c.is_ascii_alphanumeric() { self.run + 1 } else { 0 };
            let begins_word = !before.is_letter() || (before == Kind::Lower && kind == Kind::Upper);
            let word = if c.is_ascii_alphabetic() && begins_word { 70 } else { 0 };
            self.hundredths += word
                + match kind {
                    // What was taken for a word was none.
                    Kind::Lower | Kind::Upper if self.run == WORD_CHARS_MAX + 1 => 80 + WORD_CHARS_MAX * (80 - 21),
                    Kind::Lower | Kind::Upper if self.run > WORD_CHARS_MAX => 80,
                    Kind::Lower => 21,
                    Kind::Upper => 65,
                    Kind::Space if before.is_letter() || before == Kind::Digit => 0,
                    Kind::Space => 30,
                    Kind::Digit => 103,
                    Kind::Accented => 353,
                    Kind::Other => rate(c),
                };
            self.before = kind;
        }
    }

    /// How many there were until now.
    pub(super) fn tokens(&self) -> usize {
        // One more, since rates are those of sentences and this may be a word.
        if self.hundredths == 0 { 0 } else { self.hundredths.div_ceil(100) + 1 }
    }
}

/// What decides on what the next character costs.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    Lower,
    Upper,
    Digit,
    Space,
    /// A letter of a Latin script beyond ASCII: it breaks its word into pieces.
    Accented,
    #[default]
    Other,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' => Self::Lower,
            'A'..='Z' => Self::Upper,
            '0'..='9' => Self::Digit,
            ' ' => Self::Space,
            '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Self::Accented,
            _ => Self::Other,
        }
    }

    fn is_letter(self) -> bool {
        matches!(self, Self::Lower | Self::Upper | Self::Accented)
    }
}

/// Hundredths of a token that a character takes, up to the last one of each range: at most its bytes, to which a tokenizer
/// falls back.
const RATES: [(char, usize); 13] = [
    // Marks and line ends.
    ('\u{7f}', 100),
    ('\u{24f}', 150),
    // Phonetic signs, and marks that are put on letters.
    ('\u{36f}', 200),
    // Greek; Cyrillic.
    ('\u{3ff}', 142),
    ('\u{52f}', 100),
    // Armenian, Hebrew, Arabic and their neighbours.
    ('\u{8ff}', 122),
    // The scripts of India, Thai and their neighbours.
    ('\u{1dff}', 193),
    // Letters with rare signs, and marks of many kinds.
    ('\u{2fff}', 300),
    // Kana, and the characters of Chinese and Japanese.
    ('\u{9fff}', 150),
    ('\u{abff}', 300),
    // Korean.
    ('\u{d7ff}', 250),
    ('\u{ffff}', 300),
    (char::MAX, 400),
];

fn rate(c: char) -> usize {
    RATES.iter().find(|(last, _)| c <= *last).map_or(400, |(_, rate)| *rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most tokens that any of eight tokenizers makes of each: those of GPT-3.5 and GPT-4o, Llama 2 and 3, Qwen 3, Gemma 3,
    /// DeepSeek V3 and Claude 2.
    const MOST: [(&str, usize); 17] = [
        ("The key to the office lies under the third stone; ask Ada if it is not there.", 20),
        ("Der Schlüssel zum Büro liegt unter dem dritten Stein; frag Ada, wenn er nicht dort ist.", 26),
        ("Ofisin anahtarı üçüncü taşın altında; orada değilse Ada'ya sor.", 34),
        ("Chìa khóa văn phòng nằm dưới viên đá thứ tư; hãy hỏi Ada nếu không thấy.", 50),
        ("Ключ от офиса лежит под третьим камнем; если его там нет, спросите Аду.", 40),
        ("Το κλειδί του γραφείου είναι κάτω από την τρίτη πέτρα· ρώτα την Άντα αν δεν είναι εκεί.", 96),
        ("مفتاح المكتب تحت الحجر الثالث؛ اسأل آدا إن لم تجده هناك.", 53),
        ("दफ़्तर की चाबी तीसरे पत्थर के नीचे है; न मिले तो आदा से पूछो।", 67),
        ("กุญแจสำนักงานอยู่ใต้หินก้อนที่สาม ถ้าไม่พบให้ถามเอดา", 87),
        ("办公室的钥匙在第三块石头下面；如果不在那里，就问艾达。", 34),
        ("事務所の鍵は三つ目の石の下にあります。なければエイダに聞いてください。", 40),
        ("사무실 열쇠는 세 번째 돌 아래에 있습니다. 없으면 에이다에게 물어보세요.", 44),
        ("if let Some(key) = stones.iter().find(|stone| stone.index == 3).map(Stone::lift) { return Ok(key); }", 37),
        (
            "| 3 | key | 2026-11-28 | 0x7fffc3a9 | €12.50 |\n|---|---|---|---|---|\n| 4 | — | 2026-12-01 | 0x00000000 | €0.00 |",
            82,
        ),
        ("aGVyZSBpcyBhIGtleSB0byB0aGUgb2ZmaWNlLCB1bmRlciB0aGUgdGhpcmQgc3RvbmU9PQ==", 51),
        ("🔑🪨🪨🪨👩‍💻🏢✅", 31),
        ("qzvxkjwpbfhgtdnmrlscyqzvxkjwpbfh", 24),
    ];

    #[test]
    fn no_tokenizer_makes_more_of_a_sentence() {
        let short: Vec<_> = MOST.iter().filter(|(text, most)| of_text(text) < *most).collect();
        assert!(short.is_empty(), "{:?}", short.iter().map(|(text, _)| (of_text(text), text)).collect::<Vec<_>>());
    }

    #[test]
    fn it_is_not_far_above_what_most_texts_take() {
        let (english, most) = MOST[0];
        assert!(of_text(english) <= 2 * most, "{}", of_text(english));
        assert_eq!(of_text(""), 0);
    }

    #[test]
    fn a_text_in_pieces_counts_as_one() {
        for (text, _) in MOST {
            let mut counter = Counter::default();
            text.split_inclusive(['e', ' ', 'の']).for_each(|piece| counter.read(piece));
            assert_eq!(counter.tokens(), of_text(text));
        }
    }
}
