//! Reading files line by line, compressed or not, with bounded memory.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Largest window of a zstandard file, as a power of two: 64 MiB of memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;

/// Opens a file; `.gz` and `.zst` are unpacked while reading.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let file = fs::File::open(path)?;
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(BufReader::new(file)))),
        Some("zst") => {
            let mut decoder = zstd::Decoder::new(file)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(BufReader::new(decoder))
        }
        _ => Box::new(BufReader::new(file)),
    })
}

/// One line of a file.
#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    /// Its bytes without the line break.
    Text(&'a [u8]),
    /// It is longer than allowed and was passed over.
    TooLong,
}

/// The lines of a file, one in memory at a time.
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    bytes_max: usize,
    /// The number of the line last read, from 1.
    pub number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads lines of at most `bytes_max` bytes.
    pub fn new(reader: R, bytes_max: usize) -> Self {
        Self { reader, buffer: Vec::new(), bytes_max, number: 0 }
    }

    /// The next line that is not empty; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.buffer.clear();
            let limit = self.bytes_max as u64 + 1;
            let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.buffer.len() > self.bytes_max && self.buffer.last() != Some(&b'\n') {
                self.reader.skip_until(b'\n')?;
                return Ok(Some(Line::TooLong));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some(Line::Text(self.buffer.trim_ascii())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_are_counted_and_long_ones_passed_over() {
        let mut lines = Lines::new(&b"one\r\n\nlonger than ten\nten bytes.\n"[..], 10);
        assert_eq!(lines.next_line().unwrap(), Some(Line::Text(b"one")));
        assert_eq!(lines.next_line().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.number, 3);
        assert_eq!(lines.next_line().unwrap(), Some(Line::Text(b"ten bytes.")));
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn compressed_files_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let mut text = String::new();
            open(&path).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"text").unwrap();
        assert_eq!(read("a", b"text"), "text");
        assert_eq!(read("a.gz", &gz.finish().unwrap()), "text");
        assert_eq!(read("a.zst", &zstd::encode_all(&b"text"[..], 3).unwrap()), "text");
    }
}
