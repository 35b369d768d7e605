//! Importers: other formats turned into events, the same events that a product would send.
//!
//! A source says what pages should be ([`desired`]), the target says what is stored, and [`diff`] makes the events
//! between the two. So importing again changes nothing, and an import that was cut short goes on. Nothing here writes
//! to the index: events go to a [`Target`]. Memory is bounded by the largest page and the number of pages.
//!
//! Access never grows by mistake: what cannot be read is kept from everyone, and a manifest that does not fit its
//! source stops the import before anything is written.

pub mod afresh;
pub mod desired;
pub mod diff;
pub mod document;
mod feed;
pub mod fit;
pub mod folder;
pub mod front;
mod history;
pub mod input;
pub mod manifest;
pub mod markdown;
mod ndjson;
pub mod notion;
pub mod pages;
pub mod position;
pub mod report;
pub mod tree;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use schemas::event::Event;
use schemas::grant::Role;
use schemas::ids::{GroupId, PageId, RegionId, UserId, WorkspaceId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::Deserialize;
use serde::de::IgnoredAny;

use desired::DesiredMember;
use diff::Stamp;
use document::Documents;
use feed::Feed;
use input::{Line, Lines};
use manifest::{Manifest, ManifestError};
use markdown::Rules;
use report::{Progress, Report, Stage};
use tree::Tree;

/// The region that counts the versions of imports, unless another is asked for.
pub const REGION: &str = "import";

/// What is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder of Markdown files.
    Markdown(PathBuf),
    /// A file of pages: JSON lines with `path` and `markdown`; `.gz` and `.zst` too.
    Pages(PathBuf),
    /// The zip of a Notion export, as "Markdown & CSV" or "HTML".
    Notion(PathBuf),
    /// A file of events: JSON lines, as they go over HTTP; `.gz` and `.zst` too.
    Events(PathBuf),
    /// A file of pages and a file of the edits made to them since: JSON lines with `time`, `author` and `changes`.
    History {
        /// The pages at the beginning.
        base: PathBuf,
        /// The edits, in order.
        edits: PathBuf,
    },
}

impl Source {
    /// Tells what a path is by its name and, for JSON lines, by its first line.
    pub fn detect(path: &Path) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Read { path: path.to_owned(), source };
        let unknown = || ImportError::UnknownSource { path: path.to_owned() };
        if std::fs::metadata(path).map_err(failed)?.is_dir() {
            return Ok(Self::Markdown(path.to_owned()));
        }
        let extension =
            |path: &Path| path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let kind = match extension(path).as_deref() {
            Some("gz" | "zst") => path.file_stem().and_then(|stem| extension(Path::new(stem))),
            kind => kind.map(str::to_owned),
        };
        match kind.as_deref() {
            Some("zip") => return Ok(Self::Notion(path.to_owned())),
            Some("jsonl" | "ndjson" | "json") => {}
            _ => return Err(unknown()),
        }
        let mut lines = Lines::new(input::open(path).map_err(failed)?, document::TEXT_BYTES_MAX);
        let Some(Line::Text(line)) = lines.next_line().map_err(failed)? else { return Err(unknown()) };
        match serde_json::from_slice(line) {
            Ok(FirstLine { specversion: Some(_), .. }) => Ok(Self::Events(path.to_owned())),
            Ok(FirstLine { path: Some(_), markdown: Some(_), .. }) => Ok(Self::Pages(path.to_owned())),
            _ => Err(unknown()),
        }
    }
}

/// What tells events from pages.
#[derive(Deserialize)]
struct FirstLine {
    specversion: Option<IgnoredAny>,
    path: Option<IgnoredAny>,
    markdown: Option<IgnoredAny>,
}

