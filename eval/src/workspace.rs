//! Collections as workspaces: each is built once, through the write path, and kept for the next run.
//!
//! ```text
//! CACHE/NAME-KEY/       KEY: what the documents are, how they become pages, the model, the size of passages
//!   index/              a data folder like any other: `tessera serve --data-dir` takes it
//!   access.toml         the sharing that was drawn
//!   whole.json          written last
//! ```
//!
//! Importing and embedding go on where they were cut short, for the stored records say what is missing. Invariant: a folder
//! without `whole.json` is never taken for a whole one, and one whose recipe is of another release is reindexed first.

mod names;
mod sharing;
mod texts;

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use access::{Caller, Subject};
use anyhow::{Context, bail, ensure};
use index::generation::generation_dir;
use index::{Index, IndexError, OpenMode};
use indexer::engine::reindex::wanted;
use indexer::engine::{Engine, ImportTarget};
use indexer::import::diff::Stamp;
use indexer::import::manifest::Manifest;
use indexer::import::{Options as ImportOptions, Source};
use models::embed::Embedder;
use schemas::ids::{RegionId, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

pub use names::Names;
pub use sharing::{People, Person};

use crate::dataset::{Corpus, Dataset};
use crate::progress::{Step, Watch};

/// Changes with the rules by which documents become pages.
const LAYOUT: u32 = 1;
/// The workspace of a collection without a manifest.
const WORKSPACE: &str = "evaluation";
/// Longest wait for one commit.
const COMMIT_WAIT: Duration = Duration::from_mins(30);
/// Between two looks at how far embedding is.
const EMBED_STEP: Duration = Duration::from_millis(500);
const WHOLE: &str = "whole.json";
const ACCESS: &str = "access.toml";

/// How a workspace is built.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of all that is kept.
    pub cache: PathBuf,
    /// The model; without one, only words are indexed.
    pub embedder: Option<Embedder>,
    /// The write side, apart from its folder.
    pub indexer: indexer::config::Config,
    /// Leave titles out of plain documents: for collections whose titles are in another language than their text.
    pub without_titles: bool,
    /// Make plain documents with one address sections of one page, and rank sections.
    pub sections: bool,
}

/// What is known of an index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexFacts {
    /// Documents of the collection.
    pub documents: u64,
    /// Pages, those of folders included.
    pub pages: u64,
    /// Passages.
    pub passages: u64,
    /// Passages with a vector.
    pub vectors: u64,
    /// Bytes of all files of the index.
    pub bytes_on_disk: u64,
    /// How long building took, in seconds; absent where it was cut short and gone on with.
    pub build_seconds: Option<f64>,
}

/// A collection as a workspace, whole and open. Nobody else can write to it meanwhile.
#[derive(Debug)]
pub struct Built {
    /// The index.
    pub index: Index,
    /// Its write side.
    pub indexer: Engine,
    /// The model of its vectors.
    pub embedder: Option<Embedder>,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its folder.
    pub folder: PathBuf,
    /// Who belongs to it.
    pub people: People,
    /// What hits are called in judgments.
    pub names: Names,
    /// What is known of the index.
    pub facts: IndexFacts,
    /// Says what the index was built of, and by which recipe.
    pub fingerprint: String,
}

/// What `whole.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Whole {
    collection: String,
    facts: IndexFacts,
}

impl Built {
    /// Opens the workspace of a collection; builds it, or what is missing of it, first.
    pub fn open(dataset: &Dataset, options: &Options, watch: Watch<'_>) -> anyhow::Result<Self> {
        let has_sections = !options.sections || matches!(dataset.corpus, Corpus::Texts(_));
        ensure!(has_sections, "the documents of {} are pages, not sections of pages", dataset.name);
        let key = key(dataset, options)?;
        let name: String = dataset.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folder = options.cache.join(format!("{name}-{}", &key[..16]));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let index = open_index(&folder, options)?;
        let config = indexer::config::Config { data_dir: folder.clone(), ..options.indexer.clone() };
        let indexer = Engine::open(index.clone(), options.embedder.clone(), config)
            .with_context(|| format!("cannot open {} for writing", folder.display()))?;
        let mut built = Self {
            index,
            indexer,
            embedder: options.embedder.clone(),
            workspace: WorkspaceId::new(WORKSPACE).expect("letters are an id"),
            folder,
            people: People::drawn(),
            names: Names::default(),
            facts: IndexFacts::default(),
            fingerprint: String::new(),
        };
        let manifest = match &dataset.corpus {
            Corpus::Markdown(root) => Manifest::find(root)?,
            _ => None,
        };
        if let Some(manifest) = &manifest {
            ensure!(!manifest.members.is_empty(), "the manifest of {} names nobody who could ask", dataset.name);
            built.people = People::of_manifest(manifest);
            if let Some(workspace) = &manifest.workspace {
                built.workspace = workspace.clone();
            }
        }
        built.follow_recipe(options, watch)?;
        built.complete(dataset, options, manifest.is_some(), watch)?;
        built.names = if options.sections {
            Names::of_sections(dataset, &built.indexer, &built.workspace)?
        } else {
            Names::of(dataset)?
        };
        let recipe = serde_json::to_string(&built.index.description()).context("cannot describe the index")?;
        built.fingerprint = blake3::hash(format!("{key} {recipe}").as_bytes()).to_hex().to_string();
        Ok(built)
    }

