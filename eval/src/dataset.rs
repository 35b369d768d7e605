//! Collections as they lie in a folder: documents, queries, judgments by split.
//!
//! Four layouts are known, and nothing is downloaded or written:
//!
//! ```text
//! corpus.jsonl  queries.jsonl  qrels/<split>.tsv                      BEIR: one JSON object with `_id` a line
//! pages.jsonl   anchor-queries/queries.jsonl  anchor-queries/qrels.tsv   pages with Markdown, found by the texts of links
//! NAME/**/*.md  NAME.queries.jsonl  NAME.qrels.tsv                    a folder of Markdown, its queries beside it
//! queries.jsonl  qrels/<split>.tsv                                    queries about a workspace that is there already
//! ```
//!
//! The `.jsonl` files may be `.jsonl.gz` or `.jsonl.zst` (window up to 64 MiB). Queries and judgments are held in memory;
//! documents pass by one at a time. Invariant: ids are unique, and every judged query is there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use indexer::import::document::{Documents, TEXT_BYTES_MAX};
use indexer::import::folder::Folder;
use indexer::import::pages::Pages;
use indexer::import::tree::Tree;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::lines;
use crate::qrels::Qrels;

/// Longest line of a file of queries in bytes.
const QUERY_BYTES_MAX: usize = 1 << 20;
/// Most queries, and most documents, of a collection.
const ROWS_MAX: usize = 10_000_000;
/// The split of queries that are the texts of links.
pub const ANCHORS: &str = "anchors";
/// The split of queries beside a folder of Markdown.
pub const BESIDE: &str = "test";
/// The tag of a query that equals the title of what it looks for.
pub const TITLE: &str = "title";
/// The tag of a query that does not.
pub const NOT_TITLE: &str = "not title";

/// A collection.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its folder's name, below that of the folder it was found in: `scifact`, `xquad/de`.
    pub name: String,
    /// Where its documents are.
    pub corpus: Corpus,
    /// Its queries, by id, judged or not.
    pub queries: BTreeMap<String, Query>,
    /// Its judgments, by split: `test`, `train`, [`ANCHORS`].
    pub splits: BTreeMap<String, Qrels>,
}

/// Where documents are, and what they are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corpus {
    /// A file of documents with plain text.
    Texts(PathBuf),
    /// A file of pages with Markdown, which `indexer::import` takes as it is. Documents are named by their paths.
    Pages(PathBuf),
    /// A folder of Markdown, which `indexer::import` takes as it is. Documents are named by their paths without `.md`, the page
    /// of a folder by its folder.
    Markdown(PathBuf),
    /// A workspace that is there already. Documents are pages, named by their ids.
    Elsewhere,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its id, by which judgments name it.
    pub id: String,
    /// Its title, empty where it has none.
    pub title: String,
    /// Its text: plain, or Markdown where the corpus is one of pages.
    pub text: String,
}

/// A query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What is asked.
    pub text: String,
    /// The language, as two letters, where it is known: from the query's `metadata.language`, or else from the end of the
    /// folder's name, as in `jaquad-ja` and `xquad/de`.
    pub language: Option<String>,
    /// What groups it belongs to: `title` or `not title`, where the collection says whether it equals the title of
    /// what it looks for.
    pub tags: BTreeSet<String>,
    /// The reference answer.
    pub answer: Option<String>,
    /// Documents that hold the query word for word, because it was taken from them.
    pub sources: BTreeSet<String>,
}

