//! What is replaced, what stays, and what the write side reads back.

use std::sync::Arc;

use index::passages::TextHash;
use index::vectors::ModelTag;
use schemas::event::Change;
use schemas::record::GroupRecord;

use crate::content::{Content, MODEL, block, page, passages, record, version, words, workspace};

#[test]
fn a_page_written_again_leaves_no_old_passage() {
    let mut content = Content::new();
    content.put("acme", "a", "Title", &["first words", "second words"]);
    content.commit();
    content.put("acme", "a", "Title", &["third words"]);
    content.commit();
    assert!(content.found(&words("first")).is_empty() && content.found(&words("second")).is_empty());
    assert_eq!(content.found(&words("third")), ["a"]);
    let known = content.index.catalog().get(&workspace("acme")).unwrap();
    let stats = known.read().stats();
    assert_eq!((stats.pages, stats.passages, stats.vectors), (1, 1, 1));
}

#[test]
fn a_page_written_twice_in_one_commit_is_there_once() {
    let mut content = Content::new();
    content.put("acme", "a", "Title", &["first words"]);
    content.put("acme", "a", "Title", &["second words"]);
    content.commit();
    assert!(content.found(&words("first")).is_empty());
    let known = content.index.catalog().get(&workspace("acme")).unwrap();
    let ordinal = known.read().access.ordinal_of(&page("a")).unwrap();
    assert_eq!(content.index.searcher().page_passages(&content.mask("acme"), ordinal).unwrap().len(), 1);
}

#[test]
fn a_deleted_page_leaves_a_tombstone_and_no_text() {
    let mut content = Content::new();
    content.put("acme", "a", "Title", &["secret words"]);
    content.put("acme", "b", "Title", &["other words"]);
    content.commit();
    let mut deleted = record("a", "Title", &["secret words"], 1);
    deleted.apply(&Change::PageDeleted { page: page("a") }, &version(9));
    let head = content.head("acme", "a", &deleted);
    let number = content.number("acme");
    content.writer.put_page(number, &head, &deleted, &[]).unwrap();
    content.commit();
    let content = content.reopened();
    assert!(content.found(&words("secret")).is_empty());
    assert_eq!(content.found(&words("words")), ["b"]);
    let kept = content.writer.page_record(number, &page("a")).unwrap().unwrap();
    assert!(!kept.exists());
    let known = content.index.catalog().get(&workspace("acme")).unwrap();
    assert_eq!(known.read().stats().pages, 1);
    assert!(content.writer.page_vectors(number, head.ordinal).unwrap().is_empty());
}

#[test]
fn a_record_written_alone_keeps_the_passages() {
    let mut content = Content::new();
    content.put("acme", "a", "Title", &["first words", "second words"]);
    content.commit();
    let changed = record("a", "Title", &["first words", "second words"], 7);
    let head = content.head("acme", "a", &changed);
    let number = content.number("acme");
    content.writer.put_record(number, &head, &changed).unwrap();
    content.commit();
    let content = content.reopened();
    assert_eq!(content.found(&words("second")), ["a"]);
    assert_eq!(content.writer.page_record(number, &page("a")).unwrap().unwrap(), changed);
    let known = content.index.catalog().get(&workspace("acme")).unwrap();
    assert_eq!(known.read().stats().passages, 2);
}

#[test]
fn vectors_are_found_again_by_their_text_and_model() {
    let mut content = Content::new();
    content.put("acme", "a", "Title", &["first words", "second words"]);
    content.commit();
    let number = content.number("acme");
    let known = content.index.catalog().get(&workspace("acme")).unwrap();
    let ordinal = known.read().access.ordinal_of(&page("a")).unwrap();
    let vectors = content.writer.page_vectors(number, ordinal).unwrap();
    assert_eq!(vectors.len(), 2);
    for write in passages("a", &["first words", "second words"]) {
        let hash: TextHash = write.passage.hash();
        assert_eq!(vectors.get(&hash), write.vector.as_ref());
        let found = |model| content.writer.vector_of(number, hash, ModelTag::of(model)).unwrap();
        assert_eq!(found(MODEL), write.vector);
        assert_eq!(found("another model"), None, "vectors of two models never meet");
        assert_eq!(content.writer.vector_of(number + 1, hash, ModelTag::of(MODEL)).unwrap(), None);
    }
}

