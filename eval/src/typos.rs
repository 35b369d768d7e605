//! Queries with typing errors: what ranking loses when people mistype.
//!
//! Deterministic: the errors of a query follow from the seed, its id and its text alone, on any machine, whatever other
//! queries there are. Words of scripts without upper and lower case are left alone, for nobody types those letter by
//! letter as they stand.

use std::mem;

use blake3::{Hasher, OutputReader};

/// Letters of the shortest word that gets an error.
pub const LETTERS_MIN: usize = 5;
/// The rows of letters of a keyboard. A row stands half a key to the right of the one above it.
const KEYBOARD: [&[u8]; 3] = [b"qwertyuiop", b"asdfghjkl", b"zxcvbnm"];

/// How typing errors are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Typos {
    /// Where the random numbers begin.
    pub seed: u64,
    /// The chance that a word of [`LETTERS_MIN`] letters or more gets an error, 0 to 1.
    pub probability: f64,
}

impl Typos {
    /// A query with errors: in each word at most one, a letter swapped with the next, left out, doubled, or replaced by one
    /// beside it on the keyboard. The kind and the place are as likely as any other, the first letter included; where
    /// a kind cannot be at a place, the letter is doubled.
    pub fn mistype(&self, query_id: &str, text: &str) -> String {
        let mut hasher = Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(query_id.as_bytes());
        let mut random = Random(hasher.finalize_xof());
        let (mut mistyped, mut word) = (String::with_capacity(text.len() + 8), Vec::new());
        for letter in text.chars() {
            if letter.is_lowercase() || letter.is_uppercase() {
                word.push(letter);
            } else {
                mistyped.extend(self.word(mem::take(&mut word), &mut random));
                mistyped.push(letter);
            }
        }
        mistyped.extend(self.word(word, &mut random));
        mistyped
    }

    fn word(&self, mut word: Vec<char>, random: &mut Random) -> Vec<char> {
        if word.len() < LETTERS_MIN || random.share() >= self.probability {
            return word;
        }
        let (kind, at) = (random.below(4), random.below(word.len()));
        let neighbours = keyboard_neighbours(word[at]);
        match kind {
            0 if word.get(at + 1).is_some_and(|next| *next != word[at]) => word.swap(at, at + 1),
            1 => _ = word.remove(at),
            2 if !neighbours.is_empty() => word[at] = neighbours[random.below(neighbours.len())],
            _ => word.insert(at, word[at]),
        }
        word
    }
}

/// The letters beside, above and below one on the keyboard, in its case; none for letters that have no key of their own.
fn keyboard_neighbours(letter: char) -> Vec<char> {
    let is_key = |key: &u8| char::from(*key) == letter.to_ascii_lowercase();
    let place = KEYBOARD.iter().enumerate().find_map(|(row, keys)| Some((row, keys.iter().position(is_key)?)));
    let Some((row, column)) = place else { return Vec::new() };
    let around = [(0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0)];
    let beside = around.into_iter().filter_map(|(down, right)| {
        let keys = KEYBOARD.get(row.checked_add_signed(down)?)?;
        keys.get(column.checked_add_signed(right)?).copied().map(char::from)
    });
    beside.map(|key| if letter.is_ascii_uppercase() { key.to_ascii_uppercase() } else { key }).collect()
}

/// Random numbers that are the same with any version of any library: the output of a hash.
struct Random(OutputReader);

impl Random {
    fn next(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// A number from 0 to 1, 1 excluded.
    fn share(&mut self) -> f64 {
        f64::from(self.next()) / 2f64.powi(32)
    }

    /// A number from 0 to `bound`, `bound` excluded.
    fn below(&mut self, bound: usize) -> usize {
        (self.share() * bound as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mistype(seed: u64, probability: f64, text: &str) -> String {
        Typos { seed, probability }.mistype("q", text)
    }

    /// Whether one swap of neighbours, one letter more, less or other makes the one of the other.
    fn is_one_edit(one: &[char], other: &[char]) -> bool {
        let same = one.iter().zip(other).take_while(|(left, right)| left == right).count();
        let (one, other) = (&one[same..], &other[same..]);
        match (one, other) {
            ([a, b, rest @ ..], [c, d, others @ ..]) if a == d && b == c && rest == others => true,
            ([_, rest @ ..], [_, others @ ..]) if rest == others => true,
            ([_, rest @ ..], others) if rest == others => true,
            (rest, [_, others @ ..]) => rest == others,
            _ => false,
        }
    }

    #[test]
    fn short_words_numbers_and_scripts_without_case_stay() {
        for text in
            ["a few of them", "1868年に東大寺の仏像", "कंप्यूटर विज्ञान", "", "12345 67890", "コンピュータ", "ภาษาไทย"]
        {
            assert_eq!(mistype(1, 1.0, text), text);
        }
    }

    #[test]
    fn errors_do_not_change_from_version_to_version() {
        let text = "deploying Kubernetes clusters for Übungen";
        assert_eq!(mistype(1, 1.0, text), "deployingg Kuernetes cluusters for Übjngen");
        assert_eq!(mistype(2, 1.0, text), "deployinng Kjbernetes clusterrs for Übunen");
    }

    #[test]
    fn about_the_share_asked_for_is_changed() {
        let typos = Typos { seed: 5, probability: 0.3 };
        let changed = (0..10_000).filter(|at| typos.mistype(&format!("q{at}"), "cluster") != "cluster").count();
        // Four standard deviations of 10,000 times 0.3.
        assert!((2816..=3184).contains(&changed), "{changed}");
    }

    #[test]
    fn neighbours_on_the_keyboard_are_mutual() {
        for letter in 'a'..='z' {
            let neighbours = keyboard_neighbours(letter);
            assert!((2..=6).contains(&neighbours.len()), "{letter}: {neighbours:?}");
            assert!(neighbours.iter().all(|other| keyboard_neighbours(*other).contains(&letter)), "{letter}");
        }
        assert_eq!(keyboard_neighbours('G').iter().collect::<String>(), "FHTYVB");
        assert!(keyboard_neighbours('ß').is_empty());
    }

    proptest! {
        #[test]
        fn each_long_word_gets_exactly_one_error(seed: u64, words in prop::collection::vec("[a-zA-ZäéßñΩж]{1,9}", 0..6)) {
            let text = words.join(" ");
            let mistyped = mistype(seed, 1.0, &text);
            prop_assert_eq!(&mistyped, &mistype(seed, 1.0, &text));
            prop_assert_eq!(mistype(seed, 0.0, &text), text.clone());
            for (word, other) in text.split(' ').zip(mistyped.split(' ')) {
                let (word, other): (Vec<char>, Vec<char>) = (word.chars().collect(), other.chars().collect());
                prop_assert_eq!(is_one_edit(&word, &other), word.len() >= LETTERS_MIN, "{:?} {:?}", word, other);
                prop_assert!(word.len() >= LETTERS_MIN || word == other);
            }
        }

        #[test]
        fn what_is_not_a_letter_stays_where_it_is(seed: u64, text in "\\PC{0,60}") {
            let others = |text: &str| -> String {
                text.chars().filter(|letter| !letter.is_lowercase() && !letter.is_uppercase()).collect()
            };
            prop_assert_eq!(others(&mistype(seed, 1.0, &text)), others(&text));
        }
    }
}
