//! Snapshots in a folder: what comes back, what is sent again, what damage and interruptions do.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use index::archive::{Archive, ArchiveError, ArchivedFile, Limits, Manifest, SaveReport, clear_leftovers};
use index::generation::{Current, generation_dir};
use index::records::PageHead;
use index::{CommitPayload, Config, Index, OpenMode};
use jiff::Timestamp;

use crate::content::{Content, mask_in, page, passages, record, words, workspace};

/// An index and a folder of snapshots.
struct Site {
    content: Content,
    dir: tempfile::TempDir,
    archive: Archive,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // One transfer after the other: what was sent before a failure is known.
        let limits = Limits { transfers: 1, ..Limits::default() };
        let archive = Archive::create(dir.path().join("snapshots").to_str().unwrap(), &[], limits).unwrap();
        Self { content: Content::new(), dir, archive }
    }

    /// A site of a few segments, with marks of deleted documents.
    fn filled() -> Self {
        let mut site = Self::new();
        for at in 0..3 {
            for of in 0..4 {
                site.content.put("acme", &format!("p{at}-{of}"), "", &["harbour", &format!("lantern {at}")]);
            }
            site.content.commit();
        }
        site.content.put("acme", "p0-0", "", &["beacon"]);
        site.content.commit();
        site
    }

    fn save(&self) -> SaveReport {
        self.archive.save(self.shard(), Timestamp::now(), "test", &|_| {}).unwrap()
    }

    fn manifest(&self, id: &str) -> Manifest {
        self.archive.find(id).unwrap().1
    }

    fn shard(&self) -> &Path {
        &self.content.config.dir
    }

    fn objects(&self) -> BTreeSet<PathBuf> {
        files_below(&self.dir.path().join("snapshots/objects"))
    }

    /// Restores into a folder of its own and opens it.
    fn restored(&self, id: &str, name: &str) -> Index {
        let shard = self.dir.path().join(name);
        let (id, manifest) = self.archive.find(id).unwrap();
        self.archive.restore(&id, &manifest, &shard, false, &|_| {}).unwrap();
        let config = Config { dir: shard, ..self.content.config.clone() };
        Index::open(&config, OpenMode::ReadWrite).unwrap()
    }
}

fn open(path: &Path) -> Archive {
    Archive::create(path.to_str().unwrap(), &[], Limits::default()).unwrap()
}

fn files_below(dir: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return BTreeSet::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { BTreeSet::from([path]) }).collect()
}

/// What an index says: its commit, the heads of its pages, who is found by a word.
fn told(index: &Index) -> (CommitPayload, Vec<String>, Vec<String>) {
    let known = index.catalog().get(&workspace("acme")).unwrap();
    known.write().access.publish();
    let mut heads: Vec<String> = known.read().heads().map(|head| format!("{head:?}")).collect();
    heads.sort();
    (index.payload(), heads, found(index, "harbour"))
}

fn found(index: &Index, word: &str) -> Vec<String> {
    let mask = mask_in(index, "acme");
    let known = index.catalog().get(&workspace("acme")).unwrap();
    let hits = index.searcher().lexical(&mask, &words(word), 1000).unwrap();
    let state = known.read();
    let pages: BTreeSet<String> = hits.iter().map(|hit| state.head(hit.page).unwrap().page.to_string()).collect();
    pages.into_iter().collect()
}

