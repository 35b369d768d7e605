//! Indexes of older formats: their records can be read, and are all that is needed to build the index anew.
//!
//! Nothing else of them is used, and nothing in them is changed until the new index is in use. Formats: 1 had its files in
//! the folder itself, without generations.

use std::path::{Path, PathBuf};

use access::{PageOrdinal, WorkspaceNumber};
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tantivy::schema::{Field, Schema};
use tantivy::{ReloadPolicy, Term};

use crate::commit::{CommitPayload, live_docs, stored};
use crate::error::{Doing, IndexError};
use crate::fields::{FORMAT, group_key, member_key, page_record_key};
use crate::generation::{
    CURRENT as CURRENT_FILE, Current, Description, Generation, Recipe, engine_with, generation_dir, remove,
};
use crate::open::{Config, Index, OpenMode, Snapshot};
use crate::records::Head;

/// An index that an older release wrote.
pub struct Older {
    config: Config,
    dir: PathBuf,
    /// The generation that it is; 0 before there were any.
    number: u32,
    snapshot: Snapshot,
    key: Field,
    record: Field,
}

/// One of its records.
#[derive(Debug)]
pub enum OlderRecord {
    /// The workspace itself: comes before everything in it.
    Workspace {
        /// Its id.
        id: WorkspaceId,
        /// True once erased.
        erased: bool,
    },
    /// A group.
    Group(GroupId, GroupRecord),
    /// A person.
    Member(UserId, MemberRecord),
    /// A page with its blocks.
    Page(PageOrdinal, PageId, Box<PageRecord>),
}

/// What is wanted of `meta.json`.
#[derive(Deserialize)]
struct Meta {
    schema: Schema,
}

impl std::fmt::Debug for Older {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Older").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Older {
    /// Whether the index in a folder is of an older format.
    pub fn is_in(shard: &Path) -> Result<bool, IndexError> {
        Ok(Self::place(shard)?.is_some())
    }

    /// The generation and the folder of an older index; generation 0 before there were any.
    fn place(shard: &Path) -> Result<Option<(u32, PathBuf)>, IndexError> {
        let Some(Current { generation, .. }) = Current::read(shard)? else {
            return Ok(shard.join("meta.json").is_file().then(|| (0, shard.to_owned())));
        };
        let format = Description::read(shard, generation)?.map(|described| described.format);
        Ok(format.is_some_and(|format| format < FORMAT).then(|| (generation, generation_dir(shard, generation))))
    }

    /// Opens the index in `config.dir` if it is of an older format.
    pub fn open(config: &Config) -> Result<Option<Self>, IndexError> {
        let Some((number, dir)) = Self::place(&config.dir)? else { return Ok(None) };
        let meta = dir.join("meta.json");
        let bytes = std::fs::read(&meta).map_err(|source| IndexError::File { path: meta.clone(), source })?;
        let Meta { schema } = serde_json::from_slice(&bytes)
            .map_err(|error| IndexError::FileDamaged { path: meta, source: Box::new(error) })?;
        let field = |name: &str| schema.get_field(name).map_err(|_| IndexError::Shape(dir.clone()));
        let (key, record) = (field("key")?, field("record")?);
        let (engine, _) = engine_with(&dir, schema)?;
        let reader = engine.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let snapshot = Snapshot::take_of_any_format(&engine, &reader.doing("open its segments")?, &dir)?;
        Ok(Some(Self { config: config.clone(), dir, number, snapshot, key, record }))
    }

    /// What its last commit said.
    pub fn payload(&self) -> CommitPayload {
        self.snapshot.payload.clone()
    }

    /// Hands over all records, those of workspaces first.
    pub fn for_each<E: From<IndexError>>(
        &self,
        mut take: impl FnMut(WorkspaceNumber, OlderRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let (workspaces, others): (Vec<_>, Vec<_>) =
            self.snapshot.heads()?.into_iter().partition(|(_, head)| matches!(head, Head::Workspace { .. }));
        for (workspace, head) in workspaces.into_iter().chain(others) {
            let record = match head {
                Head::Workspace { workspace: id, erased } => Some(OlderRecord::Workspace { id, erased }),
                Head::Group { group, .. } => {
                    let record = self.record(&group_key(workspace, &group))?;
                    record.map(|record| OlderRecord::Group(group, record))
                }
                Head::Member { user, .. } => {
                    let record = self.record(&member_key(workspace, &user))?;
                    record.map(|record| OlderRecord::Member(user, record))
                }
                Head::Page(head) => {
                    let record = self.record(&page_record_key(workspace, &head.page))?;
                    record.map(|record| OlderRecord::Page(head.ordinal, head.page, Box::new(record)))
                }
            };
            if let Some(record) = record {
                take(workspace, record)?;
            }
        }
        Ok(())
    }

    fn record<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, IndexError> {
        let term = Term::from_field_text(self.key, key);
        let Some(address) = live_docs(&self.snapshot, &term, 1)?.pop() else { return Ok(None) };
        stored(&self.snapshot, self.record, address, "record")
    }

    /// Makes a generation beside it, empty and not in use, to be filled with its records.
    pub fn successor(&self, recipe: &Recipe, dimensions: usize) -> Result<Index, IndexError> {
        let number = self.number + 1;
        // What a try before left half filled.
        remove(&self.config.dir, number)?;
        let description = Description { number, format: FORMAT, dimensions, recipe: Some(recipe.clone()) };
        Generation::create(&self.config.dir, &description)?;
        Index::open_generation(&self.config, OpenMode::ReadWrite, number)
    }

    /// Puts the successor in use and removes this index.
    pub fn give_way(self, successor: &Index) -> Result<(), IndexError> {
        let shard = self.config.dir.clone();
        let generation = successor.description().number;
        Current { generation, previous: None, switched_at: successor.payload().index_seq }.write(&shard)?;
        let (dir, number) = (self.dir.clone(), self.number);
        drop(self);
        if number > 0 {
            return remove(&shard, number);
        }
        let failed = |source| IndexError::Folder { path: dir.clone(), source };
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Beside the older files there are generations, in folders, and the name of the one in use.
            let is_file = entry.file_type().map_err(failed)?.is_file();
            if is_file && entry.file_name() != CURRENT_FILE {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }
}