/// How an import is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// The workspace to import into.
    pub workspace: WorkspaceId,
    /// The region that counts the versions of this import. Imports that are pruned need one each.
    pub region: RegionId,
    /// A manifest beside the source; without one, the `workspace.toml` in a folder's root is read.
    pub access: Option<PathBuf>,
    /// People to add, before those of the manifest.
    pub members: Vec<(UserId, Role)>,
    /// When the import happens.
    pub now: jiff::Timestamp,
    /// Delete pages that an earlier import under the same region made and that the source no longer holds.
    pub prune: bool,
}

impl Options {
    /// Plain options: region [`REGION`], the manifest of the source, no pruning.
    pub fn new(workspace: WorkspaceId, now: jiff::Timestamp) -> Self {
        let region = RegionId::new(REGION).expect("letters are an id");
        Self { workspace, region, access: None, members: Vec::new(), now, prune: false }
    }
}

/// Any error of a target.
pub type TargetError = Box<dyn std::error::Error + Send + Sync>;

/// Where events go, and where what is stored is looked up. One workspace.
pub trait Target {
    /// The stored state of a page; `None` when nothing is known of it. Sees everything applied before.
    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, TargetError>;

    /// The stored state of a group.
    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, TargetError>;

    /// The stored state of a person.
    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, TargetError>;

    /// All pages that exist; `None` when they cannot be listed, and then nothing can be pruned.
    fn pages(&self) -> Result<Option<Vec<PageId>>, TargetError> {
        Ok(None)
    }

    /// Takes a batch of events, at most [`schemas::limits::BATCH_EVENTS_MAX`], in order.
    fn apply(&mut self, events: Vec<Event>) -> Result<(), TargetError>;
}

/// Why an import stopped. What was applied before stays, and the next import goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read.
    #[error("could not read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be read, or is not safe to read.
    #[error("could not open the archive {path}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The target failed.
    #[error("could not store what was imported")]
    Target(#[source] TargetError),
    /// Pruning was asked for, but the target cannot list its pages.
    #[error("pages that are gone cannot be pruned, because the target cannot list its pages")]
    CannotPrune,
    /// The file is of no known kind.
    #[error(
        "{path} is no source of pages: a folder of Markdown, a Notion export (.zip), or JSON lines of pages or events \
         (.jsonl or .ndjson, also .gz or .zst)"
    )]
    UnknownSource {
        /// The file.
        path: PathBuf,
    },
}

