//! Generations: how an index says what it was built with, and how another takes its place.

use access::PageOrdinal;
use index::generation::{Current, Description, Recipe, generation_dir, generations};
use index::{CommitPayload, Config, Index, IndexError, OpenMode, RecordId};

use super::content::{Content, page};

/// An index of some pages in one workspace, committed.
fn with_pages(pages: usize) -> Content {
    let mut content = Content::new();
    (0..pages).for_each(|at| content.put("acme", &format!("p{at}"), "A page", &["Some text."]));
    content.commit();
    content
}

fn recipe(passage_tokens: usize) -> Recipe {
    Recipe::new(passage_tokens, 1)
}

/// Copies all records of one index into another under the same numbers, with one passage for each page.
fn fill(from: &Content, to: &Index) {
    let (reader, writer) = (from.index.writer().unwrap(), to.writer().unwrap());
    for written in reader.written_since(0).unwrap() {
        match written.record {
            RecordId::Workspace { id, .. } => {
                to.catalog().adopt(&id, written.workspace);
            }
            RecordId::Page(ordinal, page) => {
                let record = reader.page_record(written.workspace, &page).unwrap().unwrap();
                let head = index::records::PageHead::of(&page, ordinal, &record);
                to.catalog().numbered(written.workspace).unwrap().write().put_head(head.clone());
                writer.put_page(written.workspace, &head, &record, &[]).unwrap();
            }
            RecordId::Group(_) | RecordId::Member(_) => {}
        }
    }
    let payload = CommitPayload { index_seq: from.index.payload().index_seq, ..CommitPayload::default() };
    writer.commit(&payload).unwrap();
    to.reload().unwrap();
}

#[test]
fn a_switch_keeps_the_former_generation_and_can_be_taken_back() {
    let content = with_pages(3);
    let config = content.config.clone();
    let seq = content.index.payload().index_seq;
    let building = content.index.begin_generation(&recipe(300), 4).unwrap();
    assert_eq!(building.description().number, 2);
    fill(&content, &building);
    assert_eq!(content.index.description().number, 1, "nothing changes before the switch");
    content.index.switch_to(&building).unwrap();
    drop(building);
    assert_eq!(content.index.description().number, 2);
    assert_eq!(content.index.description().dimensions, 4);
    assert_eq!(
        Current::read(&config.dir).unwrap(),
        Some(Current { generation: 2, previous: Some(1), switched_at: seq })
    );
    let former = content.index.previous_generation().unwrap().unwrap();
    content.index.switch_to(&former).unwrap();
    drop(former);
    assert_eq!(content.index.description().number, 1);
    assert_eq!(Current::read(&config.dir).unwrap().unwrap().previous, Some(2));
    assert_eq!(content.reopened().index.description().number, 1);
}

#[test]
fn what_was_written_after_a_commit_is_known_by_its_number() {
    let content = with_pages(3);
    let writer = content.index.writer().unwrap();
    let seq = content.index.payload().index_seq;
    assert!(writer.written_since(seq).unwrap().is_empty());
    let number = content.number("acme");
    let page = page("p1");
    let record = writer.page_record(number, &page).unwrap().unwrap();
    let head = index::records::PageHead::of(&page, PageOrdinal(1), &record);
    writer.put_record(number, &head, &record).unwrap();
    writer.commit(&CommitPayload { index_seq: seq + 1, ..CommitPayload::default() }).unwrap();
    content.index.reload().unwrap();
    let since: Vec<_> = writer.written_since(seq).unwrap().into_iter().map(|written| written.record).collect();
    assert_eq!(since, [RecordId::Page(PageOrdinal(1), page)]);
    assert_eq!(writer.written_since(0).unwrap().len(), 5, "three pages, their workspace and its member");
}

#[test]
fn an_unfinished_generation_is_gone_on_with_and_others_are_removed() {
    let content = with_pages(1);
    let first = content.index.begin_generation(&recipe(300), 4).unwrap().description().number;
    let again = content.index.begin_generation(&recipe(300), 4).unwrap().description().number;
    assert_eq!(first, again);
    let other = content.index.begin_generation(&recipe(400), 4).unwrap().description().number;
    assert_eq!(generations(&content.config.dir).unwrap(), [1, other]);
    let described = Description::read(&content.config.dir, other).unwrap().unwrap();
    assert_eq!(described.recipe, Some(recipe(400)));
}

#[test]
fn other_formats_and_missing_files_are_refused_by_name() {
    let content = with_pages(1);
    let config = content.config.clone();
    let described = Description::read(&config.dir, 1).unwrap().unwrap();
    let file = generation_dir(&config.dir, 1).join("generation.json");
    for (format, way_out) in [(99, "newer release"), (1, "tessera reindex")] {
        let text = serde_json::to_string_pretty(&Description { format, ..described.clone() }).unwrap();
        std::fs::write(&file, text).unwrap();
        let error = Index::open(&config, OpenMode::ReadWrite).unwrap_err();
        assert!(matches!(error, IndexError::Format { found, .. } if found == format));
        assert!(error.to_string().contains(way_out), "{error}");
    }
    std::fs::write(&file, "{").unwrap();
    let error = Index::open(&config, OpenMode::ReadOnly).unwrap_err();
    assert!(error.to_string().contains("generation.json"), "{error}");
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(Index::open(&config, OpenMode::ReadOnly), Err(IndexError::FileMissing(_))));
    std::fs::write(&file, serde_json::to_string_pretty(&described).unwrap()).unwrap();
    std::fs::remove_file(generation_dir(&config.dir, 1).join("meta.json")).unwrap();
    let error = Index::open(&config, OpenMode::ReadWrite).unwrap_err();
    assert!(error.to_string().contains("meta.json"), "{error}");
    std::fs::remove_file(config.dir.join("CURRENT")).unwrap();
    std::fs::write(generation_dir(&config.dir, 1).join("meta.json"), "{}").unwrap();
    let error = Index::open(&Config { ..config }, OpenMode::ReadWrite).unwrap_err();
    assert!(error.to_string().contains("CURRENT"), "{error}");
}
