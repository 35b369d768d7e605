//! A folder of Markdown files as a source. Hidden files, links and other kinds of files are passed over.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::document::{Document, Documents, TEXT_BYTES_MAX};
use super::front::{self, FRONT_BYTES_MAX};
use super::tree::{File, is_markdown};

/// Deepest folder that is read.
const FOLDERS_MAX: usize = 128;

/// The Markdown files below a folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: Vec<File>,
}

impl Folder {
    /// Lists the files and reads the beginning of each. `warn` is told, by path, of what is passed over; only a root
    /// that cannot be read is an error.
    pub fn open(root: &Path, warn: &mut dyn FnMut(&str, String)) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut open = vec![(root.to_owned(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = open.pop() {
            let entries = match fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
                Ok(entries) => entries,
                Err(error) if depth == 0 => return Err(error),
                Err(error) => {
                    warn(&prefix, format!("the folder cannot be read: {error}"));
                    continue;
                }
            };
            for entry in entries {
                let name = entry.file_name();
                let Some(name) = name.to_str() else {
                    warn(&format!("{prefix}{}", name.to_string_lossy()), "its name is not UTF-8".to_owned());
                    continue;
                };
                let path = format!("{prefix}{name}");
                match entry.file_type() {
                    _ if name.starts_with('.') => {}
                    Ok(kind) if kind.is_dir() && depth >= FOLDERS_MAX => {
                        warn(&path, format!("folders deeper than {FOLDERS_MAX} are not read"));
                    }
                    Ok(kind) if kind.is_dir() => open.push((entry.path(), format!("{path}/"), depth + 1)),
                    Ok(_) if !is_markdown(name) => {}
                    Ok(kind) if kind.is_file() => {
                        let (id, kind) = head(&entry.path());
                        files.push(File { path, id, kind });
                    }
                    Ok(_) => warn(&path, "it is a link or no plain file, and was not followed".to_owned()),
                    Err(error) => warn(&path, format!("it cannot be read: {error}")),
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root: root.to_owned(), files })
    }
}

/// The id and kind in a file's front matter. What is wrong with it is said when the page itself is read.
fn head(path: &Path) -> (Option<schemas::ids::PageId>, Option<schemas::page::PageKind>) {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FRONT_BYTES_MAX as u64 + 16).read_to_end(&mut bytes));
    if read.is_err() {
        return (None, None);
    }
    let (front, _) = front::read(&String::from_utf8_lossy(&bytes), &mut |_| {});
    (front.id, front.kind)
}

impl Documents for Folder {
    fn files(&self) -> &[File] {
        &self.files
    }

    fn read(&mut self, at: usize) -> Result<Document, String> {
        let file = fs::File::open(self.root.join(&self.files[at].path)).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        file.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(format!("it is longer than {TEXT_BYTES_MAX} bytes"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| format!("it is not UTF-8 (byte {})", error.utf8_error().valid_up_to()))?;
        Ok(Document { text, ..Document::default() })
    }
}