/// Flips a bit in place; again, and it is as before.
fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let at = at % file.metadata().unwrap().len();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_restored_index_is_the_one_that_was_saved_and_goes_on() {
    let site = Site::filled();
    let saved = site.save();
    assert_eq!((saved.reused_files, saved.index_seq), (0, 4));
    let index = site.restored("latest", "elsewhere");
    assert_eq!(told(&index), told(&site.content.index));
    let writer = index.writer().unwrap();
    let known = index.catalog().get(&workspace("acme")).unwrap();
    let new = record("new", "", &["harbour"], 9);
    let mut head = PageHead::of(&page("new"), known.write().ordinal_for(&page("new")), &new);
    head.grants = vec!["workspace:view".parse().unwrap()];
    known.write().put_head(head.clone());
    writer.put_page(known.number, &head, &new, &passages("new", &["harbour"])).unwrap();
    writer.commit(&CommitPayload { index_seq: 5, ..index.payload() }).unwrap();
    index.reload().unwrap();
    known.write().access.publish();
    assert!(found(&index, "harbour").contains(&"new".to_owned()));
    assert!(!found(&site.content.index, "harbour").contains(&"new".to_owned()), "the saved index is another one");
}

#[test]
fn only_what_is_new_is_sent() {
    let mut site = Site::filled();
    let first = site.save();
    let again = site.save();
    assert_eq!((again.uploaded_files, again.uploaded_bytes), (0, 0), "nothing has changed");
    assert_eq!(again.reused_bytes, first.uploaded_bytes);
    let before = site.objects();
    site.content.put("acme", "p9", "", &["harbour"]);
    site.content.commit();
    let edited = site.save();
    assert!(edited.reused_files > 0 && edited.uploaded_files > 0, "{edited:?}");
    assert_eq!(site.objects().difference(&before).count(), edited.uploaded_files);
    let (old, new) = (site.manifest(&first.id), site.manifest(&edited.id));
    for file in &new.files {
        let same = old.files.iter().find(|old| old.name == file.name && old.blake3 == file.blake3);
        assert!(same.is_none_or(|same| same.object == file.object), "{} was sent again", file.name);
    }
    assert_eq!(
        found(&site.restored(&first.id, "a"), "harbour").len() + 1,
        found(&site.restored("latest", "b"), "harbour").len()
    );
}

#[test]
fn an_interrupted_snapshot_is_none_and_the_next_goes_on_from_it() {
    let site = Site::filled();
    let other = open(&site.dir.path().join("other"));
    other.save(site.shard(), Timestamp::now(), "test", &|_| {}).unwrap();
    let manifest = other.find("latest").unwrap().1;
    // A file where a folder has to be: one object cannot be written, the last that would be alone in its folder.
    let of_folder = |file: &ArchivedFile| file.blake3[..2].to_owned();
    let alone = |file: &&ArchivedFile| manifest.files.iter().filter(|it| of_folder(it) == of_folder(file)).count() == 1;
    let stopped = manifest.files.iter().rev().find(alone).unwrap();
    let in_the_way = site.dir.path().join("snapshots/objects").join(of_folder(stopped));
    std::fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    std::fs::write(&in_the_way, "").unwrap();
    let error = site.archive.save(site.shard(), Timestamp::now(), "test", &|_| {}).unwrap_err();
    assert!(
        matches!(&error, ArchiveError::Store { doing: "write", object, .. } if object.contains(&stopped.blake3)),
        "{error}"
    );
    assert!(site.archive.list().unwrap().is_empty());
    assert!(!site.shard().join(".archive-outgoing").exists(), "nothing is held on to");
    std::fs::remove_file(&in_the_way).unwrap();
    let sent: Vec<String> = site.objects().iter().map(|path| path.display().to_string()).collect();
    let saved = site.save();
    let unsent = manifest.files.iter().filter(|file| !sent.iter().any(|path| path.contains(&file.blake3))).count();
    assert_eq!(saved.uploaded_files, unsent, "what was sent counts");
    assert!(unsent < manifest.files.len());
    assert_eq!(told(&site.restored("latest", "a")), told(&site.content.index));
}