#[derive(Deserialize)]
struct DocumentRow {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct QueryRow {
    #[serde(rename = "_id")]
    id: String,
    text: String,
    metadata: Option<QueryMetadata>,
}

#[derive(Default, Deserialize)]
struct QueryMetadata {
    #[serde(alias = "lang")]
    language: Option<String>,
    equals_title: Option<bool>,
    answer: Option<String>,
    #[serde(default)]
    source_pages: BTreeSet<String>,
}

impl Dataset {
    /// Opens a folder: the collection that it is, or those in the folders below it, by name.
    pub fn find(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let name = folder_name(folder);
        if let Some(found) = Self::open(folder, &name)? {
            return Ok(vec![found]);
        }
        let failed = || format!("cannot list {}", folder.display());
        let entries: Result<Vec<_>, _> = std::fs::read_dir(folder).with_context(failed)?.collect();
        let mut below: Vec<PathBuf> = entries.with_context(failed)?.into_iter().map(|entry| entry.path()).collect();
        below.sort();
        let mut found = Vec::new();
        for folder in below.iter().filter(|path| path.is_dir()) {
            found.extend(Self::open(folder, &format!("{name}/{}", folder_name(folder)))?);
        }
        ensure!(!found.is_empty(), "{} is no collection, and neither is a folder in it", folder.display());
        Ok(found)
    }

    /// `None` where there is neither a corpus, nor a file of pages, nor queries with judgments.
    fn open(folder: &Path, name: &str) -> anyhow::Result<Option<Self>> {
        let beside = |ending: &str| folder.with_file_name(format!("{}.{ending}", folder_name(folder)));
        let (corpus, queries, splits) = if let Some(corpus) = json_lines(folder, "corpus") {
            (Corpus::Texts(corpus), json_lines(folder, "queries"), qrels_of_splits(&folder.join("qrels"))?)
        } else if let Some(pages) = json_lines(folder, "pages") {
            let queries = folder.join("anchor-queries");
            let qrels = Qrels::read_beir(&queries.join("qrels.tsv"))?;
            (Corpus::Pages(pages), json_lines(&queries, "queries"), BTreeMap::from([(ANCHORS.to_owned(), qrels)]))
        } else if beside("queries.jsonl").is_file() {
            let qrels = Qrels::read_beir(&beside("qrels.tsv"))?;
            let splits = BTreeMap::from([(BESIDE.to_owned(), qrels)]);
            (Corpus::Markdown(folder.to_owned()), Some(beside("queries.jsonl")), splits)
        } else if let Some(queries) = json_lines(folder, "queries") {
            (Corpus::Elsewhere, Some(queries), qrels_of_splits(&folder.join("qrels"))?)
        } else {
            return Ok(None);
        };
        let Some(path) = queries else {
            bail!("there is no queries.jsonl for {}", folder.display());
        };
        let queries = read_queries(&path, language_of(name).as_deref())?;
        for (split, qrels) in &splits {
            let unknown = qrels.queries().find(|(query, _)| !queries.contains_key(*query));
            if let Some((query, _)) = unknown {
                bail!("{} has no query {query}, which is judged in the split {split}", path.display());
            }
        }
        Ok(Some(Self { name: name.to_owned(), corpus, queries, splits }))
    }

    /// The judgments of a split. The error names those there are.
    pub fn split(&self, split: &str) -> anyhow::Result<&Qrels> {
        let known = || self.splits.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        self.splits.get(split).with_context(|| format!("{} has no split {split}, but {}", self.name, known()))
    }
}

impl Corpus {
    /// Gives each document to `take`, in the order of the file. Fails at the first line that is no document, on an id
    /// that stands there twice, and where `take` does.
    ///
    /// Holds ids in memory, and one document.
    pub fn each(&self, take: &mut dyn FnMut(Document) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self {
            Self::Texts(path) => {
                let mut ids = HashSet::new();
                each_row(path, TEXT_BYTES_MAX, &mut |row: DocumentRow| {
                    ensure!(ids.insert(row.id.clone()), "the document {} stands there twice", row.id);
                    take(Document { id: row.id, title: row.title, text: row.text })
                })
            }
            Self::Pages(path) => each_page(path, take),
            Self::Markdown(path) => each_markdown(path, take),
            Self::Elsewhere => bail!("the documents are not in the folder, but in a workspace"),
        }
    }

