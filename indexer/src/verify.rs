//! Verifying an index: recomputes from its records what it should hold, and names every difference.
//!
//! Pages are cut anew by the recipe of the generation; what follows from a record without cutting is compared by
//! [`index::verify`]. Without repair nothing is written and nothing is waited for, so it may run beside the process that writes:
//! it looks at one commit. Vectors are not made again: a vector is taken for right when its text, its model, its size and its
//! length are.
//!
//! Invariant: ids and files are named, text never.

mod repair;

use std::collections::{BTreeMap, BTreeSet};

use index::passages::Passage;
use index::vectors::ModelTag;
use index::verify::{Auditor, Counts, Found, StoredPage};
use index::{Index, IndexError};
use models::embed::Embedder;

pub use index::verify::{Difference, Kind, Place, Tenant};

use crate::config::Config;
use crate::engine::cutting::Cutting;
use crate::engine::reindex::wanted;
use repair::Repair;

/// What is done beside comparing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Compare the words under which each passage is found with its text analysed anew, too.
    pub deep: bool,
    /// Leave the checksums of files out: for an index that is compared often.
    pub skip_files: bool,
    /// Write anew what differs. Needs an index opened for writing, and no write side over it.
    pub repair: bool,
}

/// Why an index could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Passages were cut by the tokens of a model that is not there.
    #[error("the passages of this index were cut by the tokens of {model}: verify it with that model")]
    ModelNeeded {
        /// The model of the index.
        model: String,
    },
    /// The index could not be read or repaired.
    #[error("cannot go through the index")]
    Index(#[from] IndexError),
}

/// What a verification tells while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Checksums of files are compared.
    Files,
    /// So many of so many pages are done.
    Pages(u64, u64),
    /// Something differs; true if it was written anew.
    Found(&'a Difference, bool),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What was looked at.
    pub counts: Counts,
    /// Differences of each kind.
    pub differences: BTreeMap<Kind, u64>,
    /// How many of them were written anew.
    pub repaired: u64,
}

impl Summary {
    /// True when nothing differs.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    fn note(&mut self, difference: &Difference, is_repaired: bool, on_step: &mut dyn FnMut(Step<'_>)) {
        *self.differences.entry(difference.kind).or_default() += 1;
        self.repaired += u64::from(is_repaired);
        on_step(Step::Found(difference, is_repaired));
    }
}

/// All that differs in what the index took in last. `embedder` is the model of the generation, if it has one.
pub fn differences(index: &Index, embedder: Option<Embedder>, deep: bool) -> Result<Vec<Difference>, VerifyError> {
    let mut found = Vec::new();
    verify(index, embedder, Options { deep, ..Options::default() }, &mut |step| {
        if let Step::Found(difference, _) = step {
            found.push(difference.clone());
        }
    })?;
    Ok(found)
}

/// Compares what the index took in last with its records. `embedder` is the model of the generation, if it has one.
/// When a file is damaged, nothing but files is compared, and nothing is repaired.
pub fn verify(
    index: &Index,
    embedder: Option<Embedder>,
    options: Options,
    on_step: &mut dyn FnMut(Step<'_>),
) -> Result<Summary, VerifyError> {
    let auditor = Auditor::new(index);
    let standard = Standard::of(&auditor, embedder)?;
    let mut summary = Summary::default();
    if !options.skip_files {
        on_step(Step::Files);
        auditor.files(&mut |difference| summary.note(&difference, false, on_step))?;
        if !summary.differences.is_empty() {
            // What is read of a damaged file may be anything.
            return Ok(summary);
        }
    }
    let mut repair = if options.repair { Some(Repair::begin(index, &standard)?) } else { None };
    let total = auditor.page_records();
    let mut done = 0;
    let counts = auditor.audit(options.deep, &mut |found| {
        match found {
            Found::Page(page, kinds) => {
                let kinds = standard.compare(&page, kinds);
                let is_repaired = match &mut repair {
                    Some(repair) if !kinds.is_empty() => repair.page(&page, &kinds)?,
                    _ => false,
                };
                let place = page.place();
                for kind in kinds {
                    summary.note(&Difference { kind, place: place.clone() }, is_repaired, on_step);
                }
                done += 1;
                on_step(Step::Pages(done, total));
            }
            Found::Difference(difference) => {
                let is_repaired = match &mut repair {
                    Some(repair) => repair.other(&difference)?,
                    None => false,
                };
                summary.note(&difference, is_repaired, on_step);
            }
        }
        Ok(())
    })?;
    if let Some(repair) = repair {
        repair.finish()?;
    }
    summary.counts = counts;
    Ok(summary)
}

/// What pages are compared with.
struct Standard {
    cutting: Cutting,
    /// How pages were cut while there was no model, where there is one now.
    without_model: Option<Cutting>,
    tag: Option<ModelTag>,
}

impl Standard {
    fn of(auditor: &Auditor, embedder: Option<Embedder>) -> Result<Self, VerifyError> {
        let described = auditor.description().recipe.clone();
        let recipe = described.unwrap_or_else(|| wanted(Config::default().passage_tokens, embedder.as_ref()));
        let given = embedder.as_ref().map(|embedder| embedder.model_id().to_string());
        if let Some(model) = recipe.model_id.clone().filter(|model| Some(model) != given.as_ref()) {
            return Err(VerifyError::ModelNeeded { model });
        }
        // A model that the generation does not know yet has cut nothing in it.
        let embedder = embedder.filter(|_| recipe.model_id.is_some());
        let without_model = embedder.as_ref().map(|_| Cutting::new(recipe.clone(), None));
        let cutting = Cutting::new(recipe, embedder);
        Ok(Self { tag: cutting.tag(), cutting, without_model })
    }

    /// What is wrong with a page: what is known already, its passages, and the model of its vectors.
    fn compare(&self, page: &StoredPage, mut kinds: Vec<Kind>) -> Vec<Kind> {
        let has_foreign = page.passages.iter().any(|stored| {
            let model = stored.vector.as_ref().map(index::vectors::StoredVector::model);
            model.is_some() && model != self.tag
        });
        let mut also = BTreeSet::new();
        if has_foreign {
            also.insert(Kind::Vector);
        }
        if !self.has_passages(page) {
            also.insert(Kind::Passages);
        }
        also.retain(|kind| !kinds.contains(kind));
        kinds.extend(also);
        kinds
    }

    fn has_passages(&self, page: &StoredPage) -> bool {
        let are = |expected: Vec<Passage>| expected.iter().eq(page.passages.iter().map(|stored| &stored.passage));
        if are(self.cutting.passages(&page.head.page, &page.record)) {
            return true;
        }
        // A page that waits for vectors is written by the rules that held when it came, and by the present ones with them.
        let waits = page.passages.iter().any(|stored| stored.passage.has_text() && stored.vector.is_none());
        let Some(without_model) = self.without_model.as_ref().filter(|_| waits) else { return false };
        are(without_model.passages(&page.head.page, &page.record))
    }
}
