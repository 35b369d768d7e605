//! Where Markdown pages come from: a list of paths, and the text behind each, read one at a time.

use std::fs::File as OsFile;
use std::io::{self, Read, Seek, SeekFrom, Write};

use schemas::ids::{PageId, UserId};
use schemas::page::PropertyValue;

use super::tree::File;

/// Largest text of one page in bytes.
pub const TEXT_BYTES_MAX: usize = 32 << 20;
/// Most bytes that are kept in a temporary file.
pub const SPILL_BYTES_MAX: u64 = 64 << 30;

/// One page as its source has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The text: front matter and Markdown, or HTML.
    pub text: String,
    /// What language the text is in.
    pub format: Format,
    /// A title from beside the text; front matter and a first heading go before it.
    pub title: Option<String>,
    /// Who made it, from beside the text.
    pub created_by: Option<UserId>,
    /// When it was made, from beside the text.
    pub created_at: Option<jiff::Timestamp>,
    /// Who changed it last, from beside the text.
    pub edited_by: Option<UserId>,
    /// When it was changed last, from beside the text.
    pub edited_at: Option<jiff::Timestamp>,
    /// Properties from beside the text.
    pub properties: Vec<(String, PropertyValue)>,
}

/// The language of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Markdown, perhaps with front matter.
    #[default]
    Markdown,
    /// HTML.
    Html,
}

/// A source of Markdown pages.
pub trait Documents {
    /// Its files, in any order.
    fn files(&self) -> &[File];

    /// Reads one of [`Self::files`]; the error says why it cannot be read, for people.
    fn read(&mut self, at: usize) -> Result<Document, String>;

    /// The page that an address names by its id rather than by its path.
    fn page_of_address(&self, _address: &str) -> Option<PageId> {
        None
    }
}

/// Texts put aside in a temporary file, so that memory holds their places only.
#[derive(Debug)]
pub struct Spill {
    file: OsFile,
    end: u64,
}

/// The place of a text in a [`Spill`].
#[derive(Clone, Copy, Debug)]
pub struct Span {
    start: u64,
    len: u32,
}

impl Spill {
    /// Makes an empty one. Its file has no name and goes with it.
    pub fn new() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, end: 0 })
    }

    /// Puts bytes aside, at most 4 GiB at once and [`SPILL_BYTES_MAX`] in all.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<Span> {
        let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if self.end + u64::from(len) > SPILL_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let span = Span { start: self.end, len };
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(bytes)?;
        self.end += u64::from(len);
        Ok(span)
    }

    /// Reads bytes back.
    pub fn get(&mut self, span: Span) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(span.start))?;
        let mut bytes = vec![0; span.len as usize];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
