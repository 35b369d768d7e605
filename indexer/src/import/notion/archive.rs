//! The zip files of an export, opened against zip bombs and paths that lead elsewhere. Nothing is written to disk under
//! a name from the archive: entries are read one at a time, archives inside an archive go to temporary files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::import::document::TEXT_BYTES_MAX;
use crate::import::tree::clean_path;

/// Most entries of all archives of an export.
pub(super) const ENTRIES_MAX: usize = 500_000;
/// Most bytes that are unpacked in all.
pub(super) const TOTAL_BYTES_MAX: u64 = 32 << 30;
/// An entry above [`RATIO_BYTES_MIN`] that is packed tighter than this is taken for a bomb.
pub(super) const RATIO_MAX: u64 = 250;
/// Entries below this size are harmless at any ratio.
pub(super) const RATIO_BYTES_MIN: u64 = 1 << 20;
/// How many archives may stand inside each other.
const NESTING_MAX: usize = 2;

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    part: usize,
    index: usize,
}

/// All archives of an export.
#[derive(Debug)]
pub(super) struct Archive {
    parts: Vec<ZipArchive<File>>,
    /// Paths of all files, cleaned, in the archive's order.
    pub(super) entries: Vec<(String, Place)>,
    unpacked_bytes: u64,
}

impl Archive {
    /// Opens an archive and the archives in it. `warn` is told of entries that are passed over.
    pub(super) fn open(path: &Path, warn: &mut dyn FnMut(&str, String)) -> Result<Self, ZipError> {
        let mut archive = Self { parts: Vec::new(), entries: Vec::new(), unpacked_bytes: 0 };
        let mut waiting = vec![(File::open(path)?, 1)];
        while let Some((file, nesting)) = waiting.pop() {
            archive.parts.push(ZipArchive::new(file)?);
            let part = archive.parts.len() - 1;
            if archive.entries.len() + archive.parts[part].len() > ENTRIES_MAX {
                return Err(invalid(format!("it holds more than {ENTRIES_MAX} files")));
            }
            for index in 0..archive.parts[part].len() {
                let (name, is_file) = match archive.parts[part].by_index_raw(index) {
                    Ok(entry) => (name_of(entry.name_raw(), entry.name()), entry.is_file()),
                    Err(error) => {
                        warn("", format!("entry {index} of the archive cannot be read: {error}"));
                        continue;
                    }
                };
                let Some(path) = clean_path(&name).filter(|_| !name.starts_with('/')) else {
                    warn(&name.escape_default().to_string(), "its path leads out of the archive; refused".to_owned());
                    continue;
                };
                let is_archive = path.to_ascii_lowercase().ends_with(".zip");
                match (is_file, is_archive) {
                    (true, true) if nesting < NESTING_MAX => match archive.unpack(Place { part, index }) {
                        Ok(file) => waiting.push((file, nesting + 1)),
                        Err(error) => warn(&path, format!("not opened: {error}")),
                    },
                    (true, false) => archive.entries.push((path, Place { part, index })),
                    _ => {}
                }
            }
        }
        Ok(archive)
    }

    /// Reads at most `bytes_max` bytes of an entry, and whether there is more.
    pub(super) fn head(&mut self, place: Place, bytes_max: usize) -> Result<(Vec<u8>, bool), ZipError> {
        let room = TOTAL_BYTES_MAX - self.unpacked_bytes;
        let entry = self.parts[place.part].by_index(place.index)?;
        check_ratio(entry.size(), entry.compressed_size())?;
        let mut bytes = Vec::new();
        let limit = (bytes_max as u64 + 1).min(room);
        entry.take(limit).read_to_end(&mut bytes)?;
        self.unpacked_bytes += bytes.len() as u64;
        if self.unpacked_bytes >= TOTAL_BYTES_MAX {
            return Err(invalid(format!("it unpacks to more than {TOTAL_BYTES_MAX} bytes")));
        }
        let is_more = bytes.len() > bytes_max;
        bytes.truncate(bytes_max);
        Ok((bytes, is_more))
    }

    /// Reads an entry as text. The error says why not, for people.
    pub(super) fn text(&mut self, place: Place) -> Result<String, String> {
        let (bytes, is_more) = self.head(place, TEXT_BYTES_MAX).map_err(|error| error.to_string())?;
        if is_more {
            return Err(format!("it is longer than {TEXT_BYTES_MAX} bytes"));
        }
        String::from_utf8(bytes).map_err(|error| format!("it is not UTF-8 (byte {})", error.utf8_error().valid_up_to()))
    }

    /// Unpacks an archive that is an entry of another into a temporary file.
    fn unpack(&mut self, place: Place) -> Result<File, ZipError> {
        let room = TOTAL_BYTES_MAX - self.unpacked_bytes;
        let entry = self.parts[place.part].by_index(place.index)?;
        check_ratio(entry.size(), entry.compressed_size())?;
        let mut file = tempfile::tempfile()?;
        let copied = io::copy(&mut entry.take(room), &mut file)?;
        self.unpacked_bytes += copied;
        if copied >= room {
            return Err(invalid(format!("it unpacks to more than {TOTAL_BYTES_MAX} bytes")));
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

fn check_ratio(size: u64, packed: u64) -> Result<(), ZipError> {
    if size > RATIO_BYTES_MIN && size / packed.max(1) > RATIO_MAX {
        return Err(invalid(format!("{packed} bytes unpack to {size}, which is refused as a zip bomb")));
    }
    Ok(())
}

fn invalid(reason: String) -> ZipError {
    ZipError::InvalidArchive(reason.into())
}

/// Names are UTF-8 whether or not the archive says so; what is not is read as the old code page.
fn name_of(raw: &[u8], decoded: &str) -> String {
    std::str::from_utf8(raw).unwrap_or(decoded).to_owned()
}
