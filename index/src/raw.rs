//! Looking for texts in the files of a folder as they lie on the disk: as they are, unpacked, and in the dictionaries of an index.
//!
//! For whoever must know that nothing of something is left. Stored text is compressed and words share their beginnings in
//! dictionaries, so a plain search of the files proves little. It reads everything and changes nothing; what a process writes meanwhile may be
//! missed. Numbers of vectors are not looked into: they hold no text.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Doing, IndexError};
use crate::generation::{generation_dir, generations};

/// The first bytes of each compressed block.
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Largest block, packed or not.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Bytes of a file in memory, and how far two parts of it overlap.
const PART_BYTES: usize = 16 << 20;
const OVERLAP_BYTES: usize = BLOCK_BYTES_MAX + (64 << 10);

/// How a text was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// In the bytes of a file.
    Plain,
    /// In a compressed block.
    Unpacked,
    /// In a word of a dictionary.
    Dictionary,
}

/// Where a text was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Found {
    /// The file; the folder of a generation for its dictionaries.
    pub path: PathBuf,
    /// How.
    pub how: How,
    /// The text.
    pub text: String,
}

/// Looks for texts in all files of a folder and those below. Capitals of ASCII are not told apart. Each place is told once.
///
/// Cost: reads everything, 16 MiB of it in memory at a time.
pub fn look_for(dir: &Path, texts: &[String]) -> Result<Vec<Found>, IndexError> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| IndexError::Folder { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                look_into(&entry.path(), texts, &mut found)?;
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Looks for texts in the words of every generation of an index, deleted documents included.
pub fn look_for_words(shard: &Path, texts: &[String]) -> Result<Vec<Found>, IndexError> {
    let mut found = Vec::new();
    for number in generations(shard)? {
        let path = generation_dir(shard, number);
        let engine = tantivy::Index::open_in_dir(&path).doing("open a generation")?;
        let schema = engine.schema();
        for segment in engine.searchable_segments().doing("list segments")? {
            let reader = tantivy::SegmentReader::open(&segment).doing("open a segment")?;
            for (field, _) in schema.fields().filter(|(_, entry)| entry.is_indexed()) {
                let inverted = reader.inverted_index(field).doing("open the terms of a segment")?;
                let mut terms = inverted.terms().stream().map_err(tantivy::TantivyError::from).doing("read terms")?;
                while terms.advance() {
                    for text in texts.iter().filter(|text| holds(terms.key(), text)) {
                        found.push(Found { path: path.clone(), how: How::Dictionary, text: text.clone() });
                    }
                }
                found.sort();
                found.dedup();
            }
        }
    }
    Ok(found)
}

fn look_into(path: &Path, texts: &[String], found: &mut Vec<Found>) -> Result<(), IndexError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Merged away meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(IndexError::Folder { path: path.to_owned(), source }),
    };
    let mut part = Vec::new();
    loop {
        let room = (PART_BYTES - part.len()) as u64;
        let read = (&mut file).take(room).read_to_end(&mut part);
        let read = read.map_err(|source| IndexError::Folder { path: path.to_owned(), source })?;
        let mut note = |bytes: &[u8], how| {
            for text in texts.iter().filter(|text| holds(bytes, text)) {
                found.push(Found { path: path.to_owned(), how, text: text.clone() });
            }
        };
        note(&part, How::Plain);
        for at in part.windows(4).enumerate().filter(|(_, window)| *window == ZSTD_MAGIC).map(|(at, _)| at) {
            let Ok(packed) = zstd::zstd_safe::find_frame_compressed_size(&part[at..]) else { continue };
            if let Ok(unpacked) = zstd::bulk::decompress(&part[at..at + packed], BLOCK_BYTES_MAX) {
                note(&unpacked, How::Unpacked);
            }
        }
        found.sort();
        found.dedup();
        if read == 0 || part.len() < PART_BYTES {
            return Ok(());
        }
        part.drain(..part.len() - OVERLAP_BYTES);
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    let Some(first) = text.as_bytes().first() else { return false };
    let starts = bytes.iter().enumerate().filter(|(_, byte)| byte.eq_ignore_ascii_case(first));
    starts.into_iter().any(|(at, _)| {
        bytes.get(at..at + text.len()).is_some_and(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    })
}
