//! Compares what is found under a mask with the engine's own scores of every document.

use std::collections::HashSet;
use std::sync::Arc;

use access::{Caller, Purpose, Subject};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use roaring::RoaringBitmap;
use schemas::event::Change;
use schemas::grant::Role;
use schemas::ids::{PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::record::PageRecord;
use schemas::version::{Timestamp, VectorClock, Version};
use tantivy::query::{EnableScoring, Weight};
use tantivy::{DocSet, TERMINATED};

use super::*;
use crate::analysis::Language;
use crate::commit::{CommitPayload, Writer};
use crate::open::{Config, Index, OpenMode};
use crate::passages::{Passage, PassageWrite};
use crate::records::PageHead;
use crate::search::words::Plan;
use crate::search::{Clause, ClauseKind, Field, LexicalQuery, Occur, Searcher};

const WAYS: [Way; 3] = [Way::Documents, Way::Postings { is_mask_first: true }, Way::Postings { is_mask_first: false }];
const TEXTS_MAX: usize = 3;
const VOCABULARY: f64 = 400.0;
/// Sums of the same numbers in another order differ by so much.
const ROUNDING: f32 = 1e-5;

/// Two workspaces of random texts, in several segments, some of them deleted again.
struct Corpus {
    index: Index,
    _dir: tempfile::TempDir,
}

impl Corpus {
    fn draw(pages_len: usize, commits: usize, rng: &mut SmallRng) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { dir: dir.path().join("index"), ..Config::default() };
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        let writer = index.writer().unwrap();
        for seq in 1..=commits as u64 {
            for workspace in ["one", "two"] {
                for _ in 0..pages_len / commits {
                    // Numbers come again, so that pages are written over.
                    let page = rng.random_range(0..pages_len);
                    put(&index, &writer, workspace, page, rng);
                }
            }
            writer.commit(&CommitPayload { index_seq: seq, ..CommitPayload::default() }).unwrap();
        }
        index.reload().unwrap();
        index.catalog().workspaces().iter().for_each(|known| known.write().access.publish());
        Self { index, _dir: dir }
    }

    fn mask(&self, share: f64, rng: &mut SmallRng) -> Mask {
        let workspace = WorkspaceId::new("one").unwrap();
        let known = self.index.catalog().get(&workspace).unwrap();
        let caller = Caller { workspace, subject: Subject::User(UserId::new("ada").unwrap()) };
        let mask = known.read().access.mask(&caller, Purpose::Discover);
        if share >= 1.0 {
            return mask;
        }
        let pages: RoaringBitmap = mask.allowed().iter().filter(|_| rng.random_bool(share)).collect();
        mask.narrow(&pages)
    }
}

fn put(index: &Index, writer: &Writer, workspace: &str, page: usize, rng: &mut SmallRng) {
    let known = index.catalog().get_or_create(&WorkspaceId::new(workspace).unwrap());
    let id = PageId::new(format!("page-{page}")).unwrap();
    let region = RegionId::new("eu").unwrap();
    let timestamp = Timestamp { wall_ms: 1, logical: 0 };
    let version = Arc::new(Version { clock: VectorClock::of(&region, 1), timestamp, region });
    let mut record = PageRecord::default();
    let patch = PagePatch { title: Some(text(4, rng)), parent: Some(Parent::Workspace), ..PagePatch::default() };
    record.apply(&Change::PageUpserted { page: id.clone(), patch: Box::new(patch) }, &version);
    let mut state = known.write();
    state.put_member(&UserId::new("ada").unwrap(), Some(Role::Member), false);
    let mut head = PageHead::of(&id, state.ordinal_for(&id), &record);
    head.grants = vec!["workspace:view".parse().unwrap()];
    state.put_head(head.clone());
    drop(state);
    let passage = |number| Passage {
        number,
        headings: Vec::new(),
        text: text(30, rng),
        blocks: Vec::new(),
        language: Language::English,
    };
    let texts = 1 + page % TEXTS_MAX;
    let writes: Vec<PassageWrite> =
        (0..texts as u32).map(passage).map(|passage| PassageWrite { passage, vector: None }).collect();
    writer.put_page(known.number, &head, &record, &writes).unwrap();
}

/// Words of which few are frequent.
fn text(words_max: usize, rng: &mut SmallRng) -> String {
    let words: Vec<String> = (0..rng.random_range(1..=words_max)).map(|_| word(rng)).collect();
    words.join(" ")
}

fn word(rng: &mut SmallRng) -> String {
    format!("w{}", VOCABULARY.powf(rng.random::<f64>()) as u32)
}

fn query(rng: &mut SmallRng) -> LexicalQuery {
    let mut clause = |occur, words| {
        let text = (0..words).map(|_| word(rng)).collect::<Vec<_>>().join(" ");
        let field = *[Field::All, Field::All, Field::Title].choose(rng).unwrap();
        let kind = if rng.random_bool(0.2) { ClauseKind::Phrase(text) } else { ClauseKind::Words(text) };
        Clause { occur, field, kind }
    };
    let mut clauses = vec![clause(Occur::Should, 3)];
    for occur in [Occur::Must, Occur::MustNot, Occur::Should] {
        if clause(occur, 1).field == Field::Title {
            clauses.push(clause(occur, 2));
        }
    }
    // Most queries of people are words alone.
    clauses.truncate(rng.random_range(1..=clauses.len()));
    LexicalQuery { clauses, last_word_is_prefix: rng.random_bool(0.3), fuzzy: false }
}

