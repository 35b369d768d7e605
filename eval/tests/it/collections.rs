//! Real collections, whole: as many documents, queries and judgments as their publishers count, and no judgment of a
//! document that is not there.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use eval::dataset::{ANCHORS, Dataset};

/// Folder, split, collections in the folder, then of each: documents, queries judged, judgments.
const COLLECTIONS: [(&str, &str, usize, usize, usize, usize); 10] = [
    ("scifact", "test", 1, 5183, 300, 339),
    ("scifact", "train", 1, 5183, 809, 919),
    ("cranfield", "test", 1, 1400, 225, 1612),
    ("cranfield", "graded", 1, 1400, 225, 1612),
    ("vaswani", "test", 1, 11_429, 93, 2083),
    ("helpdocs-rag", "test", 1, 232, 100, 192),
    ("xquad", "test", 12, 240, 1190, 1190),
    ("jaquad-ja", "test", 1, 1431, 3939, 3939),
    ("handbook-sourcegraph", ANCHORS, 1, 883, 1133, 1133),
    ("docs-win32", ANCHORS, 1, 48_209, 2500, 2500),
];

#[test]
fn collections_are_read_whole() {
    for (name, split, collections, documents, queries, judgments) in COLLECTIONS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
        if !folder.exists() {
            eprintln!("SKIPPED: {name}; {} is not there", folder.display());
            continue;
        }
        let start = Instant::now();
        let found = Dataset::find(&folder).unwrap();
        assert_eq!(found.len(), collections, "{name}");
        for dataset in found {
            let qrels = dataset.split(split).unwrap();
            let mut judged: HashSet<&String> = qrels.queries().flat_map(|(_, judged)| judged.keys()).collect();
            let count = qrels.queries().map(|(_, judged)| judged.len()).sum::<usize>();
            assert_eq!((qrels.queries().len(), count), (queries, judgments), "{}", dataset.name);
            let mut seen = 0;
            let counted = dataset.corpus.each(&mut |document| {
                judged.remove(&document.id);
                seen += 1;
                Ok(())
            });
            counted.unwrap();
            assert_eq!(seen, documents, "{}", dataset.name);
            assert!(judged.is_empty(), "{} judges what is not there: {judged:?}", dataset.name);
        }
        eprintln!("{name}/{split}: read in {:.1} s", start.elapsed().as_secs_f64());
    }
}
