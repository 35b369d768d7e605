//! A workspace's edit history: the pages it began with, then every edit in order, as the events a product would have
//! sent at the time. After it the workspace holds what importing the last state would give it.
//!
//! The base is a pages file. The edits are JSON lines: `time`, `author`, and `changes`, each with `op` (`put`,
//! `delete`, `move`), `path`, `from` and `markdown`; all removals of one edit go before its puts. An edit touches the
//! pages it names, and those whose place in the tree or whose links it changes. Texts lie in a temporary file.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;

use schemas::ids::{PageId, UserId};
use serde::Deserialize;

use super::document::{Document, Documents, Span, Spill};
use super::feed::Feed;
use super::input::{self, Line, Lines};
use super::manifest::Manifest;
use super::markdown::{self, Rules};
use super::pages::Pages;
use super::report::Stage;
use super::tree::{File, Tree, clean_path};
use super::{ImportError, front};

/// Longest edit in bytes of JSON.
const EDIT_BYTES_MAX: usize = 128 << 20;

#[derive(Debug, Deserialize)]
struct Edit {
    time: jiff::Timestamp,
    #[serde(default)]
    author: Option<String>,
    changes: Vec<EditChange>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum EditChange {
    Put { path: String, markdown: String },
    Delete { path: String },
    Move { path: String, from: String, markdown: String },
}

/// A page file at some time of the history.
#[derive(Debug)]
struct Stored {
    file: File,
    span: Span,
    created_by: Option<UserId>,
    created_at: Option<jiff::Timestamp>,
    edited_by: Option<UserId>,
    edited_at: Option<jiff::Timestamp>,
    /// The addresses in it, to notice when one leads elsewhere.
    links: Vec<String>,
}

/// The state of the files while edits are replayed.
struct History<'m> {
    files: BTreeMap<String, Stored>,
    spill: Spill,
    tree: Tree,
    /// The files as the tree knows them.
    tree_files: Vec<File>,
    rules: Rules,
    manifest: Option<&'m Manifest>,
}

/// Replays a history into the target.
pub(super) fn import(
    base: &Path,
    edits: &Path,
    manifest: Option<&Manifest>,
    feed: &mut Feed<'_>,
) -> Result<(), ImportError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| ImportError::Read { path, source }
    };
    let mut lines = Lines::new(input::open(edits).map_err(failed(edits))?, EDIT_BYTES_MAX);
    let name = edits.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut history = History::open(base, manifest, feed)?;
    let mut is_first = true;
    loop {
        let edit = match lines.next_line().map_err(failed(edits))? {
            None => break,
            Some(Line::TooLong) => Err(format!("it is longer than {EDIT_BYTES_MAX} bytes")),
            Some(Line::Text(line)) => {
                serde_json::from_slice::<Edit>(line).map_err(|error| format!("it is no edit: {error}"))
            }
        };
        let number = lines.number;
        match edit {
            Ok(edit) => {
                feed.stamp.now = edit.time;
                if std::mem::take(&mut is_first) {
                    history.write_all(feed)?;
                }
                history.apply(edit, feed, (&name, number))?;
            }
            Err(reason) => feed.unread(&name, Some(number), reason),
        }
        feed.progress(Stage::Write, number, None);
    }
    if is_first {
        history.write_all(feed)?;
    }
    Ok(())
}

impl<'m> History<'m> {
    /// Reads the base.
    fn open(base: &Path, manifest: Option<&'m Manifest>, feed: &mut Feed<'_>) -> Result<Self, ImportError> {
        let failed = |source: io::Error| ImportError::Read { path: base.to_owned(), source };
        let name = base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut warnings = Vec::new();
        let pages = Pages::open(base, &mut |line, reason| warnings.push((line, reason)), &mut |_| {});
        for (line, reason) in warnings {
            feed.unread(&name, Some(line), reason);
        }
        let mut pages = pages.map_err(failed)?;
        let spill = Spill::new().map_err(failed)?;
        let mut history = Self {
            files: BTreeMap::new(),
            spill,
            tree: Tree::default(),
            tree_files: Vec::new(),
            rules: Rules::default(),
            manifest,
        };
        for at in 0..pages.files().len() {
            let path = pages.files()[at].path.clone();
            match pages.read(at) {
                Ok(document) => history.put(path, &document).map_err(failed)?,
                Err(reason) => feed.unread(&path, None, reason),
            }
        }
        history.grow_tree(feed);
        Ok(history)
    }

    /// Keeps a text and what else is known of its file.
    fn put(&mut self, path: String, document: &Document) -> io::Result<()> {
        let (front, body) = front::read(&document.text, &mut |_| {});
        let links = RefCell::new(Vec::new());
        let note = |address: &str| {
            links.borrow_mut().push(address.to_owned());
            address.to_owned()
        };
        markdown::parse::parse(body, &note);
        let stored = Stored {
            file: File { path: path.clone(), id: front.id, kind: front.kind },
            span: self.spill.put(document.text.as_bytes())?,
            created_by: document.created_by.clone(),
            created_at: document.created_at,
            edited_by: document.edited_by.clone(),
            edited_at: document.edited_at,
            links: links.into_inner(),
        };
        self.files.insert(path, stored);
        Ok(())
    }

    fn grow_tree(&mut self, feed: &mut Feed<'_>) {
        self.tree_files = self.files.values().map(|stored| stored.file.clone()).collect();
        self.tree = Tree::build(&self.tree_files, &mut |page, reason| feed.warn(page, reason));
        self.rules = match self.manifest {
            Some(manifest) => Rules { pages: manifest.rules_of_present(&self.tree), root: None },
            None => Rules::open(),
        };
    }