/// Every live document that matches and is allowed, with the engine's score, best first.
fn exhaustive(searcher: &Searcher, mask: &Mask, query: &LexicalQuery) -> Vec<(SegmentOrdinal, DocId, f32)> {
    let Some(plan) = searcher.plan(mask, query).unwrap() else { return Vec::new() };
    let statistics = searcher.statistics(mask);
    let scoring = EnableScoring::enabled_from_statistics_provider(&statistics, &searcher.snapshot.engine);
    let tree = plan.into_tree();
    let weight: Box<dyn Weight> = tree.wanted.weight(scoring).unwrap();
    let mut found = Vec::new();
    for (segment, reader) in (0..).zip(searcher.snapshot.engine.segment_readers()) {
        let keys = reader.fast_fields().u64("page").unwrap();
        let mut excluded = HashSet::new();
        for query in &tree.excluded {
            let weight = query.weight(scoring).unwrap();
            weight.for_each_no_score(reader, &mut |docs| excluded.extend(docs.iter().copied())).unwrap();
        }
        let mut scorer = weight.scorer(reader, 1.0).unwrap();
        while scorer.doc() != TERMINATED {
            let doc = scorer.doc();
            let key = keys.first(doc).unwrap();
            let is_allowed =
                key >> 32 == u64::from(mask.workspace_number()) && mask.allows(access::PageOrdinal(key as u32));
            if is_allowed && !reader.is_deleted(doc) && !excluded.contains(&doc) {
                found.push((segment, doc, scorer.score()));
            }
            scorer.advance();
        }
    }
    found.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    found
}

/// Checks one query under one mask; returns how many match.
fn check(searcher: &Searcher, mask: &Mask, share: f64, query: &LexicalQuery, depth: usize) -> usize {
    let expected = exhaustive(searcher, mask, query);
    let found = searcher.lexical(mask, query, depth).unwrap();
    let context = format!("share {share}, depth {depth}, {query:?}");
    assert_eq!(found.len(), expected.len().min(depth), "{context}");
    let near = |one: f32, other: f32| (one - other).abs() <= ROUNDING * other.abs();
    for (found, expected_here) in found.iter().zip(&expected) {
        assert!(near(found.score, expected_here.2), "{} for {}, {context}", found.score, expected_here.2);
        let at = (found.address.segment, found.address.doc);
        let of_this = expected.iter().find(|(segment, doc, _)| (*segment, *doc) == at);
        let of_this = of_this.unwrap_or_else(|| panic!("{at:?} is not allowed or does not match, {context}"));
        assert!(near(found.score, of_this.2), "{} for {}, {context}", found.score, of_this.2);
    }
    let addresses: Vec<_> = found.iter().map(|found| found.address).collect();
    for (found, score) in found.iter().zip(searcher.bm25_of(mask, query, &addresses).unwrap()) {
        assert!(score.is_some_and(|score| near(score, found.score)), "{context}");
    }
    let found: Vec<_> = found.iter().map(|found| (found.address.segment, found.address.doc, found.score)).collect();
    if let Some(Plan::Union(terms)) = searcher.plan(mask, query).unwrap() {
        let union = Union::new(&searcher.snapshot, &searcher.statistics(mask), terms, Deadline::default()).unwrap();
        for way in WAYS {
            let mut best = Best::new(depth);
            for segment in union.largest_first() {
                let allowed = Allowed::new(&searcher.snapshot.segments[segment as usize].pages, mask);
                union.collect(segment, &allowed, way, &mut best).unwrap();
            }
            assert_eq!(best.into_sorted().collect::<Vec<_>>(), found, "{way:?}, {context}");
        }
    }
    expected.len()
}

fn check_all(pages_len: usize, commits: usize, queries: usize, rng: &mut SmallRng) {
    let corpus = Corpus::draw(pages_len, commits, rng);
    let searcher = corpus.index.searcher();
    assert!(searcher.snapshot.segments.len() > 1, "one segment alone shows less");
    let mut matched = 0;
    for share in [0.0, 0.003, 0.03, 0.3, 0.8, 1.0] {
        let mask = corpus.mask(share, rng);
        for _ in 0..queries {
            let depth = *[1, 10, 200].choose(rng).unwrap();
            matched += check(&searcher, &mask, share, &query(rng), depth);
        }
    }
    assert!(matched > 0, "nothing matched anything");
}

#[test]
fn what_is_found_is_what_scoring_every_document_finds() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let pages_len = rng.random_range(4..120);
        check_all(pages_len, 2, 40, &mut rng);
    }
}

#[test]
fn what_is_found_among_many_blocks_and_windows_is_what_scoring_every_document_finds() {
    let seed = 99;
    println!("seed {seed}");
    check_all(9_000, 3, 60, &mut SmallRng::seed_from_u64(seed));
}
