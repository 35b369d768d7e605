//! Verifying: a clean index has no difference, and each kind that can be planted is named, repaired, and gone.

use std::collections::BTreeSet;

use access::{PageOrdinal, WorkspaceNumber};
use index::passages::{Passage, PassageWrite};
use index::records::PageHead;
use index::vectors::{ModelTag, StoredVector};
use index::{CommitPayload, Index, Writer};
use indexer::engine::Wait;
use indexer::verify::{Kind, Options, Step, Summary, VerifyError, differences, verify};
use models::embed::Embedder;
use schemas::event::Change;
use schemas::grant::Role;
use schemas::record::PageRecord;

use crate::site::{DIMENSIONS, Site, settle};
use crate::source::{Source, page};

/// The model of these tests.
fn model() -> Embedder {
    Embedder::fake(DIMENSIONS)
}

/// Some pages of every sort in two workspaces, and one workspace that was erased.
fn fill(site: &Site, embedder: Option<&Embedder>) {
    let engine = site.open_with(embedder.cloned());
    let mut acme = Source::new("acme", "eu");
    let mut events = vec![
        acme.member("ada", Role::Member),
        acme.group("team", &["user:ada", "user:ben"]),
        acme.page("a", "Tides and currents", None),
        acme.page("b", "Instruments", Some("a")),
        acme.page("empty", "Nothing on it", Some("b")),
        acme.page("gone", "Deleted later", None),
        acme.property("b", "Status", "In review"),
        acme.grant("a", &["workspace:view", "group:team:edit"]),
    ];
    for at in 0..40 {
        let text = format!("Reading {at} of the gauge, taken at low water. ").repeat(6);
        events.push(acme.block(if at % 2 == 0 { "a" } else { "b" }, &format!("block{at:02}"), &text));
    }
    events.push(acme.block("gone", "gone1", "to be deleted"));
    engine.submit(&events, Wait::Searchable).unwrap();
    let later = [
        acme.delete_block("a", "block00"),
        acme.write(Change::PageDeleted { page: page("gone") }),
        acme.page("b", "Instruments, new", None),
        acme.block("a", "block01", "moved from the other page"),
    ];
    engine.submit(&later, Wait::Searchable).unwrap();
    let mut other = Source::new("other", "eu");
    let events = [other.page("a", "Same id, other workspace", None), other.block("a", "block00", "潮汐表の読み方")];
    engine.submit(&events, Wait::Searchable).unwrap();
    let mut erased = Source::new("erased", "eu");
    engine.submit(&[erased.page("x", "X", None), erased.block("x", "x1", "secret")], Wait::Searchable).unwrap();
    engine.submit(&[erased.write(Change::WorkspaceErased)], Wait::Searchable).unwrap();
    if embedder.is_some() {
        settle(&engine);
    }
    assert!(engine.close());
}

/// What differs, with the words compared, and the summary.
fn audit(site: &Site, embedder: Option<Embedder>, repair: bool) -> (BTreeSet<(Kind, String)>, Summary) {
    let mut found = BTreeSet::new();
    let index = site.index();
    let options = Options { deep: true, repair, ..Options::default() };
    let summary = verify(&index, embedder, options, &mut |step| {
        if let Step::Found(difference, _) = step {
            found.insert((difference.kind, difference.place.to_string()));
        }
    });
    (found, summary.unwrap())
}

#[test]
fn a_clean_index_has_no_difference() {
    let site = Site::new();
    fill(&site, Some(&model()));
    let (found, summary) = audit(&site, Some(model()), false);
    assert!(found.is_empty(), "{found:?}");
    let counts = summary.counts;
    assert_eq!((counts.workspaces, counts.groups, counts.members), (3, 1, 1));
    assert_eq!(
        (counts.pages, counts.free_ordinals),
        (5, 0),
        "the deleted page has a record, the erased workspace none"
    );
    assert!(counts.passages > 10 && counts.vectors == counts.passages - 1, "all but the page without text: {counts:?}");
}

#[test]
fn pages_that_wait_for_their_first_model_are_as_they_should_be() {
    let site = Site::new();
    fill(&site, None);
    assert!(audit(&site, None, false).0.is_empty());
    // The generation takes the model on; its pages are still those that were cut without one.
    drop(site.open_with(Some(model())));
    assert!(differences(&site.index(), Some(model()), true).unwrap().is_empty());
    let error = differences(&site.index(), None, false).unwrap_err();
    assert!(matches!(error, VerifyError::ModelNeeded { .. }), "{error}");
    settle(&site.open());
    assert!(audit(&site, Some(model()), false).0.is_empty());
}

/// What a plant may use.
struct Garden {
    index: Index,
    writer: Writer,
    number: WorkspaceNumber,
}

impl Garden {
    fn record(&self, id: &str) -> PageRecord {
        self.writer.page_record(self.number, &page(id)).unwrap().unwrap()
    }

    fn head(&self, id: &str) -> PageHead {
        let known = self.index.catalog().numbered(self.number).unwrap();
        let state = known.read();
        state.head_of(&page(id)).unwrap().clone()
    }

    fn passages(&self, id: &str) -> Vec<PassageWrite> {
        let record = self.record(id);
        let count = |text: &str| models::embed::TokenCounter::estimate().count(text);
        let rules = indexer::split::Rules { count: &count, target_tokens: 200, max_tokens: 240 };
        let vectors = self.writer.page_vectors(self.number, self.head(id).ordinal).unwrap();
        let write = |passage: Passage| PassageWrite { vector: vectors.get(&passage.hash()).cloned(), passage };
        let mut passages = indexer::split::split(&page(id), &record, &rules);
        if let (Some(title), Some(first)) = (record.title.value(), passages.first()) {
            passages.push(Passage::of_title(title, first.language));
        }
        passages.into_iter().map(write).collect()
    }

