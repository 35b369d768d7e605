//! Markdown pages to desired pages: front matter, title, blocks, and links that lead to pages.

mod html;
mod inline;
pub mod parse;

use std::collections::{HashMap, HashSet};

use schemas::grant::{Grant, Level, Principal};
use schemas::ids::PageId;
use schemas::page::{PageKind, Parent};

use super::ImportError;
use super::desired::{DesiredAccess, DesiredPage};
use super::document::{Document, Documents, Format};
use super::feed::Feed;
use super::front::{self, Front};
use super::manifest::Rule;
use super::report::Stage;
use super::tree::{Node, Tree};

/// What the manifest, or its absence, says about the pages of a source.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// By the place of the page in the tree.
    pub pages: HashMap<usize, Rule>,
    /// The sharing of pages at the root that nothing else speaks of.
    pub root: Option<DesiredAccess>,
}

impl Rules {
    /// Without a manifest every page at the root is open to all members.
    pub fn open() -> Self {
        let grant = Grant { principal: Principal::Workspace, level: Level::View };
        Self { pages: HashMap::new(), root: Some(DesiredAccess { grants: vec![grant], restricted: false }) }
    }
}

/// Brings all pages of a source to the target, parents first.
pub(super) fn import(
    documents: &mut dyn Documents,
    tree: &Tree,
    rules: &Rules,
    feed: &mut Feed<'_>,
) -> Result<(), ImportError> {
    let total = tree.nodes().len() as u64;
    for (at, node) in tree.nodes().iter().enumerate() {
        feed.progress(Stage::Write, at as u64, Some(total));
        let Some(file) = node.file else {
            let desired = page(tree, at, Document::default(), rules, &|_| None, &mut |_| {});
            feed.page(desired, &node.key)?;
            continue;
        };
        let path = documents.files()[file].path.clone();
        match documents.read(file) {
            Ok(document) => {
                let mut warnings = Vec::new();
                let resolve = |address: &str| {
                    let found = tree.resolve(&path, address).map(|at| tree.nodes()[at].id.clone());
                    found.or_else(|| documents.page_of_address(address))
                };
                let desired = page(tree, at, document, rules, &resolve, &mut |reason| warnings.push(reason));
                for reason in warnings {
                    feed.warn(&path, reason);
                }
                feed.page(desired, &path)?;
            }
            Err(reason) => {
                feed.unread(&path, None, format!("not imported: {reason}"));
                if !feed.page_exists(&node.id)? {
                    feed.page(closed_page(tree, at), &path)?;
                }
            }
        }
    }
    feed.progress(Stage::Write, total, Some(total));
    Ok(())
}

/// What a page should be. `resolve` finds the page that an address leads to, `warn` is told what is wrong.
pub fn page(
    tree: &Tree,
    at: usize,
    document: Document,
    rules: &Rules,
    resolve: &dyn Fn(&str) -> Option<PageId>,
    warn: &mut dyn FnMut(String),
) -> DesiredPage {
    let node = &tree.nodes()[at];
    let rule = rules.pages.get(&at);
    let (front, body) = match document.format {
        Format::Markdown => front::read(&document.text, warn),
        Format::Html => (Front::default(), document.text.as_str()),
    };
    let stored = |address: &str| match resolve(address) {
        Some(page) => format!("/p/{page}"),
        None => address.to_owned(),
    };
    let mut blocks = match document.format {
        Format::Markdown => parse::parse(body, &stored),
        Format::Html => parse::parse_html(body, &stored),
    };
    let known = rule.and_then(|rule| rule.title.clone()).or(front.title);
    let heading = parse::take_title(&mut blocks, known.as_deref());
    let title = known.or(heading).or(document.title).filter(|title| !title.trim().is_empty());
    let mut properties = front.properties;
    for (name, value) in document.properties {
        properties.entry(name).or_insert(value);
    }
    let is_teamspace = rule.is_some_and(|rule| rule.is_teamspace);
    let root_access = || rules.root.clone().filter(|_| node.parent.is_none());
    DesiredPage {
        kind: if is_teamspace { PageKind::Teamspace } else { node.kind },
        icon: front.icon,
        properties,
        created_by: front.created_by.or(document.created_by),
        created_at: front.created_at.or(document.created_at),
        edited_by: front.edited_by.or(document.edited_by),
        edited_at: front.edited_at.or(document.edited_at),
        access: rule.map(|rule| rule.access.clone()).or(front.access).or_else(root_access),
        trashed: front.trashed,
        blocks,
        ..DesiredPage::new(node.id.clone(), parent(tree, node), title.unwrap_or_else(|| node.title()))
    }
}

/// The place of a page whose file cannot be read: below it may hang others, but what it says of access is not known,
/// so it and all that inherits from it are kept from everyone.
fn closed_page(tree: &Tree, at: usize) -> DesiredPage {
    let node = &tree.nodes()[at];
    DesiredPage {
        access: Some(DesiredAccess { grants: Vec::new(), restricted: true }),
        kind: node.kind,
        ..DesiredPage::new(node.id.clone(), parent(tree, node), node.title())
    }
}

pub(super) fn parent(tree: &Tree, node: &Node) -> Parent {
    node.parent.map_or(Parent::Workspace, |at| Parent::Page { id: tree.nodes()[at].id.clone() })
}

/// The ids of all pages of a tree.
pub(super) fn ids(tree: &Tree) -> HashSet<PageId> {
    tree.nodes().iter().map(|node| node.id.clone()).collect()
}
