//! The policy over long streams of updates, in a model of the engine: merges take time, deletes go on meanwhile.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Documents that a merge thread writes between two small commits, and for each document of a large one: well below what the
/// bench of writing measures.
const MERGED_BETWEEN_COMMITS: u64 = 5_000;
const MERGED_FOR_EACH: u64 = 3;
const SEED: u64 = 5;

struct Segment {
    /// The pages it holds, as they were written.
    pages: Vec<u32>,
    living: u64,
    merge: Option<usize>,
}

/// A merge that runs or waits for a thread.
struct Running {
    segments: Vec<usize>,
    is_long: bool,
    left: u64,
}

/// An index whose pages are all of one length.
struct Model {
    documents_per_page: u64,
    home: Vec<usize>,
    segments: Vec<Option<Segment>>,
    merges: Vec<Option<Running>>,
    written: u64,
    merged: u64,
    largest: u64,
}

impl Model {
    fn new(pages: usize, documents_per_page: u64) -> Self {
        Self {
            documents_per_page,
            home: vec![usize::MAX; pages],
            segments: Vec::new(),
            merges: Vec::new(),
            written: 0,
            merged: 0,
            largest: 0,
        }
    }

    fn push(&mut self, pages: Vec<u32>) {
        let at = self.segments.len();
        let living = pages.len() as u64 * self.documents_per_page;
        for &page in &pages {
            self.home[page as usize] = at;
        }
        self.largest = self.largest.max(living);
        self.segments.push(Some(Segment { pages, living, merge: None }));
    }

    fn commit(&mut self, pages: Vec<u32>) {
        for page in &pages {
            if let Some(Some(former)) = self.segments.get_mut(self.home[*page as usize]) {
                former.living -= self.documents_per_page;
            }
        }
        let written = pages.len() as u64 * self.documents_per_page;
        let mergeable = MERGED_BETWEEN_COMMITS.max(MERGED_FOR_EACH * written);
        self.written += written;
        self.push(pages);
        self.segments.iter_mut().for_each(|slot| *slot = slot.take().filter(|s| s.living > 0 || s.merge.is_some()));
        self.ask();
        let mut busy = 0;
        for at in 0..self.merges.len() {
            let Some(running) = self.merges[at].as_mut().filter(|_| busy < MERGE_THREADS) else { continue };
            busy += 1;
            running.left = running.left.saturating_sub(mergeable);
            if running.left == 0 {
                self.end(at);
            }
        }
    }

    fn ask(&mut self) {
        let size = |segment: &Segment| Size {
            living: segment.living,
            deleted: segment.pages.len() as u64 * self.documents_per_page - segment.living,
        };
        let is_shown = |at: &usize| self.segments[*at].as_ref().is_some_and(|segment| segment.merge.is_none());
        let shown: Vec<usize> = (0..self.segments.len()).filter(is_shown).collect();
        let sizes: Vec<Size> = shown.iter().map(|at| size(self.segments[*at].as_ref().unwrap())).collect();
        let long_runs = self.merges.iter().flatten().any(|running| running.is_long);
        for merge in choose(&sizes, long_runs) {
            let segments: Vec<usize> = merge.segments.iter().map(|at| shown[*at]).collect();
            let left = merge.segments.iter().map(|at| sizes[*at].living).sum();
            assert!(left <= SEGMENT_DOCUMENTS_MAX || segments.len() == 1);
            for at in &segments {
                self.segments[*at].as_mut().unwrap().merge = Some(self.merges.len());
            }
            self.merges.push(Some(Running { segments, is_long: merge.is_long, left }));
        }
    }

    fn end(&mut self, at: usize) {
        let Running { segments, .. } = self.merges[at].take().unwrap();
        let mut pages = Vec::new();
        for segment in segments {
            let held = self.segments[segment].take().unwrap();
            pages.extend(held.pages.into_iter().filter(|page| self.home[*page as usize] == segment));
        }
        self.merged += pages.len() as u64 * self.documents_per_page;
        self.push(pages);
        self.ask();
    }

