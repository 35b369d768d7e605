//! The embedding models of a process, by their ids: one as a rule, two while an index is built anew for another.
//!
//! A query must be embedded by the model whose vectors it is compared with; whoever searches asks for that one.

use std::sync::{Arc, PoisonError, RwLock};

use super::Embedder;

/// Most models at a time: the one in use, the one that comes after it, and the one to go back to.
const MODELS_MAX: usize = 3;

/// The models that are loaded. Cloning is cheap; all clones share them.
#[derive(Clone, Debug, Default)]
pub struct Embedders(Arc<RwLock<Vec<Embedder>>>);

impl Embedders {
    /// The model with an id; whichever came first when nothing names one.
    pub fn get(&self, model_id: Option<&str>) -> Option<Embedder> {
        Self::one_of(&self.loaded(), model_id)
    }

    /// All that are loaded now, as [`Embedders::one_of`] takes them.
    pub fn loaded(&self) -> Vec<Embedder> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`Embedders::get`], among those that were loaded a moment ago.
    pub fn one_of(loaded: &[Embedder], model_id: Option<&str>) -> Option<Embedder> {
        let Some(id) = model_id else { return loaded.first().cloned() };
        loaded.iter().find(|embedder| embedder.model_id().as_str() == id).cloned()
    }

    /// Adds a model; of too many the one that was added first is let go. One with the same id is kept.
    pub fn add(&self, embedder: &Embedder) {
        if self.get(Some(embedder.model_id().as_str())).is_some() {
            return;
        }
        let mut loaded = self.0.write().unwrap_or_else(PoisonError::into_inner);
        loaded.push(embedder.clone());
        if loaded.len() > MODELS_MAX {
            loaded.remove(0);
        }
    }

    /// Lets go of all models but one.
    pub fn keep_only(&self, model_id: Option<&str>) {
        let mut loaded = self.0.write().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|embedder| Some(embedder.model_id().as_str()) == model_id);
    }
}

impl From<Option<Embedder>> for Embedders {
    fn from(embedder: Option<Embedder>) -> Self {
        Self(Arc::new(RwLock::new(embedder.into_iter().collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_is_found_by_its_own_id_and_no_other_stands_in() {
        let (one, other) = (Embedder::fake(32), Embedder::fake(48));
        let embedders = Embedders::from(Some(one.clone()));
        assert!(embedders.get(Some(other.model_id().as_str())).is_none());
        embedders.add(&other);
        embedders.add(&other);
        for embedder in [&one, &other] {
            assert_eq!(embedders.get(Some(embedder.model_id().as_str())).unwrap().model_id(), embedder.model_id());
        }
        assert_eq!(embedders.get(None).unwrap().model_id(), one.model_id());
        embedders.keep_only(Some(other.model_id().as_str()));
        assert!(embedders.get(Some(one.model_id().as_str())).is_none());
    }
}