    /// The first of the people, who sees most.
    pub fn asker(&self) -> Caller {
        self.caller(&self.people.persons[0].user)
    }

    /// Someone as a caller of the read side.
    pub fn caller(&self, user: &UserId) -> Caller {
        Caller { workspace: self.workspace.clone(), subject: Subject::User(user.clone()) }
    }

    /// Builds the index anew, texts and vectors taken over, where this release cuts or analyses otherwise.
    fn follow_recipe(&self, options: &Options, watch: Watch<'_>) -> anyhow::Result<()> {
        let wanted = wanted(options.indexer.passage_tokens, self.embedder.as_ref());
        let stored = self.index.description().recipe.unwrap_or_default();
        if (stored.cutter, stored.analysis) == (wanted.cutter, wanted.analysis) {
            return Ok(());
        }
        self.renew(options, watch)
    }

    /// Builds the index anew with every page written once. Statistics of words count what was written over until it is merged
    /// away, so that an index just filled ranks otherwise than the same an hour later.
    fn renew(&self, options: &Options, watch: Watch<'_>) -> anyhow::Result<()> {
        let mut rebuild = self.indexer.rebuild(self.embedder.clone(), options.indexer.passage_tokens)?;
        rebuild.follow(1.0, &mut |progress| {
            watch(Step { what: "reindexing", done: progress.records, total: Some(progress.records_total) });
            ControlFlow::Continue(())
        })?;
        rebuild.switch()?;
        self.embed(watch)
    }

    fn complete(
        &mut self,
        dataset: &Dataset,
        options: &Options,
        has_manifest: bool,
        watch: Watch<'_>,
    ) -> anyhow::Result<()> {
        let path = self.folder.join(WHOLE);
        if path.is_file() {
            let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let whole: Whole = serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged; remove its folder", path.display()))?;
            self.facts = self.counted(whole.facts.documents, whole.facts.build_seconds)?;
            return Ok(());
        }
        let started = Instant::now();
        let was_begun = self.indexer.workspace_status(&self.workspace).is_some();
        self.import(dataset, options, has_manifest, watch)?;
        ensure!(self.indexer.wait_idle(COMMIT_WAIT), "the last commit of {} did not come", dataset.name);
        self.embed(watch)?;
        self.renew(options, watch)?;
        let mut documents = 0;
        dataset.corpus.each(&mut |_| {
            documents += 1;
            Ok(())
        })?;
        let seconds = (!was_begun).then(|| started.elapsed().as_secs_f64());
        self.facts = self.counted(documents, seconds)?;
        let whole = Whole { collection: dataset.name.clone(), facts: self.facts.clone() };
        write_whole(&path, &serde_json::to_vec_pretty(&whole).context("cannot put counts into JSON")?)
    }

