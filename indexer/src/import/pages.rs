//! A pages file as a source: JSON lines, one page each, with `path` and `markdown` and, where known, `title`, `created`,
//! `updated`, `author` and `editors`. May be compressed. Other fields are passed over.
//!
//! Read once from start to end: the lines go to a temporary file, and memory holds only paths, ids and places.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use schemas::ids::UserId;
use serde::Deserialize;

use super::document::{Document, Documents, Format, Span, Spill, TEXT_BYTES_MAX};
use super::front;
use super::input::{self, Line, Lines};
use super::tree::{File, clean_path};

/// One line of a pages file.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) path: String,
    pub(super) markdown: String,
    title: Option<String>,
    created: Option<String>,
    updated: Option<String>,
    author: Option<String>,
    #[serde(default)]
    editors: Vec<String>,
}

impl Row {
    /// Reads a line, with its path cleaned. The error says what is wrong, for people.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let mut row: Self = serde_json::from_slice(line).map_err(|error| format!("it is no page: {error}"))?;
        row.path = clean_path(&row.path).ok_or("its path is empty or leads out of the root")?;
        Ok(row)
    }

    pub(super) fn file(&self) -> File {
        let (front, _) = front::read(&self.markdown, &mut |_| {});
        File { path: self.path.clone(), id: front.id, kind: front.kind }
    }

    pub(super) fn into_document(self) -> Document {
        let time = |text: Option<&String>| text.and_then(|text| front::timestamp(text));
        let person = |name: Option<&String>| -> Option<UserId> { front::user_id(name?) };
        Document {
            created_at: time(self.created.as_ref()),
            edited_at: time(self.updated.as_ref()),
            created_by: person(self.author.as_ref().or(self.editors.first())),
            edited_by: person(self.editors.first()),
            text: self.markdown,
            title: self.title,
            format: Format::Markdown,
            properties: Vec::new(),
        }
    }
}

/// The pages of a file.
#[derive(Debug)]
pub struct Pages {
    files: Vec<File>,
    spans: Vec<Span>,
    spill: Spill,
}

impl Pages {
    /// Reads the file through. `warn` is told, by line, of what is no page; `progress` of the number of pages.
    pub fn open(path: &Path, warn: &mut dyn FnMut(u64, String), progress: &mut dyn FnMut(u64)) -> io::Result<Self> {
        let mut lines = Lines::new(input::open(path)?, TEXT_BYTES_MAX);
        let (mut files, mut spans, mut spill) = (Vec::new(), Vec::new(), Spill::new()?);
        let mut paths = HashSet::new();
        loop {
            let number = lines.number + 1;
            let line = match lines.next_line()? {
                None => break,
                Some(Line::TooLong) => {
                    warn(number, format!("it is longer than {TEXT_BYTES_MAX} bytes"));
                    continue;
                }
                Some(Line::Text(line)) => line,
            };
            match Row::read(line) {
                Ok(row) if paths.contains(&row.path) => {
                    warn(number, format!("the path {} stands there twice", row.path));
                }
                Ok(row) => {
                    spans.push(spill.put(line)?);
                    paths.insert(row.path.clone());
                    files.push(row.file());
                    progress(files.len() as u64);
                }
                Err(reason) => warn(number, reason),
            }
        }
        Ok(Self { files, spans, spill })
    }
}

impl Documents for Pages {
    fn files(&self) -> &[File] {
        &self.files
    }

    fn read(&mut self, at: usize) -> Result<Document, String> {
        let line = self.spill.get(self.spans[at]).map_err(|error| error.to_string())?;
        Row::read(&line).map(Row::into_document)
    }
}
