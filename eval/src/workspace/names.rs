//! What hits are called in judgments: documents by the pages or the blocks that they became.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use indexer::engine::Engine;
use indexer::import::Source;
use indexer::import::document::Documents;
use indexer::import::folder::Folder;
use indexer::import::pages::Pages;
use indexer::import::tree::Tree;
use schemas::api::search::Hit;
use schemas::block::BlockType;
use schemas::ids::{BlockId, PageId, WorkspaceId};

use super::texts;
use crate::dataset::{Corpus, Dataset};

/// What hits are called in judgments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    of_page: HashMap<PageId, String>,
    /// Where documents are sections of pages.
    of_block: HashMap<BlockId, (PageId, String)>,
}

impl Names {
    /// Those of a collection whose documents are pages, however it was imported; page ids for a workspace that was there before.
    pub fn of(dataset: &Dataset) -> anyhow::Result<Self> {
        let mut of_page = HashMap::new();
        match &dataset.corpus {
            Corpus::Texts(_) => dataset.corpus.each(&mut |document| {
                let former = of_page.insert(texts::page_of(&document.id), document.id);
                ensure!(former.is_none(), "two documents become the page of {}", former.unwrap_or_default());
                Ok(())
            })?,
            Corpus::Pages(path) => {
                let pages = indexer::import::page_ids(&Source::Pages(path.clone()))?;
                of_page.extend(pages.into_iter().map(|(path, page)| (page, path)));
            }
            Corpus::Markdown(_) => {
                let tree = tree(&dataset.corpus)?;
                of_page.extend(tree.nodes().iter().map(|node| (node.id.clone(), node.key.clone())));
            }
            Corpus::Elsewhere => {}
        }
        Ok(Self { of_page, of_block: HashMap::new() })
    }

    /// Which block belongs to which document, where documents are sections of pages.
    pub(super) fn of_sections(dataset: &Dataset, indexer: &Engine, workspace: &WorkspaceId) -> anyhow::Result<Self> {
        let mut pages: HashMap<PageId, Vec<String>> = HashMap::new();
        dataset.corpus.each(&mut |document| {
            let page = texts::page_of(texts::address_of(&document.id));
            pages.entry(page).or_default().push(document.id);
            Ok(())
        })?;
        let mut names = Self::default();
        for (page, documents) in pages {
            let record = indexer.page_record(workspace, &page)?.context("a page is missing")?;
            let (mut at, mut named) = (0, None);
            for (block, content, _) in record.blocks_in_order(&page) {
                if content.kind == BlockType::Heading(2) {
                    named = documents.get(at);
                    at += 1;
                }
                names.of_block.extend(named.map(|document| (block.clone(), (page.clone(), document.clone()))));
            }
            ensure!(at == documents.len(), "{page} has {at} sections, not {}", documents.len());
        }
        Ok(names)
    }

    /// The document that a hit is; its page's id where it is none of the collection, as the page of a folder.
    pub fn of_hit(&self, hit: &Hit) -> String {
        self.of_place(&hit.page.id, hit.block.as_ref())
    }

    /// The document that a block of a page belongs to, likewise.
    pub fn of_place(&self, page: &PageId, block: Option<&BlockId>) -> String {
        let section = block.and_then(|block| self.of_block.get(block)).map(|(_, name)| name);
        let named = section.or_else(|| self.of_page.get(page));
        named.cloned().unwrap_or_else(|| page.to_string())
    }

    /// Whether documents are sections of pages.
    pub fn are_sections(&self) -> bool {
        !self.of_block.is_empty()
    }

    /// The documents of each page.
    pub fn documents(&self) -> impl Iterator<Item = (&PageId, &str)> {
        let of_pages = self.of_page.iter().map(|(page, name)| (page, name.as_str()));
        of_pages.chain(self.of_block.values().map(|(page, name)| (page, name.as_str())))
    }
}

/// The page tree of a collection that has one.
pub(super) fn tree(corpus: &Corpus) -> anyhow::Result<Tree> {
    let files = match corpus {
        Corpus::Pages(path) => Pages::open(path, &mut |_, _| {}, &mut |_| {})?.files().to_vec(),
        Corpus::Markdown(path) => Folder::open(path, &mut |_, _| {})?.files().to_vec(),
        Corpus::Texts(_) | Corpus::Elsewhere => Vec::new(),
    };
    Ok(Tree::build(&files, &mut |_, _| {}))
}
