//! The stated limits of input. A breach is reported with the event's index, the field and the limit, and loses
//! nothing but the event that broke it.

/// Largest event, in bytes of JSON.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// Most events in one batch.
pub const BATCH_EVENTS_MAX: usize = 10_000;
/// Largest batch, in bytes of JSON.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// Most blocks of one page, tombstones not counted.
pub const PAGE_BLOCKS_MAX: usize = 20_000;
/// Most characters of text in one block.
pub const BLOCK_CHARS_MAX: usize = 100_000;
/// Most ancestors of a page; deeper pages are seen by nobody.
pub const TREE_DEPTH_MAX: usize = 100;
/// Most characters of a title.
pub const TITLE_CHARS_MAX: usize = 2_000;
/// Most properties of a page.
pub const PROPERTIES_MAX: usize = 200;
/// Most characters in the text of one property.
pub const PROPERTY_CHARS_MAX: usize = 10_000;
/// Most grants of one page.
pub const GRANTS_MAX: usize = 1_000;
/// Most members and groups named by one group.
pub const GROUP_MEMBERS_MAX: usize = 20_000;
/// Most bytes of a block's position.
pub const POSITION_BYTES_MAX: usize = 256;
/// How far ahead of the receiver's clock a timestamp may be, in milliseconds.
pub const CLOCK_AHEAD_MS_MAX: u64 = 24 * 60 * 60 * 1000;
