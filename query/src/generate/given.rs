//! A text that whoever asks gave: the addresses in it, which may stay in what is made of it.
//!
//! Pure. Links that a model writes go otherwise, since an address can carry content away; one that stood in the given text carries
//! nothing but itself. Images go all the same.

use std::collections::BTreeSet;

/// The addresses of a text.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(BTreeSet<String>);

impl Addresses {
    /// Those that stand in a text, written out with `http://` or `https://`.
    pub(super) fn of(text: &str) -> Self {
        let words = text.split(|c: char| c.is_whitespace() || "()<>[]{}\"'`|\\".contains(c));
        let trimmed = words.map(|word| word.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_', '~']));
        let is_address = |word: &&str| word.starts_with("https://") || word.starts_with("http://");
        Self(
            trimmed
                .map(|word| word.trim_start_matches(['*', '_', '~']))
                .filter(is_address)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// The address itself, if it stood there.
    pub(super) fn find(&self, address: &str) -> Option<String> {
        self.0.get(address).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_addresses_of_the_text_are_found() {
        let addresses =
            Addresses::of("See [docs](https://docs.example/a), **https://docs.example/b**. Or javascript://x.");
        for known in ["https://docs.example/a", "https://docs.example/b"] {
            assert_eq!(addresses.find(known).as_deref(), Some(known));
        }
        for unknown in
            ["https://docs.example/a?q=secret", "https://docs.example", "https://docs.example/", "javascript://x"]
        {
            assert_eq!(addresses.find(unknown), None, "{unknown}");
        }
    }
}