    fn import(&self, dataset: &Dataset, options: &Options, has_manifest: bool, watch: Watch<'_>) -> anyhow::Result<()> {
        let mut target = ImportTarget::new(self.indexer.clone(), self.workspace.clone());
        let source = match &dataset.corpus {
            Corpus::Texts(_) => {
                let stamp = Stamp {
                    workspace: self.workspace.clone(),
                    region: RegionId::new(indexer::import::REGION).expect("letters are an id"),
                    source: "tessera/eval".to_owned(),
                    now: jiff::Timestamp::now(),
                };
                let Options { sections, without_titles, .. } = *options;
                texts::import(&dataset.corpus, sections, without_titles, stamp, &mut target, watch)?;
                None
            }
            Corpus::Pages(path) => Some(Source::Pages(path.clone())),
            Corpus::Markdown(path) => Some(Source::Markdown(path.clone())),
            Corpus::Elsewhere => bail!("{} has no documents: ask a server with --server", dataset.name),
        };
        if let Some(source) = source {
            let mut import = ImportOptions::new(self.workspace.clone(), jiff::Timestamp::now());
            if !has_manifest {
                let path = self.folder.join(ACCESS);
                let text = sharing::manifest(&names::tree(&dataset.corpus)?);
                fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
                import.access = Some(path);
            }
            let report = indexer::import::run(&source, &import, &mut target, &mut |progress| {
                watch(Step { what: "importing", done: progress.done, total: progress.total });
            })?;
            if let Some(warning) = report.warnings.first() {
                tracing::warn!(%warning, warnings = report.warning_count(), "not all was imported as it stands");
            }
        }
        ensure!(target.rejected() == 0, "{} events of {} were turned down", target.rejected(), dataset.name);
        Ok(())
    }

    fn embed(&self, watch: Watch<'_>) -> anyhow::Result<()> {
        if self.embedder.is_none() {
            return Ok(());
        }
        let total = self.indexer.status().semantic_pending;
        while !self.indexer.wait_embedded(EMBED_STEP) {
            let status = self.indexer.status();
            ensure!(status.embed_failures_total < 10, "the model fails on passages of {}", self.folder.display());
            let done = total.saturating_sub(status.semantic_pending);
            watch(Step { what: "embedding", done, total: Some(total.max(1)) });
        }
        Ok(())
    }

    fn counted(&self, documents: u64, build_seconds: Option<f64>) -> anyhow::Result<IndexFacts> {
        let status = self.indexer.workspace_status(&self.workspace).context("the workspace is not there")?;
        Ok(IndexFacts {
            documents,
            pages: status.stats.pages,
            passages: status.stats.passages,
            vectors: status.stats.vectors,
            bytes_on_disk: bytes_below(&generation_dir(self.index.dir(), self.index.description().number))?,
            build_seconds,
        })
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        // Nothing is pending in a whole workspace; one that failed goes on from its last commit.
        self.indexer.close();
    }
}

fn open_index(folder: &Path, options: &Options) -> anyhow::Result<Index> {
    let defaults = index::Config::default();
    let config = index::Config {
        dir: folder.join("index"),
        dimensions: options.embedder.as_ref().map_or(defaults.dimensions, Embedder::dimensions),
        ..defaults
    };
    let failed = || format!("cannot open {}", config.dir.display());
    match Index::open(&config, OpenMode::ReadWrite) {
        // It is ours alone and can be built again.
        Err(IndexError::Format { .. }) => {
            fs::remove_file(folder.join(WHOLE)).or_else(absent).with_context(failed)?;
            fs::remove_dir_all(&config.dir).with_context(failed)?;
            Index::open(&config, OpenMode::ReadWrite).with_context(failed)
        }
        opened => opened.with_context(failed),
    }
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Hashes what the workspace is made of: the bytes of the documents, how they become pages, the model, the size of passages.
fn key(dataset: &Dataset, options: &Options) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new_derive_key("tessera 2026 evaluation workspace");
    let model = options.embedder.as_ref().map_or("words alone", |embedder| embedder.model_id().as_str());
    let Options { without_titles, sections, .. } = options;
    let passage_tokens = options.indexer.passage_tokens;
    let rules = format!("{LAYOUT} {} {without_titles} {sections} {passage_tokens} {model}", sharing::RELEASE);
    hasher.update(rules.as_bytes());
    let root = match &dataset.corpus {
        Corpus::Markdown(root) => Some(root.as_path()),
        _ => None,
    };
    for path in dataset.corpus.files()? {
        let failed = || format!("cannot read {}", path.display());
        let mut file = fs::File::open(&path).with_context(failed)?;
        let size = file.metadata().with_context(failed)?.len();
        // The path within a folder of Markdown decides on the tree; elsewhere a file may be called anything.
        let name = root.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(Path::new(""));
        hasher.update(name.as_os_str().as_encoded_bytes()).update(&size.to_le_bytes());
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer).with_context(failed)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let (mut bytes, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let failed = || format!("cannot list {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            // Merges remove files at any time.
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += about.len();
            }
        }
    }
    Ok(bytes)
}

/// Writes a file that is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let beside = path.with_extension("tmp");
    fs::write(&beside, bytes).with_context(failed)?;
    fs::rename(&beside, path).with_context(failed)
}
