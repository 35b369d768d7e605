//! Rebuilding: an index of an older format is replaced by one of this format, made from its records.
//!
//! No server runs meanwhile. A crash leaves the older index as it was. Passages get their vectors once the write side is
//! opened over the new index.

use index::IndexError;
use index::catalog::Catalog;
use index::older::{Older, OlderRecord};
use index::passages::PassageWrite;
use index::records::PageHead;
use index::{CommitPayload, Writer};
use models::embed::Embedder;

use crate::engine::cutting::{Cutting, wanted};

/// Passages after which what was written is committed.
const COMMIT_PASSAGES: usize = 20_000;

/// Rebuilds the index in `config.dir` if it is of an older format; gives how many records it had. `on_progress` is told how
/// many are done now and then.
pub fn rebuild_older(
    config: &index::Config,
    embedder: Option<&Embedder>,
    passage_tokens: usize,
    on_progress: &mut dyn FnMut(u64),
) -> Result<Option<u64>, IndexError> {
    let Some(older) = Older::open(config)? else { return Ok(None) };
    // The write side adds the model when it is opened; until then there are no vectors.
    let recipe = index::generation::Recipe {
        model_id: None,
        model: serde_json::Value::Null,
        ..wanted(passage_tokens, embedder)
    };
    let successor = older.successor(&recipe, embedder.map_or(config.dimensions, Embedder::dimensions))?;
    let mut filling = Filling {
        writer: successor.writer()?,
        catalog: successor.catalog().clone(),
        cutting: Cutting::new(recipe, embedder.cloned()),
        records: 0,
        uncommitted: 0,
    };
    older.for_each(|workspace, record| -> Result<(), IndexError> {
        filling.put(workspace, record)?;
        if filling.uncommitted >= COMMIT_PASSAGES {
            filling.commit(&CommitPayload::default())?;
        }
        if filling.records.is_multiple_of(256) {
            on_progress(filling.records);
        }
        Ok(())
    })?;
    filling.commit(&CommitPayload { model_id: None, ..older.payload() })?;
    successor.reload()?;
    let records = filling.records;
    older.give_way(&successor)?;
    on_progress(records);
    Ok(Some(records))
}

struct Filling {
    writer: Writer,
    catalog: Catalog,
    cutting: Cutting,
    records: u64,
    uncommitted: usize,
}

impl Filling {
    fn put(&mut self, number: access::WorkspaceNumber, record: OlderRecord) -> Result<(), IndexError> {
        self.records += 1;
        match record {
            OlderRecord::Workspace { id, erased } => {
                self.catalog.adopt(&id, number);
                if erased {
                    self.writer.erase_workspace(number)?;
                }
            }
            OlderRecord::Group(group, record) => self.writer.put_group(number, &group, &record)?,
            OlderRecord::Member(user, record) => self.writer.put_member(number, &user, &record)?,
            OlderRecord::Page(ordinal, page, record) => {
                let head = PageHead::of(&page, ordinal, &record);
                let passages = self.cutting.passages(&page, &record);
                let writes = passages.into_iter().map(|passage| PassageWrite { passage, vector: None });
                let writes: Vec<PassageWrite> = writes.collect();
                self.writer.put_page(number, &head, &record, &writes)?;
                self.uncommitted += writes.len().max(1);
            }
        }
        Ok(())
    }

    fn commit(&mut self, payload: &CommitPayload) -> Result<(), IndexError> {
        self.uncommitted = 0;
        self.writer.commit(payload)
    }
}
