//! What is erased leaves the files: every kind of file is looked into in its own way, for a grep sees no compressed text and
//! no word in a dictionary.

use std::path::Path;

use index::generation::generation_dir;
use index::{PurgeExtent, Purged};
use tantivy::schema::Value as _;
use tantivy::{Index as Engine, TantivyDocument};

use crate::content::{Content, words, workspace};

/// In every text of the workspace that is erased, lower case, and one word.
const MARKER: &str = "zqerasedword";

/// Where something is found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    files: usize,
    stored: usize,
    terms: usize,
    heads: usize,
}

fn has(bytes: &[u8], marker: &str) -> bool {
    bytes.windows(marker.len()).any(|window| window.eq_ignore_ascii_case(marker.as_bytes()))
}

/// Looks into all files of a generation as they are, and into stored documents, dictionaries and columns of all segments,
/// deleted documents included.
fn look(dir: &Path, marker: &str) -> Found {
    let mut found = Found::default();
    for entry in std::fs::read_dir(dir).unwrap() {
        found.files += usize::from(has(&std::fs::read(entry.unwrap().path()).unwrap(), marker));
    }
    let engine = Engine::open_in_dir(dir).unwrap();
    let reader = engine.reader().unwrap();
    for segment in reader.searcher().segment_readers() {
        let store = segment.get_store_reader(1).unwrap();
        let holds = |stored: &TantivyDocument| {
            stored.field_values().any(|(_, value)| value.as_bytes().is_some_and(|bytes| has(bytes, marker)))
        };
        found.stored += store.iter(None).map(Result::unwrap).filter(holds).count();
        for (field, _) in engine.schema().fields().filter(|(_, entry)| entry.is_indexed()) {
            let inverted = segment.inverted_index(field).unwrap();
            let mut terms = inverted.terms().stream().unwrap();
            while terms.advance() {
                found.terms += usize::from(has(terms.key(), marker));
            }
        }
        for (_, entry) in engine.schema().fields() {
            let Ok(Some(column)) = segment.fast_fields().bytes(entry.name()) else { continue };
            let mut values = column.dictionary().stream().unwrap();
            while values.advance() {
                found.heads += usize::from(has(values.key(), marker));
            }
        }
    }
    found
}

/// Two workspaces in the same segments, one of them full of the marker.
fn two_workspaces() -> Content {
    let mut content = Content::new();
    for at in 0..3 {
        for page in 0..4 {
            let id = format!("page-{at}-{page}");
            let text = format!("{MARKER} number{page} harbour");
            content.put("acme", &format!("{MARKER}-{id}"), &format!("Title {MARKER}"), &[&text, "harbour text"]);
            content.put("globex", &id, "Plan", &["harbour plans", "harbour text"]);
        }
        content.commit();
    }
    content
}

fn erase(content: &mut Content, id: &str) {
    let known = content.index.catalog().get(&workspace(id)).unwrap();
    content.writer.erase_workspace(known.number).unwrap();
    known.write().erase();
    content.commit();
}

#[test]
fn nothing_of_an_erased_workspace_is_left_in_any_file() {
    let mut content = two_workspaces();
    let dir = generation_dir(&content.config.dir, 1);
    erase(&mut content, "acme");
    let found = look(&dir, MARKER);
    assert!(found.stored > 0 && found.terms > 0 && found.heads > 0, "deleting alone leaves everything: {found:?}");
    assert!(content.writer.has_erased_left().unwrap());
    let purged = content.writer.purge(PurgeExtent::Erased, &|| true).unwrap();
    assert_eq!((purged.left, purged.is_held), (0, false));
    assert!(purged.rewritten > 0);
    assert_eq!(look(&dir, MARKER), Found::default());
    assert!(!content.writer.has_erased_left().unwrap());
    assert_eq!(content.found_under(&content.mask("globex"), &words("harbour")).len(), 12);
    assert!(look(&dir, "harbour").stored > 0, "the other workspace is still there");
    let again = content.writer.purge(PurgeExtent::Erased, &|| true).unwrap();
    assert_eq!(again, Purged::default());
}

#[test]
fn a_purge_that_was_stopped_is_gone_on_with_after_a_restart() {
    let mut content = two_workspaces();
    erase(&mut content, "acme");
    let purged = content.writer.purge(PurgeExtent::Erased, &|| false).unwrap();
    assert!(purged.rewritten == 0 && purged.left > 0);
    let content = content.reopened();
    assert!(content.writer.has_erased_left().unwrap());
    assert_eq!(content.writer.purge(PurgeExtent::Erased, &|| true).unwrap().left, 0);
    assert_eq!(look(&generation_dir(&content.config.dir, 1), MARKER), Found::default());
}

#[test]
fn a_search_that_began_before_holds_former_files_and_that_is_said() {
    let mut content = two_workspaces();
    erase(&mut content, "acme");
    let searcher = content.index.searcher();
    assert!(content.writer.purge(PurgeExtent::Erased, &|| true).unwrap().is_held);
    assert_eq!(look(&generation_dir(&content.config.dir, 1), MARKER), Found::default(), "the names are gone");
    drop(searcher);
    assert!(!content.writer.purge(PurgeExtent::Erased, &|| true).unwrap().is_held);
}

#[test]
fn a_rewritten_page_goes_when_everything_deleted_is_purged() {
    let mut content = two_workspaces();
    for at in 0..3 {
        for page in 0..4 {
            content.put("acme", &format!("{MARKER}-page-{at}-{page}"), "Title", &["harbour"]);
        }
    }
    content.commit();
    let dir = generation_dir(&content.config.dir, 1);
    let before = look(&dir, &format!("Title {MARKER}"));
    assert!(before.stored > 0);
    assert_eq!(content.writer.purge(PurgeExtent::Erased, &|| true).unwrap(), Purged::default());
    assert!(content.writer.purge(PurgeExtent::Deleted, &|| true).unwrap().rewritten > 0);
    assert_eq!(look(&dir, &format!("Title {MARKER}")), Found::default());
    assert_eq!(content.found(&words("harbour")).len(), 12);
}
