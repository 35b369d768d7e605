//! Compounds of a query: `dampfmaschine` is looked for as `dampf` and `maschine`, too.
//!
//! German and its like write as one word what a text that answers may have apart. Where to cut is told by the words of the workspace
//! instead of a dictionary: into two, both of which stand on pages in such languages that the caller may find, so that neither English
//! words nor what only others may see decide anything. Texts are not cut: that gained nothing more (`docs/analysis.md`).

use std::cmp::Reverse;
use std::collections::HashMap;

use access::Mask;

use super::Searcher;
use super::lookup::{FoundTerm, Lookup};
use super::words::typed_unit;
use crate::analysis::{Analyzer, Language, QueryWord, TokenKind};
use crate::catalog::Workspace;
use crate::error::IndexError;
use crate::fields::Fields;

/// Languages that write compounds as one word.
const COMPOUNDING: [Language; 7] = [
    Language::Danish,
    Language::Dutch,
    Language::Finnish,
    Language::German,
    Language::Hungarian,
    Language::Norwegian,
    Language::Swedish,
];
/// Fewest letters of a part.
const PART_CHARS_MIN: usize = 4;
/// Longest word that is cut: it takes two look-ups a letter, of each of its forms.
const WORD_CHARS_MAX: usize = 40;
/// Most words of a clause that are cut.
const WORDS_MAX: usize = 16;
/// Passages with a part that the caller may find, of which one must be on such a page: where those are rarer, another language is spoken.
const PASSAGES_ASKED_MAX: usize = 4_096;
/// What may stand between two parts.
const LINKS: [&str; 7] = ["", "s", "n", "e", "en", "es", "er"];

/// A part, and the terms of the workspace that it is known by.
type Known = Option<(QueryWord, Vec<FoundTerm>)>;

impl Searcher {
    /// The words that the compounds of a text are looked for as, beside themselves: two of each, lower case and folded, for marking what
    /// was found. Where `last_word_is_prefix`, the last word is left alone.
    pub fn parts_of_compounds(
        &self,
        mask: &Mask,
        text: &str,
        last_word_is_prefix: bool,
    ) -> Result<Vec<String>, IndexError> {
        let Some(workspace) = self.catalog.numbered(mask.workspace_number()) else { return Ok(Vec::new()) };
        let words = Analyzer::new().query_terms(text, &[]);
        let typed_unit = typed_unit(&words, last_word_is_prefix);
        let words: Vec<QueryWord> = words.into_iter().filter(|word| !word.is_part).collect();
        let mut lookup = Lookup::new(&self.snapshot.engine);
        let words = self.with_parts_of_compounds(&mut lookup, mask, &workspace, words, typed_unit)?;
        Ok(words.into_iter().filter(|word| word.is_part).map(|part| part.surface).collect())
    }

    /// Puts after each compound the two words that it is made of, as parts of it. The word that is being typed is left alone.
    pub(super) fn with_parts_of_compounds(
        &self,
        lookup: &mut Lookup<'_>,
        mask: &Mask,
        workspace: &Workspace,
        words: Vec<QueryWord>,
        typed_unit: Option<u32>,
    ) -> Result<Vec<QueryWord>, IndexError> {
        let mut languages = workspace.read().languages();
        languages.retain(|language| COMPOUNDING.contains(language));
        if languages.is_empty() {
            return Ok(words);
        }
        let mut with_parts = Vec::with_capacity(words.len());
        let mut left = WORDS_MAX;
        for word in words {
            let is_cut = left > 0 && Some(word.unit) != typed_unit && may_be_compound(&word);
            let parts = if is_cut { self.parts(lookup, mask, workspace, &languages, &word)? } else { None };
            left -= usize::from(is_cut);
            with_parts.push(word);
            with_parts.extend(parts.into_iter().flatten());
        }
        Ok(with_parts)
    }