#[test]
fn a_flipped_byte_a_cut_and_a_loss_of_any_object_are_named_by_verify_and_refused_by_restore() {
    let site = Site::filled();
    let id = site.save().id;
    let manifest = site.manifest(&id);
    let verify = || site.archive.verify(std::slice::from_ref(&id), &|_| {}).unwrap();
    assert_eq!(verify().damages, []);
    for (at, object) in site.objects().into_iter().enumerate() {
        let good = std::fs::read(&object).unwrap();
        let name = object.file_name().unwrap().to_str().unwrap();
        let spoil = |how: &str| match how {
            "flip" => flip(&object, at as u64 * 7919),
            "cut" => std::fs::write(&object, &good[..good.len() - 1]).unwrap(),
            _ => std::fs::remove_file(&object).unwrap(),
        };
        for how in ["flip", "cut", "loss"] {
            spoil(how);
            let damages = verify().damages;
            assert!(damages.len() == 1 && damages[0].what.contains(name), "{how} of {name}: {damages:?}");
            assert_eq!(damages[0].snapshots, std::slice::from_ref(&id));
            let target = site.dir.path().join("target");
            let error = site.archive.restore(&id, &manifest, &target, false, &|_| {}).unwrap_err();
            let is_told = match how {
                "loss" => matches!(error, ArchiveError::ObjectMissing { .. }),
                _ => matches!(error, ArchiveError::ObjectDamaged { .. }),
            };
            assert!(is_told && error.to_string().contains(name), "{how} of {name}: {error}");
            assert!(!target.join("CURRENT").exists());
            std::fs::write(&object, &good).unwrap();
        }
    }
    let path = site.dir.path().join(format!("snapshots/snapshots/{id}.json"));
    flip(&path, 100);
    assert!(verify().damages[0].what.contains(&id));
    assert!(matches!(site.archive.find("latest"), Err(ArchiveError::ManifestDamaged(_))));
}

#[test]
fn a_damaged_file_of_the_index_is_refused_and_named() {
    let site = Site::filled();
    let generation = generation_dir(site.shard(), 1);
    let segments = files_below(&generation).into_iter().filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.len() > 33 && name.as_bytes()[32] == b'.'
    });
    let mut tried = 0;
    for path in segments {
        // Near the start, which is content: behind it, the engine notes its own release, which no checksum covers.
        flip(&path, tried % 3);
        let error = site.archive.save(site.shard(), Timestamp::now(), "test", &|_| {}).unwrap_err();
        assert!(matches!(&error, ArchiveError::FileDamaged(found) if *found == path), "{error}");
        flip(&path, tried % 3);
        tried += 1;
    }
    for name in ["meta.json", "generation.json"] {
        flip(&generation.join(name), 40);
        let error = site.archive.save(site.shard(), Timestamp::now(), "test", &|_| {}).unwrap_err();
        let chain = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(chain.contains(name), "{chain}");
        flip(&generation.join(name), 40);
    }
    assert!(tried > 10, "{tried}");
    assert!(site.archive.list().unwrap().is_empty());
    site.save();
}

#[test]
fn every_snapshot_taken_beside_a_busy_writer_is_one_whole_commit() {
    let Site { mut content, dir, archive } = Site::new();
    content.put("acme", "latest", "", &["beacon0"]);
    content.commit();
    let shard = content.config.dir.clone();
    let is_over = AtomicBool::new(false);
    let ids: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each commit adds a page, and rewrites another, so that segments are merged and removed all the time.
            for at in 1..40 {
                content.put("acme", &format!("p{at}"), "", &["harbour"]);
                content.put("acme", "latest", "", &[&format!("beacon{at}")]);
                content.commit();
            }
            is_over.store(true, Ordering::Release);
        });
        let mut ids = Vec::new();
        while !is_over.load(Ordering::Acquire) {
            ids.push(archive.save(&shard, Timestamp::now(), "test", &|_| {}).unwrap().id);
        }
        ids
    });
    assert!(ids.len() > 1, "{} snapshots", ids.len());
    assert_eq!(archive.verify(&ids, &|_| {}).unwrap().damages, []);
    let mut seqs = BTreeSet::new();
    for id in ids {
        let target = dir.path().join(&id);
        let (id, manifest) = archive.find(&id).unwrap();
        archive.restore(&id, &manifest, &target, false, &|_| {}).unwrap();
        let index = Index::open(&Config { dir: target, ..content.config.clone() }, OpenMode::ReadOnly).unwrap();
        let (payload, heads, pages) = told(&index);
        // The first commit has number 1, and one page.
        let at = payload.index_seq - 1;
        assert_eq!((heads.len() as u64, pages.len() as u64), (at + 1, at), "{id}");
        assert_eq!(found(&index, &format!("beacon{at}")), ["latest"], "{id}");
        seqs.insert(payload.index_seq);
    }
    assert!(seqs.len() > 1, "the writer went on meanwhile");
}

