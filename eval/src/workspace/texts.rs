//! Plain documents as pages: each a page of paragraphs under one of a few folders, or a section of one page where several
//! documents are parts of one.
//!
//! A document whose id is `ADDRESS#SECTION` is a section of the page ADDRESS when sections are asked for.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use indexer::engine::ImportTarget;
use indexer::import::Target;
use indexer::import::desired::{DesiredBlock, DesiredMember, DesiredPage};
use indexer::import::diff::{self, Stamp};
use indexer::import::fit::fit;
use schemas::block::{BlockContent, BlockType};
use schemas::event::Event;
use schemas::ids::PageId;
use schemas::page::Parent;

use super::sharing::{self, People};
use crate::dataset::{Corpus, Document};
use crate::progress::{Step, Watch};

/// Folders that documents are dealt into.
const FOLDERS: usize = 16;
/// Events that go to the write side at once.
const BATCH_EVENTS: usize = 2_000;
/// Most text that is held while the sections of pages are gathered, in bytes.
const GATHERED_BYTES_MAX: usize = 256 << 20;

/// The page that a document becomes: its id, where that can be one.
pub(super) fn page_of(document: &str) -> PageId {
    let hashed = || format!("document-{}", &blake3::hash(document.as_bytes()).to_hex()[..32]);
    let plain = PageId::new(document).ok().filter(|id| !id.as_str().starts_with("folder-"));
    plain.unwrap_or_else(|| PageId::new(hashed()).expect("letters, digits and hyphens are an id"))
}

/// The page of a document that is a section of it.
pub(super) fn address_of(document: &str) -> &str {
    document.split_once('#').map_or(document, |(address, _)| address)
}

/// Brings all documents to the workspace. What is there already stays as it is.
pub(super) fn import(
    corpus: &Corpus,
    sections: bool,
    without_titles: bool,
    stamp: Stamp,
    target: &mut ImportTarget,
    watch: Watch<'_>,
) -> anyhow::Result<()> {
    let mut feed = Feed { target, stamp, events: Vec::new() };
    let people = People::drawn();
    for person in &people.persons {
        let current = feed.target.member(&person.user).map_err(failed)?;
        let desired = DesiredMember { user: person.user.clone(), role: person.role };
        feed.events.extend(diff::member(&desired, current.as_ref(), &feed.stamp));
    }
    for group in &people.groups {
        let current = feed.target.group(&group.id).map_err(failed)?;
        feed.events.extend(diff::group(group, current.as_ref(), &feed.stamp));
    }
    for folder in 0..FOLDERS {
        let key = folder_key(folder);
        let mut page = DesiredPage::new(folder_id(folder), Parent::Workspace, "");
        page.access = sharing::access_of(&key, 0, 0);
        feed.page(page)?;
    }
    let mut done = 0;
    let mut put = |feed: &mut Feed<'_>, key: &str, page: DesiredPage| -> anyhow::Result<()> {
        feed.page(page).with_context(|| format!("cannot take in {key}"))?;
        done += 1;
        watch(Step { what: "importing", done, total: None });
        Ok(())
    };
    if !sections {
        corpus.each(&mut |document| {
            let Document { id, title, text } = document;
            let title = if without_titles { String::new() } else { title };
            put(&mut feed, &id, page(&id, title, paragraphs(&text)))
        })?;
        return feed.flush();
    }
    let (mut pages, mut bytes) = (BTreeMap::<String, Vec<Document>>::new(), 0);
    corpus.each(&mut |document| {
        bytes += document.text.len();
        ensure!(bytes <= GATHERED_BYTES_MAX, "there is more text than {GATHERED_BYTES_MAX} bytes to make sections of");
        pages.entry(address_of(&document.id).to_owned()).or_default().push(document);
        Ok(())
    })?;
    for (address, documents) in pages {
        let title = documents.first().filter(|_| !without_titles).map(|first| first.title.clone()).unwrap_or_default();
        let blocks = documents.into_iter().flat_map(|document| {
            let heading = BlockContent::text(BlockType::Heading(2), document.title);
            std::iter::once(DesiredBlock::from(heading)).chain(paragraphs(&document.text))
        });
        put(&mut feed, &address, page(&address, title, blocks.collect()))?;
    }
    feed.flush()
}

fn page(key: &str, title: String, blocks: Vec<DesiredBlock>) -> DesiredPage {
    let folder = blake3::hash(key.as_bytes()).as_bytes()[0] as usize % FOLDERS;
    let mut page = DesiredPage::new(page_of(key), Parent::Page { id: folder_id(folder) }, title);
    page.access = sharing::access_of(&format!("{}/{key}", folder_key(folder)), 1, 0);
    page.blocks = blocks;
    page
}

/// A text at its blank lines.
fn paragraphs(text: &str) -> Vec<DesiredBlock> {
    let (mut blocks, mut lines) = (Vec::new(), Vec::new());
    for line in text.lines().chain([""]) {
        if !line.trim().is_empty() {
            lines.push(line);
        } else if !lines.is_empty() {
            blocks.push(BlockContent::text(BlockType::Paragraph, lines.join("\n").trim()).into());
            lines.clear();
        }
    }
    blocks
}

fn folder_key(folder: usize) -> String {
    format!("folder-{folder:02}")
}

fn folder_id(folder: usize) -> PageId {
    PageId::new(folder_key(folder)).expect("letters, digits and hyphens are an id")
}

/// Events on their way.
struct Feed<'a> {
    target: &'a mut ImportTarget,
    stamp: Stamp,
    events: Vec<Event>,
}

impl Feed<'_> {
    fn page(&mut self, mut desired: DesiredPage) -> anyhow::Result<()> {
        let mut cut = None;
        fit(&mut desired, &mut |reason| cut = Some(reason));
        if let Some(reason) = cut {
            // A document of which a part is missing would be judged for what is not there.
            bail!("it does not fit into a page: {reason}");
        }
        let current = self.target.page(&desired.id).map_err(failed)?;
        self.events.extend(diff::events(&desired, current.as_ref(), &self.stamp));
        if self.events.len() >= BATCH_EVENTS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.target.apply(std::mem::take(&mut self.events)).map_err(failed)
    }
}

fn failed(error: indexer::import::TargetError) -> anyhow::Error {
    anyhow::Error::from_boxed(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_end_at_blank_lines() {
        let texts = |text| paragraphs(text).iter().map(|block| block.content.plain_text()).collect::<Vec<_>>();
        assert_eq!(texts("\n\none\ntwo\n \nthree  \n"), ["one\ntwo", "three"]);
        assert_eq!(texts("  "), Vec::<String>::new());
    }

    #[test]
    fn any_document_id_becomes_a_page_of_its_own() {
        assert_eq!(page_of("4983").as_str(), "4983");
        assert!(page_of("a b").as_str().starts_with("document-"));
        assert!(page_of(&"x".repeat(500)).as_str().starts_with("document-"));
        assert!(page_of("folder-01").as_str().starts_with("document-"));
        assert_eq!(address_of("https://a/b#c"), "https://a/b");
    }
}
