//! Pages by their ids as sources of a text, held back: each from its beginning, as far as its share of the tokens reaches.
//!
//! The same mask as for a page that is opened. Where one is not there for the caller, none is given.

use access::{Caller, PageOrdinal, Purpose};
use index::analysis::{Language, detect_language};
use schemas::api::Consistency;
use schemas::ids::PageId;
use schemas::record::PageRecord;

use super::Engine;
use super::sources::Gatherer;
use crate::answer::room::Room;
use crate::answer::source::{SourceText, SourceTextBlock};
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::gate::Held;

/// Characters by which the language of a page is told.
const LANGUAGE_CHARS: usize = 2_000;

/// Pages that were read.
pub(crate) struct Opened {
    pub(crate) view: Gatherer,
    /// In the order in which they were asked for.
    pub(crate) held: Vec<Held<SourceText>>,
    /// Whether some was too long to be taken whole.
    pub(crate) cut: bool,
}

impl Engine {
    /// Reads pages under the mask of a caller, as far as there is room.
    ///
    /// [`QueryError::NotFound`] where one is not there, or not for this caller.
    pub(crate) async fn open_pages(
        &self,
        caller: &Caller,
        pages: Vec<PageId>,
        room: Room,
        at_least: Consistency,
        deadline: Deadline,
    ) -> Result<Opened, QueryError> {
        self.wait_for(&caller.workspace, at_least, deadline).await?;
        let view = self.view(caller, Purpose::Read).ok_or(QueryError::NotFound)?;
        let work = move || {
            let mut records: Vec<(PageOrdinal, &PageId, PageRecord)> = Vec::with_capacity(pages.len());
            for page in &pages {
                let ordinal = view.workspace.read().access.ordinal_of(page).ok_or(QueryError::NotFound)?;
                let failed = QueryError::index("read a page");
                let record = view.searcher.page_record(&view.mask, ordinal).map_err(failed)?;
                records.push((ordinal, page, record.ok_or(QueryError::NotFound)?));
            }
            let (mut held, mut cut, mut left) = (Vec::with_capacity(records.len()), false, room.tokens_max);
            let pages = records.len();
            for (at, (ordinal, page, record)) in records.into_iter().enumerate() {
                let around = room.around(view.workspace.read().head(ordinal), &[]);
                let share = (left / (pages - at)).saturating_sub(around);
                let (source, taken, is_cut) = whole(page, &record, share, &*room.count);
                left = left.saturating_sub(taken + around);
                cut |= is_cut;
                held.push(Held::new(ordinal, source));
            }
            Ok(Opened { view: Gatherer::over(view), held, cut })
        };
        self.0.pools.words.run(deadline, work).await
    }
}

/// The blocks of a page from the first on, as far as the tokens reach; how many they take, and whether any were left out.
fn whole(
    page: &PageId,
    record: &PageRecord,
    tokens_max: usize,
    count: &(dyn Fn(&str) -> usize + Send + Sync),
) -> (SourceText, usize, bool) {
    let (mut blocks, mut taken, mut cut): (Vec<SourceTextBlock>, _, _) = (Vec::new(), 0, false);
    for (id, content, _) in record.blocks_in_order(page) {
        let mut text = content.plain_text();
        let version = record.blocks.get(id).and_then(|block| block.content.version());
        let (Some(version), false) = (version, text.trim().is_empty()) else { continue };
        let room = tokens_max.saturating_sub(taken);
        let mut tokens = count(&text);
        if tokens > room {
            cut = true;
            text.truncate(prefix_within(&text, room, tokens, count));
            tokens = count(&text);
        }
        taken += tokens;
        if !text.trim().is_empty() {
            blocks.push(SourceTextBlock {
                block: id.clone(),
                kind: content.kind.clone(),
                version: version.clone(),
                offset: 0,
                text,
                language: Language::English,
                after_gap: false,
                done: content.checked == Some(true),
            });
        }
        if cut {
            break;
        }
    }
    let sample: String =
        blocks.iter().flat_map(|block| block.text.chars().chain(['\n'])).take(LANGUAGE_CHARS).collect();
    let language = detect_language(&sample, Language::English);
    for block in &mut blocks {
        block.language = language;
    }
    (SourceText { blocks, score: 1.0, ..SourceText::default() }, taken, cut)
}

/// How many bytes of a text that has too many tokens fit into the room, at a character border.
fn prefix_within(text: &str, room: usize, tokens: usize, count: &(dyn Fn(&str) -> usize + Send + Sync)) -> usize {
    let mut bytes = text.len() * room / tokens.max(1);
    while bytes > 0 {
        bytes = text.floor_char_boundary(bytes);
        if count(&text[..bytes]) <= room {
            return bytes;
        }
        bytes -= bytes.div_ceil(8);
    }
    0
}