    /// The files that the documents are read from, in order; of a folder all that lie in it.
    pub fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        match self {
            Self::Texts(path) | Self::Pages(path) => Ok(vec![path.clone()]),
            Self::Markdown(path) => {
                let (mut files, mut folders) = (Vec::new(), vec![path.clone()]);
                while let Some(folder) = folders.pop() {
                    let failed = || format!("cannot list {}", folder.display());
                    for entry in std::fs::read_dir(&folder).with_context(failed)? {
                        let entry = entry.with_context(failed)?;
                        let kind = entry.file_type().with_context(failed)?;
                        if kind.is_dir() { &mut folders } else { &mut files }.push(entry.path());
                        ensure!(files.len() + folders.len() <= ROWS_MAX, "{} holds too much", path.display());
                    }
                }
                files.sort();
                Ok(files)
            }
            Self::Elsewhere => Ok(Vec::new()),
        }
    }
}

fn each_page(path: &Path, take: &mut dyn FnMut(Document) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let file = path.display();
    let mut wrong = None;
    let mut warn = |line, reason| _ = wrong.get_or_insert_with(|| format!("{file}, line {line}: {reason}"));
    let mut pages = Pages::open(path, &mut warn, &mut |_| {}).with_context(|| format!("cannot read {file}"))?;
    if let Some(wrong) = wrong {
        bail!(wrong);
    }
    for at in 0..pages.files().len() {
        let id = pages.files()[at].path.clone();
        let page = pages.read(at).map_err(anyhow::Error::msg).with_context(|| format!("cannot read {id} of {file}"))?;
        take(Document { id, title: page.title.unwrap_or_default(), text: page.text })?;
    }
    Ok(())
}

fn each_markdown(root: &Path, take: &mut dyn FnMut(Document) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut folder = Folder::open(root, &mut |_, _| {}).with_context(|| format!("cannot read {}", root.display()))?;
    let tree = Tree::build(folder.files(), &mut |_, _| {});
    for node in tree.nodes() {
        let Some(file) = node.file else { continue };
        let page =
            folder.read(file).map_err(anyhow::Error::msg).with_context(|| format!("cannot read {}", node.key))?;
        take(Document { id: node.key.clone(), title: page.title.unwrap_or_default(), text: page.text })?;
    }
    Ok(())
}

/// `qrels/test.tsv` is the split `test`.
fn qrels_of_splits(folder: &Path) -> anyhow::Result<BTreeMap<String, Qrels>> {
    let failed = || format!("cannot list {}", folder.display());
    let mut splits = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            let split = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            splits.insert(split, Qrels::read_beir(&path)?);
        }
    }
    Ok(splits)
}

fn read_queries(path: &Path, language: Option<&str>) -> anyhow::Result<BTreeMap<String, Query>> {
    let mut queries = BTreeMap::new();
    each_row(path, QUERY_BYTES_MAX, &mut |row: QueryRow| {
        let metadata = row.metadata.unwrap_or_default();
        let tag = metadata.equals_title.map(|equals| if equals { TITLE } else { NOT_TITLE });
        let query = Query {
            text: row.text,
            language: metadata.language.or_else(|| language.map(str::to_owned)),
            tags: tag.into_iter().map(str::to_owned).collect(),
            answer: metadata.answer,
            sources: metadata.source_pages,
        };
        ensure!(!queries.contains_key(&row.id), "the query {} stands there twice", row.id);
        queries.insert(row.id, query);
        Ok(())
    })?;
    Ok(queries)
}

fn each_row<Row: DeserializeOwned>(
    path: &Path,
    bytes_max: usize,
    take: &mut dyn FnMut(Row) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut count = 0;
    lines::each(path, bytes_max, &mut |line| {
        count += 1;
        ensure!(count <= ROWS_MAX, "there are more than {ROWS_MAX} rows");
        take(serde_json::from_str(line)?)
    })
}

/// A file of JSON lines by its name without endings, compressed or not.
fn json_lines(folder: &Path, name: &str) -> Option<PathBuf> {
    let with = |ending| folder.join(format!("{name}.jsonl{ending}"));
    ["", ".gz", ".zst"].into_iter().map(with).find(|path| path.is_file())
}

fn folder_name(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The last part of a name, where it is two small letters.
fn language_of(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '-']).next()?;
    let is_language = last.len() == 2 && last.bytes().all(|byte| byte.is_ascii_lowercase());
    is_language.then(|| last.to_owned())
}

#[cfg(test)]
mod tests;
