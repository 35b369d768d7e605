//! The Notion importer behind the zip: the Markdown, HTML and CSV files of an export, under whatever names.
//!
//! The input is text: each file is a line of `%%%` and its path, then its content. They are zipped and imported twice;
//! what the second import finds, and the passages, must be as for any other source.

#![no_main]

use std::collections::HashSet;
use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fuzz_target!(|text: &str| {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut names = HashSet::new();
    for file in text.split("%%%").skip(1) {
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        // A zip refuses a name that it holds already, or that is too long for its header.
        if name.len() < 1 << 15 && names.insert(name) && zip.start_file(name, options).is_ok() {
            zip.write_all(content.as_bytes()).expect("memory can be written");
        }
    }
    let Ok(bytes) = zip.finish() else { return };
    fuzz::import_notion(&bytes.into_inner());
});
