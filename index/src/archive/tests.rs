//! Files larger than one part, there and back.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;

use super::*;

/// More than three parts of the smallest size, and not a multiple of it.
const FILE_BYTES: usize = (16 << 20) + 12345;

/// Sends a file and fetches it again.
fn check(destination: &str) {
    let options: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("AWS_"))
        .collect();
    let archive = Archive::create(destination, &options, Limits { part_bytes: 0, ..Limits::default() }).unwrap();
    assert_eq!(archive.limits.part_bytes, 5 << 20);
    let mut bytes = vec![0; FILE_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large");
    File::create(&path).unwrap().write_all(&bytes).unwrap();

    let hash = transfer::hash_file(&path).unwrap();
    assert_eq!(hash, blake3::hash(&bytes));
    let object = manifest::object_name(&hash, Timestamp::now());
    let told = Cell::new(0);
    let report = |progress: Progress| told.set(progress.done_bytes);
    let meter = transfer::Meter::new(FILE_BYTES as u64, &report);
    let size = FILE_BYTES as u64;
    archive.runtime.block_on(archive.send(&path, size, &archive.object(&object), &meter)).unwrap();
    assert_eq!(told.get(), size);

    let mut file = ArchivedFile { name: "large".to_owned(), size, blake3: hash.to_hex().to_string(), object };
    let mut fetched = Vec::new();
    let mut take = |piece: &[u8]| {
        fetched.extend_from_slice(piece);
        Ok(())
    };
    archive.runtime.block_on(archive.fetch(&file, &mut take)).unwrap();
    assert!(fetched == bytes);
    file.blake3 = blake3::hash(b"other").to_hex().to_string();
    let refused = archive.runtime.block_on(archive.fetch(&file, |_| Ok(())));
    assert!(matches!(refused, Err(ArchiveError::ObjectDamaged { .. })));
}

#[test]
fn a_file_of_several_parts_goes_to_a_folder_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    check(dir.path().join("made/on the way").to_str().unwrap());
}

#[test]
fn a_file_of_several_parts_goes_to_s3_and_comes_back() {
    let Some(bucket) = std::env::var_os("TESSERA_TEST_S3") else {
        // Past the capture of output: a test that did not run must not look like one that passed.
        let _ = writeln!(std::io::stderr(), "SKIPPED: parts in S3; `make test-services` starts a server and runs them");
        return;
    };
    check(&format!("{}/parts", bucket.into_string().unwrap()));
}

#[test]
fn what_is_no_destination_is_refused() {
    for destination in ["", "ftp://host/x", "file://"] {
        let error = Archive::create(destination, &[], Limits::default()).unwrap_err();
        assert!(matches!(error, ArchiveError::Destination(_) | ArchiveError::File { .. }), "{destination}: {error}");
    }
    assert!(Archive::open("/nowhere/at/all", &[], Limits::default()).is_err());
}
