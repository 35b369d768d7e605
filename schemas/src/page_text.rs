//! The text of a page, read from its stored record without the rest.
//!
//! A record keeps the version of each write of each attribute of each block, and the style of each run of text. Whoever wants the text alone
//! reads a page in a fraction of the time this way. Invariant: the blocks are those of [`PageRecord::blocks_in_order`], with the same text.
//!
//! [`PageRecord::blocks_in_order`]: crate::record::PageRecord::blocks_in_order

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::block::{BlockType, joined};
use crate::ids::{BlockId, PageId};
use crate::record::{BlockPlace, in_reading_order};
use crate::version::Version;

/// The text of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageText {
    blocks: Vec<(BlockPlace, TextBlock)>,
}

/// The text of a block that is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct TextBlock {
    /// The block.
    pub id: BlockId,
    /// What it is.
    pub kind: BlockType,
    /// The version that wrote it.
    pub version: Version,
    /// Whether a to-do is done.
    pub checked: Option<bool>,
    /// How deep it is nested in other blocks.
    pub depth: usize,
    /// Its text, as it is indexed.
    pub text: String,
}

impl PageText {
    /// The blocks in reading order; `page` is this page's id.
    pub fn in_order(self, page: &PageId) -> Vec<TextBlock> {
        let blocks = self.blocks.iter().enumerate().map(|(at, (place, block))| (&block.id, place, at));
        let order: Vec<(usize, usize)> =
            in_reading_order(blocks, page).into_iter().map(|(_, at, depth)| (at, depth)).collect();
        let mut blocks: Vec<Option<TextBlock>> = self.blocks.into_iter().map(|(_, block)| Some(block)).collect();
        order.into_iter().filter_map(|(at, depth)| Some(TextBlock { depth, ..blocks[at].take()? })).collect()
    }
}

impl<'de> Deserialize<'de> for PageText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Record<'a> {
            #[serde(borrow, default)]
            blocks: BTreeMap<BlockId, Block<'a>>,
        }
        #[derive(Deserialize)]
        struct Block<'a> {
            live: Kept<IgnoredAny, bool>,
            place: Kept<IgnoredAny, BlockPlace>,
            #[serde(borrow)]
            content: Kept<Version, Content<'a>>,
        }
        let shown = |(id, block): (BlockId, Block<'_>)| {
            let is_live = block.live.0.is_some_and(|(_, live)| live);
            let ((_, place), (version, content)) = block.place.0.zip(block.content.0).filter(|_| is_live)?;
            let text = content.plain_text();
            let Content { kind, checked, .. } = content;
            Some((place, TextBlock { id, kind, version, checked, depth: 0, text }))
        };
        Ok(Self { blocks: Record::deserialize(deserializer)?.blocks.into_iter().filter_map(shown).collect() })
    }
}

/// The write of a register that holds; none where nothing was written.
struct Kept<V, T>(Option<(V, T)>);

impl<'de, V: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for Kept<V, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Writes<V, T>(PhantomData<(V, T)>);

        impl<'de, V: Deserialize<'de>, T: Deserialize<'de>> Visitor<'de> for Writes<V, T> {
            type Value = Kept<V, T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the writes of an attribute")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut writes: A) -> Result<Self::Value, A::Error> {
                // The one that holds is the first.
                let kept = writes.next_element()?;
                while writes.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Kept(kept))
            }
        }

        deserializer.deserialize_seq(Writes(PhantomData))
    }
}

/// The content of a block as it is stored: what [`BlockContent`](crate::block::BlockContent) writes.
#[derive(Deserialize)]
struct Content<'a> {
    #[serde(rename = "type")]
    kind: BlockType,
    #[serde(borrow, default)]
    rich_text: Vec<Run<'a>>,
    #[serde(borrow, default)]
    cells: Vec<Vec<Run<'a>>>,
    #[serde(borrow, default)]
    caption: Vec<Run<'a>>,
    checked: Option<bool>,
    #[serde(borrow)]
    expression: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Run<'a> {
    #[serde(borrow)]
    plain_text: Cow<'a, str>,
}

impl Content<'_> {
    fn plain_text(&self) -> String {
        let cells: Vec<&[Run<'_>]> = self.cells.iter().map(Vec::as_slice).collect();
        joined(&self.rich_text, &cells, self.expression.as_deref(), &self.caption, |run| &run.plain_text)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::block::{BlockContent, RichText};
    use crate::event::BlockPatch;
    use crate::ids::RegionId;
    use crate::record::PageRecord;
    use crate::version::{Timestamp, VectorClock};
    use proptest::prelude::*;

    fn version(region: u8, counter: u64) -> Arc<Version> {
        let region = RegionId::new(format!("r{region}")).unwrap();
        let timestamp = Timestamp { wall_ms: counter, logical: 0 };
        Arc::new(Version { clock: VectorClock::of(&region, counter), timestamp, region })
    }

    fn content() -> impl Strategy<Value = BlockContent> {
        let kind = prop_oneof![
            Just("paragraph".to_owned()),
            Just("table_row".to_owned()),
            Just("to_do".to_owned()),
            Just("rich_text".to_owned()),
            Just("hologram".to_owned())
        ];
        let runs = || prop::collection::vec("[a\"\\\\\u{1f600}\n ]{0,4}".prop_map(RichText::plain), 0..3);
        let cells = prop::collection::vec(runs(), 0..3);
        let rest = (proptest::option::of(any::<bool>()), proptest::option::of("[x\"é]{0,3}"));
        (kind, runs(), cells, runs(), rest).prop_map(|(kind, rich_text, cells, caption, (checked, expression))| {
            BlockContent {
                rich_text,
                cells,
                caption,
                checked,
                expression,
                url: Some("https://x".to_owned()),
                ..BlockContent::empty(BlockType::from(kind))
            }
        })
    }

    proptest! {
        #[test]
        fn it_is_that_of_the_whole_record(
            writes in prop::collection::vec((0_u8..6, 0_u8..3, 1_u64..4, 0_u8..8, prop::option::of(content())), 0..24),
        ) {
            let page = PageId::new("p").unwrap();
            let mut record = PageRecord::default();
            for (block, region, counter, parent, content) in writes {
                let known = record.blocks.entry(BlockId::new(format!("b{block}")).unwrap()).or_default();
                let version = version(region, counter);
                if parent == 7 {
                    known.delete(&version);
                    continue;
                }
                let page = if parent == 6 { PageId::new("elsewhere").unwrap() } else { page.clone() };
                let parent = (parent < 6).then(|| BlockId::new(format!("b{parent}")).unwrap());
                known.upsert(&version, BlockPatch { page, parent, position: format!("{}", counter % 2), content });
            }
            let whole = record.blocks_in_order(&page).into_iter().map(|(id, content, depth)| TextBlock {
                id: id.clone(),
                kind: content.kind.clone(),
                version: record.blocks[id].content.version().unwrap().clone(),
                checked: content.checked,
                depth,
                text: content.plain_text(),
            });
            let stored = serde_json::to_vec(&record).unwrap();
            let text: PageText = serde_json::from_slice(&stored).unwrap();
            prop_assert_eq!(text.in_order(&page), whole.collect::<Vec<_>>());
        }
    }
}
