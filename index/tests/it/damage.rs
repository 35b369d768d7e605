//! Damage: whatever byte of whatever file is flipped, the file is named, and nothing panics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use index::verify::{Auditor, Kind, Place};
use index::{Config, Index, IndexError, OpenMode};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::content::Content;

const SEED: u64 = 20_240_911;
/// Bytes flipped in each file, beside the first and the last.
const FLIPS: usize = 12;

/// A closed index with two segments, one of which has deletes; the folder is removed with the first part.
fn small() -> (Content, Config) {
    let mut content = Content::new();
    for at in 0..30 {
        content.put("acme", &format!("p{at}"), "Tide tables", &["High water at noon.", "Low water in the evening."]);
    }
    content.commit();
    content.put("acme", "p3", "Tide tables, new", &["Slack water in between."]);
    content.commit();
    let config = content.config.clone();
    (content, config)
}

/// All files of the index but locks, with what kind each is.
fn files(config: &Config) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![config.dir.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|extension| extension != "lock") {
                let kind =
                    name.rsplit_once('.').filter(|(stem, _)| stem.len() >= 32).map_or(name.as_str(), |(_, kind)| kind);
                files.insert(path.clone(), kind.to_owned());
            }
        }
    }
    files
}

/// What opening or the check of files says; the path that is named, and whether opening said it.
fn named(config: &Config) -> Option<(PathBuf, bool)> {
    match Index::open(config, OpenMode::ReadOnly) {
        Err(error @ (IndexError::FileDamaged { .. } | IndexError::FileMissing(_))) => {
            assert!(error.to_string().contains("tessera restore"), "it says what to do: {error}");
            let (IndexError::FileDamaged { path, .. } | IndexError::FileMissing(path)) = error else { unreachable!() };
            Some((path, true))
        }
        Err(error) => panic!("{error:?}"),
        Ok(index) => {
            let mut found = Vec::new();
            Auditor::new(&index).files(&mut |difference| found.push(difference)).unwrap();
            assert!(found.len() < 2, "{found:?}");
            let difference = found.pop()?;
            assert!(matches!(difference.kind, Kind::FileDamaged | Kind::FileMissing));
            let Place::File(path) = difference.place else { panic!("{}", difference.place) };
            Some((path, false))
        }
    }
}

#[track_caller]
fn check(config: &Config, path: &Path, kind: &str, what: &str) {
    let Some((named, at_opening)) = named(config) else { panic!("{what} of {} is not noticed", path.display()) };
    assert_eq!(named, path, "{what}: the wrong file is named");
    let decides = ["CURRENT", "generation.json", "meta.json", "fast", "del"].contains(&kind);
    assert!(at_opening || !decides, "{what} of {} is noticed too late", path.display());
}

#[test]
fn a_flipped_byte_in_any_file_is_noticed_and_the_file_is_named() {
    println!("seed {SEED}");
    let mut random = SmallRng::seed_from_u64(SEED);
    let (content, config) = small();
    drop((content.writer, content.index));
    assert_eq!(named(&config), None, "the whole index is clean");
    let mut kinds = BTreeMap::new();
    for (path, kind) in files(&config) {
        let whole = std::fs::read(&path).unwrap();
        let mut places = vec![0, whole.len() - 1];
        places.extend((0..FLIPS).map(|_| random.random_range(0..whole.len())));
        for at in places {
            // Both a single bit and any other byte.
            for flip in [1 << random.random_range(0..8), random.random_range(1..=255)] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                std::fs::write(&path, &damaged).unwrap();
                check(&config, &path, &kind, &format!("byte {at} flipped by {flip:#x}"));
            }
        }
        std::fs::write(&path, &whole).unwrap();
        *kinds.entry(kind).or_insert(0) += 1;
    }
    let expected = [
        ".managed.json",
        "CURRENT",
        "del",
        "fast",
        "fieldnorm",
        "generation.json",
        "idx",
        "meta.json",
        "pos",
        "store",
        "term",
        "vectors",
    ];
    assert!(kinds.keys().eq(expected.iter()), "{kinds:?}");
    assert_eq!(named(&config), None);
}

#[test]
fn a_missing_or_shortened_file_is_named() {
    println!("seed {SEED}");
    let mut random = SmallRng::seed_from_u64(SEED);
    let (content, config) = small();
    drop((content.writer, content.index));
    for (path, kind) in files(&config) {
        let whole = std::fs::read(&path).unwrap();
        for len in [0, random.random_range(1..whole.len()), whole.len() - 2] {
            std::fs::write(&path, &whole[..len]).unwrap();
            check(&config, &path, &kind, &format!("cut to {len} bytes"));
        }
        std::fs::remove_file(&path).unwrap();
        check(&config, &path, &kind, "removed");
        std::fs::write(&path, &whole).unwrap();
    }
}