/// Imports a source. Order: people and groups, then pages, parents first, each with its sharing before its words.
pub fn run(
    source: &Source,
    options: &Options,
    target: &mut dyn Target,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ImportError> {
    let stamp = |kind: &str| Stamp {
        workspace: options.workspace.clone(),
        region: options.region.clone(),
        source: format!("tessera/import/{kind}"),
        now: options.now,
    };
    let read_access = || options.access.as_ref().map(|path| Manifest::read(path)).transpose();
    let access_path = options.access.clone().unwrap_or_default();
    match source {
        Source::Markdown(root) => {
            let mut feed = Feed::new(target, progress, stamp("markdown"));
            let read = |source| ImportError::Read { path: root.clone(), source };
            let warn = &mut |path: &str, reason| feed.unread(path, None, reason);
            let mut folder = folder::Folder::open(root, warn).map_err(read)?;
            let (manifest, path) = match read_access()? {
                Some(manifest) => (Some(manifest), access_path),
                None => (Manifest::find(root)?, root.join(manifest::FILE_NAME)),
            };
            import_documents(&mut folder, manifest.as_ref(), &path, options, feed)
        }
        Source::Pages(path) => {
            let mut feed = Feed::new(target, progress, stamp("pages"));
            let manifest = read_access()?;
            let mut pages = read_pages(path, &mut feed)?;
            import_documents(&mut pages, manifest.as_ref(), &access_path, options, feed)
        }
        Source::Notion(path) => {
            let mut feed = Feed::new(target, progress, stamp("notion"));
            let manifest = read_access()?;
            let warn = &mut |path: &str, reason| feed.unread(path, None, reason);
            let mut export = notion::Export::open(path, warn)
                .map_err(|source| ImportError::Archive { path: path.clone(), source })?;
            import_documents(&mut export, manifest.as_ref(), &access_path, options, feed)
        }
        Source::Events(path) => {
            let mut feed = Feed::new(target, progress, stamp("events"));
            ndjson::import(path, options, &mut feed)?;
            feed.finish()
        }
        Source::History { base, edits } => {
            let mut feed = Feed::new(target, progress, stamp("history"));
            let manifest = read_access()?;
            import_people(manifest.as_ref(), options, &mut feed)?;
            history::import(base, edits, manifest.as_ref(), &mut feed)?;
            feed.finish()
        }
    }
}

/// The id of the page that each file of a source becomes, by its path: for a folder of Markdown or a pages file.
pub fn page_ids(source: &Source) -> Result<BTreeMap<String, PageId>, ImportError> {
    let (path, files) = match source {
        Source::Markdown(root) => {
            (root, folder::Folder::open(root, &mut |_, _| {}).map(|folder| folder.files().to_vec()))
        }
        Source::Pages(path) => {
            (path, pages::Pages::open(path, &mut |_, _| {}, &mut |_| {}).map(|pages| pages.files().to_vec()))
        }
        Source::Notion(path) | Source::Events(path) | Source::History { edits: path, .. } => {
            return Err(ImportError::UnknownSource { path: path.clone() });
        }
    };
    let files = files.map_err(|source| ImportError::Read { path: path.clone(), source })?;
    let tree = Tree::build(&files, &mut |_, _| {});
    let of_files = tree.nodes().iter().filter_map(|node| Some((files[node.file?].path.clone(), node.id.clone())));
    Ok(of_files.collect())
}

fn read_pages(path: &Path, feed: &mut Feed<'_>) -> Result<pages::Pages, ImportError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut warnings = Vec::new();
    let opened = pages::Pages::open(path, &mut |line, reason| warnings.push((line, reason)), &mut |done| {
        feed.progress(Stage::Read, done, None);
    });
    for (line, reason) in warnings {
        feed.unread(&name, Some(line), reason);
    }
    opened.map_err(|source| ImportError::Read { path: path.to_owned(), source })
}

fn import_documents(
    documents: &mut dyn Documents,
    manifest: Option<&Manifest>,
    manifest_path: &Path,
    options: &Options,
    mut feed: Feed<'_>,
) -> Result<Report, ImportError> {
    let tree = Tree::build(documents.files(), &mut |page, reason| feed.report.warn(page, None, reason));
    let rules = match manifest {
        Some(manifest) => Rules { pages: manifest.rules(&tree, manifest_path)?, root: None },
        None => Rules::open(),
    };
    import_people(manifest, options, &mut feed)?;
    markdown::import(documents, &tree, &rules, &mut feed)?;
    if options.prune {
        feed.prune(&markdown::ids(&tree))?;
    }
    feed.finish()
}

/// Members and groups go before all pages, so that no page is ever open to a group that is not known yet.
fn import_people(manifest: Option<&Manifest>, options: &Options, feed: &mut Feed<'_>) -> Result<(), ImportError> {
    for (user, role) in &options.members {
        feed.member(&DesiredMember { user: user.clone(), role: *role })?;
    }
    let Some(manifest) = manifest else {
        feed.report.notes.push("there is no manifest: every page at the root is open to all members".to_owned());
        if options.members.is_empty() {
            feed.report.notes.push("no members were named: until there are some, nobody finds anything".to_owned());
        }
        return Ok(());
    };
    for person in &manifest.members {
        feed.member(&DesiredMember { user: person.user.clone(), role: person.role })?;
    }
    for group in manifest.desired_groups() {
        feed.group(&group)?;
    }
    for stranger in manifest.strangers() {
        feed.warn("", format!("the manifest names {stranger}, who is not listed in it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