    /// Writes every page.
    fn write_all(&mut self, feed: &mut Feed<'_>) -> Result<(), ImportError> {
        (0..self.tree.nodes().len()).try_for_each(|at| self.write(at, feed))
    }

    /// Writes one page.
    fn write(&mut self, at: usize, feed: &mut Feed<'_>) -> Result<(), ImportError> {
        let Self { files, spill, tree, tree_files, rules, .. } = self;
        let stored = tree.nodes()[at].file.and_then(|file| files.get(&tree_files[file].path));
        let (document, path) = match stored {
            None => (Document::default(), tree.nodes()[at].key.clone()),
            Some(stored) => {
                let failed = |source: io::Error| ImportError::Read { path: stored.file.path.clone().into(), source };
                let bytes = spill.get(stored.span).map_err(failed)?;
                let document = Document {
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                    created_by: stored.created_by.clone(),
                    created_at: stored.created_at,
                    edited_by: stored.edited_by.clone(),
                    edited_at: stored.edited_at,
                    ..Document::default()
                };
                (document, stored.file.path.clone())
            }
        };
        let resolve = |address: &str| tree.resolve(&path, address).map(|at| tree.nodes()[at].id.clone());
        let desired =
            markdown::page(tree, at, document, rules, &resolve, &mut |reason| feed.report.warn(&path, None, reason));
        feed.page(desired, &path)
    }

    /// Replays one edit: changes the files, then writes the pages that look different for it.
    fn apply(&mut self, edit: Edit, feed: &mut Feed<'_>, line: (&str, u64)) -> Result<(), ImportError> {
        let author = edit.author.as_deref().and_then(front::user_id);
        let mut bad_path =
            |path: &str| feed.report.warn(line.0, Some(line.1), format!("no page has the path `{path}`"));
        let mut puts = Vec::new();
        for change in edit.changes {
            let (removed, put) = match change {
                EditChange::Put { path, markdown } => (None, Some((path, markdown))),
                EditChange::Delete { path } => (Some(path), None),
                EditChange::Move { path, from, markdown } => (Some(from), Some((path, markdown))),
            };
            let gone = removed.and_then(|path| {
                let gone = clean_path(&path).and_then(|path| self.files.remove(&path));
                if gone.is_none() {
                    bad_path(&path);
                }
                gone
            });
            match put.map(|(path, markdown)| (clean_path(&path).ok_or(path), markdown)) {
                Some((Ok(path), markdown)) => puts.push((path, markdown, gone)),
                Some((Err(path), _)) => bad_path(&path),
                None => {}
            }
        }
        let mut touched = BTreeSet::new();
        for (path, text, moved) in puts {
            let earlier = moved.as_ref().or_else(|| self.files.get(&path));
            let (created_by, created_at) = match earlier {
                Some(earlier) => (earlier.created_by.clone(), earlier.created_at),
                None => (author.clone(), Some(edit.time)),
            };
            let (edited_by, edited_at) = (author.clone(), Some(edit.time));
            let document = Document { text, created_by, created_at, edited_by, edited_at, ..Document::default() };
            self.put(path.clone(), &document)
                .map_err(|source| ImportError::Read { path: path.clone().into(), source })?;
            touched.insert(path);
        }
        if self.files.values().map(|stored| &stored.file).eq(&self.tree_files) {
            let is_touched = |at: &usize| {
                self.tree.nodes()[*at].file.is_some_and(|file| touched.contains(&self.tree_files[file].path))
            };
            let nodes: Vec<usize> = (0..self.tree.nodes().len()).filter(is_touched).collect();
            return nodes.into_iter().try_for_each(|at| self.write(at, feed));
        }
        let old_tree = std::mem::take(&mut self.tree);
        let old_files = std::mem::take(&mut self.tree_files);
        self.grow_tree(feed);
        for at in self.changed_nodes(&old_tree, &old_files, &touched) {
            self.write(at, feed)?;
        }
        let ids = markdown::ids(&self.tree);
        // Children before what they hung from.
        let gone: Vec<PageId> = old_tree.nodes().iter().rev().map(|node| node.id.clone()).collect();
        gone.iter().filter(|id| !ids.contains(*id)).try_for_each(|id| feed.remove(id))
    }

    /// The pages that a new tree makes different: new ones, those that were put, those that hang elsewhere, and those
    /// with a link that leads elsewhere.
    fn changed_nodes(&self, old_tree: &Tree, old_files: &[File], touched: &BTreeSet<String>) -> Vec<usize> {
        let old: HashMap<&PageId, usize> =
            old_tree.nodes().iter().enumerate().map(|(at, node)| (&node.id, at)).collect();
        let is_changed = |at: usize| {
            let node = &self.tree.nodes()[at];
            let stored = node.file.and_then(|file| self.files.get(&self.tree_files[file].path));
            let Some(&old_at) = old.get(&node.id) else { return true };
            let old_node = &old_tree.nodes()[old_at];
            let old_path = old_node.file.map(|file| &old_files[file].path);
            if old_path != stored.map(|stored| &stored.file.path)
                || old_node.key != node.key
                || old_node.kind != node.kind
                || markdown::parent(old_tree, old_node) != markdown::parent(&self.tree, node)
            {
                return true;
            }
            let Some(stored) = stored else { return false };
            let path = &stored.file.path;
            let leads = |tree: &Tree, link: &str| tree.resolve(path, link).map(|at| tree.nodes()[at].id.clone());
            touched.contains(path) || stored.links.iter().any(|link| leads(old_tree, link) != leads(&self.tree, link))
        };
        (0..self.tree.nodes().len()).filter(|&at| is_changed(at)).collect()
    }
}