    /// The two words that a word is made of.
    fn parts(
        &self,
        lookup: &mut Lookup<'_>,
        mask: &Mask,
        workspace: &Workspace,
        languages: &[Language],
        whole: &QueryWord,
    ) -> Result<Option<[QueryWord; 2]>, IndexError> {
        let mut looked_up: HashMap<&str, Known> = HashMap::new();
        for [head, tail] in cuts(&whole.surface) {
            for part in [head, tail] {
                if !looked_up.contains_key(part) {
                    looked_up.insert(part, self.known(lookup, mask, languages, part)?);
                }
            }
            let (Some(head), Some(tail)) = (&looked_up[head], &looked_up[tail]) else { continue };
            if self.is_any_known(mask, workspace, &head.1)? && self.is_any_known(mask, workspace, &tail.1)? {
                let QueryWord { unit, position, start, end, .. } = *whole;
                let part = |(part, _): &(QueryWord, _)| QueryWord {
                    unit,
                    position,
                    start,
                    end,
                    is_part: true,
                    ..QueryWord::clone(part)
                };
                return Ok(Some([part(head), part(tail)]));
            }
        }
        Ok(None)
    }

    /// A part by itself, where some form of it stands in the workspace.
    fn known(
        &self,
        lookup: &mut Lookup<'_>,
        mask: &Mask,
        languages: &[Language],
        part: &str,
    ) -> Result<Known, IndexError> {
        let Some(part) = Analyzer::new().query_terms(part, languages).into_iter().next() else { return Ok(None) };
        let mut found = Vec::new();
        for term in &part.terms {
            found.extend(lookup.find(Fields::word_term(self.fields.all, mask.workspace_number(), term), 1.0)?);
        }
        Ok((!found.is_empty()).then_some((part, found)))
    }

    /// Whether one of these terms stands on a page in languages with compounds alone, as far as they are known, that the caller may
    /// find. A page with passages in others, too, may well have been taken for one by mistake.
    fn is_any_known(&self, mask: &Mask, workspace: &Workspace, terms: &[FoundTerm]) -> Result<bool, IndexError> {
        let bit = |language: Language| 1_u32 << language.code();
        let compounding = COMPOUNDING.iter().fold(0, |bits, language| bits | bit(*language));
        let state = workspace.read();
        let is_wanted = |page| {
            let languages = state.head(page).map_or(0, |head| head.languages) & !bit(Language::Other);
            languages != 0 && languages & !compounding == 0
        };
        for term in terms {
            if self.is_on_page(mask, term, PASSAGES_ASKED_MAX, is_wanted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn may_be_compound(word: &QueryWord) -> bool {
    let chars = word.surface.chars().count();
    word.kind == TokenKind::Word
        && !word.is_part
        && !word.is_question
        && (2 * PART_CHARS_MIN..=WORD_CHARS_MAX).contains(&chars)
        && word.surface.chars().all(|c| matches!(c, 'a'..='z' | '\u{df}'..='\u{24f}'))
}

/// Every way to cut a word in two: with the fewest letters between the parts first, then the most even.
fn cuts(word: &str) -> Vec<[&str; 2]> {
    let mut cuts: Vec<(usize, Reverse<usize>, [&str; 2])> = Vec::new();
    for (at, _) in word.char_indices().skip(PART_CHARS_MIN) {
        let (before, tail) = word.split_at(at);
        for link in LINKS {
            let Some(head) = before.strip_suffix(link) else { continue };
            let shorter = head.chars().count().min(tail.chars().count());
            if shorter >= PART_CHARS_MIN {
                cuts.push((link.len(), Reverse(shorter), [head, tail]));
            }
        }
    }
    cuts.sort_unstable();
    cuts.into_iter().map(|(.., parts)| parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_even_cut_without_letters_between_comes_first() {
        let all = cuts("dampfmaschine");
        assert_eq!(all[..2], [["dampfm", "aschine"], ["dampfma", "schine"]]);
        assert!(all.contains(&["dampf", "maschine"]));
        assert!(cuts("arbeitsgruppe").contains(&["arbeit", "gruppe"]));
        assert!(all.iter().flatten().all(|part| part.len() >= PART_CHARS_MIN));
        assert_eq!(cuts("kurzes"), Vec::<[&str; 2]>::new());
        assert_eq!(cuts("größenmaß")[0], ["größ", "enmaß"], "letters are not split");
    }
}