    fn put(&self, id: &str, head: &PageHead, passages: &[PassageWrite]) {
        self.writer.put_page(self.number, head, &self.record(id), passages).unwrap();
    }
}

/// Plants something wrong behind the back of the records: it is named so, repaired but where `stays` says otherwise, and
/// nothing else is said.
#[track_caller]
fn plant(expected: &[(Kind, &str)], stays: bool, lie: impl FnOnce(&Garden)) {
    let site = Site::new();
    fill(&site, Some(&model()));
    {
        let index = site.index();
        let writer = index.writer().unwrap();
        let number = index.catalog().get(&Source::new("acme", "eu").workspace).unwrap().number;
        let payload = index.payload();
        let garden = Garden { index, writer, number };
        lie(&garden);
        garden.writer.commit(&CommitPayload { index_seq: payload.index_seq + 1, ..payload }).unwrap();
    }
    let expected: BTreeSet<_> = expected.iter().map(|(kind, place)| (*kind, (*place).to_owned())).collect();
    assert_eq!(audit(&site, Some(model()), false).0, expected);
    let (found, summary) = audit(&site, Some(model()), true);
    assert_eq!(found, expected);
    assert_eq!(summary.repaired == summary.differences.values().sum::<u64>(), !stays, "{summary:?}");
    // What is left without its record by a repair is found by the next.
    let rest = audit(&site, Some(model()), true).0;
    if stays {
        assert_eq!(rest, expected);
        return;
    }
    assert!(rest.iter().all(|(kind, _)| *kind == Kind::Orphans), "{rest:?}");
    settle(&site.open());
    let (found, summary) = audit(&site, Some(model()), false);
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(summary.counts.workspaces, 3);
}

const A: &str = "workspace acme, page a";
const B: &str = "workspace acme, page b";

#[test]
fn passages_that_are_not_those_of_the_record_are_named() {
    plant(&[(Kind::Passages, A)], false, |garden| {
        let mut passages = garden.passages("a");
        passages[0].passage.text.push_str(" and something else");
        garden.put("a", &garden.head("a"), &passages);
    });
    plant(&[(Kind::Passages, A)], false, |garden| {
        let passages = garden.passages("a");
        garden.put("a", &garden.head("a"), &passages[..1]);
    });
    plant(&[(Kind::Passages, A)], false, |garden| {
        let mut passages = garden.passages("a");
        let again = passages[1].clone();
        passages.push(again);
        garden.put("a", &garden.head("a"), &passages);
    });
}

#[test]
fn vectors_of_another_model_are_named() {
    plant(&[(Kind::Vector, B)], false, |garden| {
        let mut passages = garden.passages("b");
        let other = StoredVector::encode(&[1.0; DIMENSIONS], ModelTag::of("another model")).unwrap();
        passages[1].vector = Some(other);
        garden.put("b", &garden.head("b"), &passages);
    });
}

#[test]
fn heads_that_do_not_follow_from_the_record_are_named() {
    plant(&[(Kind::Head, A), (Kind::Counts, A), (Kind::Words, A)], false, |garden| {
        let head = PageHead { title: "Another title".to_owned(), ..garden.head("a") };
        garden.put("a", &head, &garden.passages("a"));
    });
    plant(&[(Kind::Access, A)], false, |garden| {
        let head = PageHead { grants: vec!["public:view".parse().unwrap()], ..garden.head("a") };
        garden.put("a", &head, &garden.passages("a"));
    });
    plant(&[(Kind::Counts, A)], false, |garden| {
        let head = garden.head("a");
        let known = garden.index.catalog().numbered(garden.number).unwrap();
        known.write().erase();
        known.write().put_head(PageHead { vectors: head.vectors - 1, tokens: 7, ..head.clone() });
        garden.writer.put_record(garden.number, &head, &garden.record("a")).unwrap();
    });
}

#[test]
fn records_and_numbers_that_are_there_twice_are_named() {
    plant(&[(Kind::RecordTwice, A), (Kind::Counts, A), (Kind::Passages, A)], false, |garden| {
        let head = PageHead { ordinal: PageOrdinal(70), ..garden.head("a") };
        garden.writer.put_record(garden.number, &head, &garden.record("a")).unwrap();
    });
    plant(&[(Kind::OrdinalTwice, "workspace acme, page z")], false, |garden| {
        let head = PageHead { page: page("z"), ordinal: garden.head("gone").ordinal, ..garden.head("gone") };
        garden.writer.put_record(garden.number, &head, &garden.record("gone")).unwrap();
    });
}

#[test]
fn passages_without_a_record_are_named_and_removed() {
    plant(&[(Kind::Orphans, "workspace acme, page number 70")], false, |garden| {
        let head = PageHead { page: page("z"), ordinal: PageOrdinal(70), ..garden.head("a") };
        garden.put("a", &head, &garden.passages("a"));
        garden.writer.remove_page_records(garden.number, &page("z")).unwrap();
    });
}

#[test]
fn what_is_left_of_an_erased_workspace_is_named() {
    plant(&[(Kind::ErasedNotEmpty, "workspace erased")], false, |garden| {
        let erased = garden.index.catalog().get(&Source::new("erased", "eu").workspace).unwrap().number;
        garden.writer.put_page(erased, &garden.head("a"), &garden.record("a"), &garden.passages("a")).unwrap();
    });
}

#[test]
fn a_workspace_without_a_record_is_named_and_cannot_be_made_up() {
    plant(&[(Kind::WorkspaceUnknown, "workspace #77")], true, |garden| {
        garden.writer.put_page(77, &garden.head("a"), &garden.record("a"), &garden.passages("a")).unwrap();
    });
}