#[test]
fn a_block_names_the_page_that_holds_it() {
    let mut content = Content::new();
    content.put("acme", "a", "", &["one", "two"]);
    content.put("other", "z", "", &["three"]);
    content.commit();
    let (acme, other) = (content.number("acme"), content.number("other"));
    let home = |number, id| content.writer.block_home(number, &block(id)).unwrap();
    assert_eq!(home(acme, "a-1"), Some(page("a")));
    assert_eq!(home(other, "z-0"), Some(page("z")));
    assert_eq!(home(acme, "z-0"), None);
    assert_eq!(home(acme, "nothing"), None);
}

#[test]
fn groups_are_read_back_as_they_were_written() {
    let mut content = Content::new();
    let number = content.number("acme");
    let team = schemas::ids::GroupId::new("team").unwrap();
    let mut group = GroupRecord::default();
    group.members.write(&Arc::clone(&version(1)), Some(vec!["user:ada".parse().unwrap()]));
    content.writer.put_group(number, &team, &group).unwrap();
    assert_eq!(content.writer.group_record(number, &team).unwrap(), None, "what is not committed is not read");
    content.commit();
    assert_eq!(content.writer.group_record(number, &team).unwrap(), Some(group));
}

/// The engine cuts a value of a fast column at 65,535 bytes without a word: the head of a group of some thousand members
/// was half a JSON text, and the index could not be opened any more.
#[test]
fn a_group_of_as_many_members_as_may_be_is_known_after_a_restart_and_a_merge() {
    let mut content = Content::new();
    let number = content.number("acme");
    let team = schemas::ids::GroupId::new("team").unwrap();
    let grant = |group: &str| vec![format!("group:{group}:view").parse().unwrap()];
    let mut head = content.head("acme", "a", &record("a", "Title", &["words"], 1));
    head.grants = grant("team");
    content.writer.put_page(number, &head, &record("a", "Title", &["words"], 1), &passages("a", &["words"])).unwrap();
    let people = (0..schemas::limits::GROUP_MEMBERS_MAX - 1).map(|at| format!("user:person-{at}").parse().unwrap());
    let mut group = GroupRecord::default();
    group.members.write(&version(1), Some(people.chain(["user:ada".parse().unwrap()]).collect()));
    content.writer.put_group(number, &team, &group).unwrap();
    content.commit();
    let mut content = content.reopened();
    assert_eq!(content.found(&words("words")), ["a"], "the last of the group finds what it may see");
    // Enough small segments that they are merged with the one of the group.
    for at in 0..12 {
        content.put("acme", &format!("b{at}"), "Title", &["other"]);
        content.commit();
    }
    let content = content.reopened();
    assert_eq!(content.found(&words("words")), ["a"]);
}

/// The engine says nothing of its merges, so that they are counted where it writes their files.
#[test]
fn merges_are_counted_with_the_time_that_they_take() {
    let mut content = Content::new();
    content.put("acme", "first", "Title", &["words"]);
    content.commit();
    assert_eq!(content.index.sizes().merges, 0, "one segment has nothing to be merged with");
    for at in 0..24 {
        content.put("acme", &format!("b{at}"), "Title", &["other"]);
        content.commit();
    }
    content.index.reload().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while content.index.sizes().merging.is_zero() {
        assert!(std::time::Instant::now() < deadline, "nothing was merged: {:?}", content.index.sizes());
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    assert!(content.index.sizes().merges > 0);
    let text = index::metrics::Metrics::default().text(std::slice::from_ref(&content.index));
    assert!(
        text.contains("tessera_index_merges_total ") && !text.contains("tessera_index_merge_seconds_total 0\n"),
        "{text}"
    );
}