#[test]
fn an_index_is_replaced_only_when_told_to_and_when_nobody_writes() {
    let mut site = Site::filled();
    let saved = site.save();
    let manifest = site.manifest(&saved.id);
    let shard = site.shard().to_owned();
    let before = told(&site.content.index);
    site.content.put("acme", "p9", "", &["harbour"]);
    site.content.commit();
    let after = told(&site.content.index);
    let restore = |replace: bool| site.archive.restore(&saved.id, &manifest, &shard, replace, &|_| {});
    assert!(matches!(restore(false), Err(ArchiveError::Occupied(_))));
    assert!(matches!(restore(true), Err(ArchiveError::InUse(_))));
    let Site { content, archive, dir } = site;
    let Content { index, writer, config, .. } = content;
    drop((index, writer));
    // One object is lost: the index stays what it was.
    let lost = &manifest.files[0].object;
    let lost = dir.path().join("snapshots/objects").join(&lost[..2]).join(lost);
    std::fs::rename(&lost, lost.with_extension("away")).unwrap();
    assert!(matches!(
        archive.restore(&saved.id, &manifest, &shard, true, &|_| {}),
        Err(ArchiveError::ObjectMissing { .. })
    ));
    assert_eq!(told(&Index::open(&config, OpenMode::ReadOnly).unwrap()), after);
    std::fs::rename(lost.with_extension("away"), &lost).unwrap();
    let report = archive.restore(&saved.id, &manifest, &shard, true, &|_| {}).unwrap();
    assert_eq!(report.generation, 2);
    assert_eq!(Current::read(&shard).unwrap().unwrap().generation, 2);
    assert!(!generation_dir(&shard, 1).exists(), "the former index is gone");
    let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
    assert_eq!(told(&index), before);
    assert_eq!(index.description().number, 2);
    index.writer().unwrap();
    drop(index);
    // What is damaged does not stand in the way of what replaces it.
    flip(&shard.join("CURRENT"), 20);
    assert!(Index::open(&config, OpenMode::ReadOnly).is_err());
    assert_eq!(archive.restore(&saved.id, &manifest, &shard, true, &|_| {}).unwrap().generation, 3);
    std::fs::remove_file(shard.join("CURRENT")).unwrap();
    archive.restore(&saved.id, &manifest, &shard, true, &|_| {}).unwrap();
    assert_eq!(told(&Index::open(&config, OpenMode::ReadWrite).unwrap()), before);
}

#[test]
fn old_snapshots_go_and_what_they_alone_held_goes_a_day_later() {
    let mut site = Site::filled();
    let mut ids = vec![site.save().id];
    for at in 0..3 {
        site.content.put("acme", &format!("p{at}-0"), "", &[&format!("beacon {at}")]);
        site.content.commit();
        ids.push(site.save().id);
    }
    let now = Timestamp::now();
    let all = site.objects();
    let pruned = site.archive.prune(2, now).unwrap();
    assert_eq!((pruned.retired.as_slice(), pruned.removed_objects), (&ids[..2], 0));
    assert_eq!(site.archive.list().unwrap(), ids[2..]);
    assert_eq!(site.archive.prune(2, now + Duration::from_hours(23)).unwrap().removed_objects, 0);
    let pruned = site.archive.prune(2, now + Duration::from_hours(25)).unwrap();
    let named = |id: &String| site.manifest(id).files.into_iter().map(|file| file.object).collect::<Vec<_>>();
    let named: BTreeSet<String> = ids[2..].iter().flat_map(named).collect();
    let left: BTreeSet<String> =
        site.objects().iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(left, named);
    assert!(pruned.removed_objects > 0 && pruned.removed_objects == all.len() - left.len());
    assert!(files_below(&site.dir.path().join("snapshots/retired")).is_empty());
    assert_eq!(site.archive.verify(&ids[2..], &|_| {}).unwrap().damages, []);
    assert_eq!(told(&site.restored("latest", "a")), told(&site.content.index));
}