    fn count(&self) -> usize {
        self.segments.iter().flatten().count()
    }

    fn deleted_share(&self) -> f64 {
        let all: u64 = self.segments.iter().flatten().map(|s| s.pages.len() as u64 * self.documents_per_page).sum();
        let living: u64 = self.segments.iter().flatten().map(|s| s.living).sum();
        (all - living) as f64 / all as f64
    }

    /// The segments there may be: those of the tiers, those of two merges at hand and those that are full.
    fn count_max(&self) -> usize {
        let living: u64 = self.segments.iter().flatten().map(|s| s.living).sum();
        5 * TIER_FACTOR + 2 * TIER_FACTOR + (2 * living).div_ceil(SEGMENT_DOCUMENTS_MAX) as usize
    }
}

/// Imports `pages`, then rewrites them at random, a few a commit; returns how often a document was merged for each that was
/// written, and the largest share of deleted ones.
#[track_caller]
fn check(pages: usize, documents_per_page: u64, commits: usize, seed: u64) -> (f64, f64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut model = Model::new(pages, documents_per_page);
    let mut next = 0;
    while next < pages {
        let end = (next + rng.random_range(500..3_000)).min(pages);
        model.commit((next as u32..end as u32).collect());
        next = end;
        let (count, count_max) = (model.count(), model.count_max());
        assert!(count <= count_max, "seed {seed}, {next} pages imported: {count} segments, at most {count_max}");
    }
    let (mut most, mut share_max) = (0, 0.0_f64);
    for commit in 0..commits {
        let mut edited: Vec<u32> = (0..rng.random_range(1..100)).map(|_| rng.random_range(0..pages as u32)).collect();
        edited.sort_unstable();
        edited.dedup();
        model.commit(edited);
        let (count, count_max) = (model.count(), model.count_max());
        assert!(count <= count_max, "seed {seed}, commit {commit}: {count} segments, at most {count_max}");
        most = most.max(count);
        share_max = share_max.max(model.deleted_share());
    }
    assert!(model.largest <= SEGMENT_DOCUMENTS_MAX.max(3_000 * documents_per_page));
    assert!(share_max <= DELETED_SHARE_MAX + 0.05, "seed {seed}: {share_max} deleted");
    let amplification = model.merged as f64 / model.written as f64;
    println!(
        "{pages} pages, seed {seed}: {most} segments at most, {share_max:.2} deleted at most, merged {amplification:.1} times"
    );
    (amplification, share_max)
}

#[test]
fn streams_of_small_commits_leave_few_segments_and_few_deleted_documents() {
    for seed in SEED..SEED + 3 {
        check(2_000, 4, 4_000, seed);
        check(60_000, 4, 12_000, seed);
    }
}

#[test]
fn a_document_is_merged_a_bounded_number_of_times() {
    let (amplification, _) = check(60_000, 4, 20_000, SEED);
    assert!(amplification < 12.0, "{amplification}");
}

#[test]
fn the_stream_at_a_million_documents_stays_within_the_bounds() {
    check(250_000, 5, 6_000, SEED);
}

#[test]
fn a_full_segment_is_written_again_only_for_its_deleted_documents() {
    let full = Size { living: SEGMENT_DOCUMENTS_MAX / 2, deleted: 0 };
    assert!(choose(&[full; 20], false).is_empty());
    let worn = Size { living: SEGMENT_DOCUMENTS_MAX / 2, deleted: SEGMENT_DOCUMENTS_MAX / 4 };
    let merges = choose(&[full, worn, worn], false);
    assert_eq!((merges.len(), merges[0].segments.len()), (1, 1), "long ones come one after the other");
    assert!(choose(&[full, worn, worn], true).is_empty());
}

#[test]
fn short_merges_go_on_beside_a_long_one() {
    let small = Size { living: 10, deleted: 0 };
    let merges = choose(&[small; 7], true);
    assert_eq!((merges.len(), merges[0].segments.len(), merges[0].is_long), (1, 7, false));
}
