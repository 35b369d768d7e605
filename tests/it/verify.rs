//! `tessera verify` as an operator runs it: what it prints, and how it ends.

use std::path::PathBuf;

use crate::{Site, imported};

impl Site {
    /// A file of the index by how its name ends.
    fn index_file(&self, ending: &str) -> PathBuf {
        let generation = self.dir.path().join("data/index/g000001");
        let mut files = std::fs::read_dir(generation).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.to_str().unwrap().ends_with(ending)).unwrap()
    }
}

/// Flips the byte in the middle of a file.
fn damage(path: &PathBuf) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn the_sample_is_clean_and_a_damaged_file_is_named_and_ends_in_failure() {
    let site = imported();
    let report = site.json(&["verify", "--deep", "--repair", "--json"]);
    assert_eq!(report["clean"], true, "{report}");
    assert_eq!((report["pages"].as_u64(), report["repaired"].as_u64()), (Some(85), Some(0)), "{report}");
    let store = site.index_file(".store");
    damage(&store);
    let output = site.run(&["verify"]);
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && printed.contains(store.to_str().unwrap()), "{printed}");
    assert!(said.contains("tessera restore"), "{said}");
}

#[test]
fn an_index_with_damaged_columns_is_refused_by_name() {
    let site = imported();
    let columns = site.index_file(".fast");
    damage(&columns);
    let output = site.run(&["search", "dome", "--workspace", "observatory", "--as", "ada", "--lexical"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(columns.to_str().unwrap()), "{said}");
    assert!(said.contains("tessera restore"), "{said}");
}