#[test]
fn a_snapshot_stays_whole_when_the_one_it_counts_on_is_pruned_meanwhile() {
    let site = Site::filled();
    let base = site.save().id;
    let other = Content::new();
    let now = Timestamp::now();
    let place = site.dir.path().join("snapshots");
    let has_pruned = Cell::new(false);
    let prune_once = |_| {
        if !has_pruned.replace(true) {
            // Two hours pass: somebody else takes a snapshot here, and keeps that alone.
            let pruned = std::thread::scope(|scope| {
                let prune = scope.spawn(|| {
                    let archive = open(&place);
                    archive.save(&other.config.dir, now + Duration::from_hours(2), "test", &|_| {}).unwrap();
                    archive.prune(1, now + Duration::from_hours(2)).unwrap()
                });
                prune.join().unwrap()
            });
            assert_eq!(pruned.retired, std::slice::from_ref(&base));
        }
    };
    let saved = site.archive.save(site.shard(), now + Duration::from_hours(1), "test", &prune_once).unwrap();
    assert!(has_pruned.get() && saved.uploaded_files == 0, "it counted on the pruned one: {saved:?}");
    let pruned = site.archive.prune(2, now + Duration::from_hours(72)).unwrap();
    assert_eq!(pruned.retired, Vec::<String>::new());
    assert_eq!(site.archive.verify(&site.archive.list().unwrap(), &|_| {}).unwrap().damages, []);
}

#[test]
fn one_process_at_a_time_takes_a_snapshot_of_an_index() {
    let site = Site::filled();
    let place = site.dir.path().join("snapshots");
    let second = Cell::new(None);
    let meanwhile = |_| {
        let save = || open(&place).save(site.shard(), Timestamp::now(), "test", &|_| {});
        second.set(Some(std::thread::scope(|scope| scope.spawn(save).join().unwrap())));
        clear_leftovers(site.shard()).unwrap();
    };
    site.archive.save(site.shard(), Timestamp::now(), "test", &meanwhile).unwrap();
    assert!(matches!(second.take(), Some(Err(ArchiveError::Busy(_)))));
    site.save();
}

#[test]
fn what_a_crash_left_is_cleared_away() {
    let site = Site::filled();
    site.save();
    let shard = site.shard();
    let before = files_below(shard);
    for name in [".archive-outgoing", ".archive-incoming", "g000002"] {
        std::fs::create_dir_all(shard.join(name)).unwrap();
        std::fs::write(shard.join(name).join("left"), "x").unwrap();
    }
    // The marks of a restore that came to just before, and to just behind, its last step.
    std::fs::write(shard.join("g000002/.restoring"), "").unwrap();
    std::fs::write(shard.join("g000001/.restoring"), "").unwrap();
    clear_leftovers(shard).unwrap();
    assert_eq!(files_below(shard), before);

    // Killed just before its last step in a folder that was empty: the next one finds it empty again.
    let target = site.dir.path().join("target");
    drop(site.restored("latest", "target"));
    std::fs::remove_file(target.join("CURRENT")).unwrap();
    std::fs::write(target.join("g000001/.restoring"), "").unwrap();
    assert_eq!(told(&site.restored("latest", "target")), told(&site.content.index));
}
