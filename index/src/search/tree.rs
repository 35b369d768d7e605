//! The best documents of a query of the engine under a mask: what is required, excluded or side by side.
//!
//! The engine finds documents, and only those that are allowed are scored. Where few are, it is handed the list of them,
//! so that it seeks its terms in those alone.

use access::Mask;
use tantivy::query::{ConstScorer, EnableScoring, Scorer, Weight, intersect_scorers};
use tantivy::{DocId, SegmentOrdinal, TERMINATED};

use super::ScoreDocs;
use super::allowed::{Allowed, Listed};
use super::best::Best;
use super::deadline::{DOCS_UNCHECKED, Deadline};
use super::statistics::Statistics;
use super::words::TreeQuery;
use crate::error::{Doing, IndexError};
use crate::open::Snapshot;

/// Below this share of allowed documents they are listed.
const LISTED_SHARE: f64 = 0.02;

/// A query with how it is scored.
pub(super) struct Tree<'a> {
    snapshot: &'a Snapshot,
    wanted: Box<dyn Weight>,
    excluded: Vec<Box<dyn Weight>>,
    deadline: Deadline,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        statistics: &Statistics<'_>,
        query: &TreeQuery,
        deadline: Deadline,
    ) -> Result<Self, IndexError> {
        let scoring = EnableScoring::enabled_from_statistics_provider(statistics, &snapshot.engine);
        Self::weighted(snapshot, scoring, query, deadline)
    }

    /// Finds documents and scores none.
    pub(super) fn unscored(snapshot: &'a Snapshot, query: &TreeQuery, deadline: Deadline) -> Result<Self, IndexError> {
        Self::weighted(snapshot, EnableScoring::disabled_from_searcher(&snapshot.engine), query, deadline)
    }

    fn weighted(
        snapshot: &'a Snapshot,
        scoring: EnableScoring<'_>,
        query: &TreeQuery,
        deadline: Deadline,
    ) -> Result<Self, IndexError> {
        let wanted = query.wanted.weight(scoring).doing("plan a search")?;
        let unscored = EnableScoring::disabled_from_searcher(&snapshot.engine);
        let excluded = query.excluded.iter().map(|query| query.weight(unscored)).collect::<tantivy::Result<_>>();
        Ok(Self { snapshot, wanted, excluded: excluded.doing("plan a search")?, deadline })
    }

    /// The best documents that a mask allows, at most `depth`.
    pub(super) fn best(&self, mask: &Mask, allowed_share: f64, depth: usize) -> Result<Best, IndexError> {
        let mut best = Best::new(depth);
        for segment in 0..self.snapshot.segments.len() as SegmentOrdinal {
            let allowed = Allowed::new(&self.snapshot.segments[segment as usize].pages, mask);
            let listed = (allowed_share < LISTED_SHARE).then(|| allowed.listed());
            self.for_each(
                segment,
                listed,
                |doc| allowed.allows(doc),
                |doc, scorer| {
                    let score = scorer.score();
                    if score > best.threshold(segment) {
                        best.push(segment, doc, score);
                    }
                },
            )?;
        }
        Ok(best)
    }

    /// Calls `each` with the live documents of a segment that match and are wanted, ascending. `listed` are all that may
    /// be, if that is known.
    pub(super) fn for_each(
        &self,
        segment: SegmentOrdinal,
        listed: Option<Vec<DocId>>,
        is_wanted: impl Fn(DocId) -> bool,
        mut each: impl FnMut(DocId, &mut dyn Scorer),
    ) -> Result<(), IndexError> {
        let reader = self.snapshot.engine.segment_reader(segment);
        let mut matching = self.matching(segment)?;
        if let Some(listed) = listed {
            // Adds nothing to a score.
            let listed = Box::new(ConstScorer::new(Listed::new(listed), 0.0));
            matching.wanted = intersect_scorers(vec![listed, matching.wanted], reader.num_docs());
        }
        let mut unchecked = 0;
        while matching.wanted.doc() != TERMINATED {
            let doc = matching.wanted.doc();
            if is_wanted(doc) && !reader.is_deleted(doc) && !matching.excludes(doc) {
                each(doc, &mut *matching.wanted);
            }
            unchecked += 1;
            if unchecked == DOCS_UNCHECKED {
                self.deadline.check()?;
                unchecked = 0;
            }
            matching.wanted.advance();
        }
        Ok(())
    }

    fn matching(&self, segment: SegmentOrdinal) -> Result<Matching, IndexError> {
        self.deadline.check()?;
        let reader = self.snapshot.engine.segment_reader(segment);
        let scorer = |weight: &dyn Weight| weight.scorer(reader, 1.0).doing("search by words");
        let excluded = self.excluded.iter().map(|weight| scorer(&**weight));
        Ok(Matching { wanted: scorer(&*self.wanted)?, excluded: excluded.collect::<Result<_, _>>()? })
    }
}

impl ScoreDocs for Tree<'_> {
    fn scores_of(&self, segment: SegmentOrdinal, docs: &[DocId]) -> Result<Vec<Option<f32>>, IndexError> {
        let mut matching = self.matching(segment)?;
        Ok(docs.iter().map(|doc| matching.score_of(*doc)).collect())
    }
}

/// The documents of a segment that match. Asked about ascending documents.
struct Matching {
    wanted: Box<dyn Scorer>,
    excluded: Vec<Box<dyn Scorer>>,
}

impl Matching {
    fn score_of(&mut self, doc: DocId) -> Option<f32> {
        (is_at(&mut *self.wanted, doc) && !self.excludes(doc)).then(|| self.wanted.score())
    }

    fn excludes(&mut self, doc: DocId) -> bool {
        self.excluded.iter_mut().any(|excluded| is_at(&mut **excluded, doc))
    }
}

/// Whether a document matches; goes on to it.
fn is_at(scorer: &mut dyn Scorer, doc: DocId) -> bool {
    if scorer.doc() < doc {
        scorer.seek(doc);
    }
    scorer.doc() == doc
}
