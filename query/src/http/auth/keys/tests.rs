use super::*;

fn file() -> (tempfile::TempDir, KeyFile) {
    let dir = tempfile::tempdir().unwrap();
    let file = KeyFile::new(dir.path().join("data/keys.json"));
    (dir, file)
}

fn importer() -> NewKey {
    let workspaces = vec![WorkspaceId::new("acme").unwrap()];
    NewKey { name: "importer".into(), scopes: vec![Scope::Ingest], workspaces, ends_at: None }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_key_is_kept_as_its_hash_alone_and_by_its_owner_alone() {
    let (_dir, file) = file();
    let (key, record) = file.create(importer(), at(1)).unwrap();
    assert_eq!(record.hash, blake3::hash(key.as_bytes()).to_hex().as_str());
    assert_eq!(file.read().unwrap(), [record]);
    let written = fs::read_to_string(file.path()).unwrap();
    assert!(!written.contains(key.trim_start_matches(SERVICE_KEY_PREFIX)));
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file.path()).unwrap().permissions()) & 0o777,
        0o600
    );
    let other = file.create(importer(), at(2)).unwrap().0;
    assert!(key != other && key.len() == SERVICE_KEY_PREFIX.len() + 2 * KEY_BYTES);
}

#[test]
fn a_rotated_key_goes_on_until_the_overlap_ends() {
    let (_dir, file) = file();
    let (_, former) = file.create(importer(), at(1)).unwrap();
    let (_, new) = file.rotate(&former.id, None, at(100), at(50)).unwrap();
    let keys = file.read().unwrap();
    assert_eq!((keys[0].ends_at, keys[1].ends_at), (Some(at(100)), None));
    assert_eq!((&new.name, &new.scopes, &new.workspaces), (&former.name, &former.scopes, &former.workspaces));
    assert!(!keys[0].has_ended(at(99)) && keys[0].has_ended(at(100)));
    file.rotate(&former.id, None, at(500), at(60)).unwrap();
    assert_eq!(file.read().unwrap()[0].ends_at, Some(at(100)), "no overlap makes a key last longer");
    assert!(matches!(file.rotate(&former.id, None, at(500), at(100)), Err(KeysError::Unknown { .. })));
    assert_eq!(file.prune(at(101)).unwrap(), 1);
    assert_eq!(file.read().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_a_key_is_refused() {
    let (_dir, file) = file();
    for name in ["", "a b", "schlüssel", &"x".repeat(65)] {
        assert!(matches!(file.create(NewKey { name: name.into(), ..importer() }, at(1)), Err(KeysError::Name)));
    }
    assert!(matches!(file.create(NewKey { scopes: vec![], ..importer() }, at(1)), Err(KeysError::NoScope)));
    assert!(matches!(file.revoke("0", at(1)), Err(KeysError::Unknown { .. })));
    assert!(!file.path().exists());
    let full = Contents { keys: vec![file.create(importer(), at(1)).unwrap().1; KEYS_MAX] };
    write_privately(file.path(), &full).unwrap();
    assert!(matches!(file.create(importer(), at(1)), Err(KeysError::TooMany { .. })));
}

#[test]
fn a_server_sees_what_was_changed_and_believes_no_broken_file() {
    let (_dir, file) = file();
    let keys = KeyRing::new(Vec::new(), Some(Keys::open(file.clone()).unwrap()));
    assert!(keys.is_empty());
    let look = || keys.file.as_ref().unwrap().seen.lock().unwrap().looked -= LOOK_EVERY;
    let (key, record) = file.create(importer(), Timestamp::now()).unwrap();
    let hash = blake3::hash(key.as_bytes());
    look();
    assert_eq!(keys.find(&hash).as_ref(), Some(&record));
    assert_eq!(keys.find(&blake3::hash(b"other")), None);
    file.revoke(&record.id, Timestamp::now()).unwrap();
    look();
    assert_eq!(keys.find(&hash), None);
    let (key, _) = file.create(importer(), Timestamp::now()).unwrap();
    let hash = blake3::hash(key.as_bytes());
    look();
    assert!(keys.find(&hash).is_some());
    fs::write(file.path(), "{\"keys\": [").unwrap();
    look();
    assert_eq!(keys.find(&hash), None);
    assert!(matches!(Keys::open(file), Err(KeysError::Malformed { .. })));
}

/// Too many open files for a moment, and every key was locked out until somebody changed the file.
#[test]
fn keys_come_back_when_the_file_can_be_read_again_and_one_file_in_place_of_another_is_seen() {
    let (_dir, file) = file();
    let (key, record) = file.create(importer(), Timestamp::now()).unwrap();
    let hash = blake3::hash(key.as_bytes());
    let keys = KeyRing::new(Vec::new(), Some(Keys::open(file.clone()).unwrap()));
    let look = || keys.file.as_ref().unwrap().seen.lock().unwrap().looked -= LOOK_EVERY;
    let good = fs::read(file.path()).unwrap();
    let changed = fs::metadata(file.path()).unwrap().modified().unwrap();
    // The same file as far as it can be told apart, once unreadable and once not.
    let put = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(changed + Duration::from_secs(1)).unwrap();
    };
    put(file.path(), &vec![b' '; good.len()]);
    look();
    assert_eq!(keys.find(&hash), None);
    put(file.path(), &good);
    look();
    assert_eq!(keys.find(&hash), Some(record));
    // As long as the former and of the same moment.
    let other = file.path().with_extension("other");
    put(&other, &String::from_utf8(good).unwrap().replace(hash.to_hex().as_str(), &"0".repeat(64)).into_bytes());
    fs::rename(&other, file.path()).unwrap();
    look();
    assert_eq!(keys.find(&hash), None);
}

#[test]
fn keys_of_the_configuration_and_of_the_file_are_one_ring() {
    let (_dir, file) = file();
    let now = Timestamp::now();
    let (made, record) = file.create(importer(), now).unwrap();
    let fixed = "tsk_0123456789abcdef0123456789abcdef";
    let fixed_record = KeyRecord {
        id: "fixed".into(),
        name: "fixed".into(),
        hash: blake3::hash(fixed.as_bytes()).to_hex().to_string(),
        ..record.clone()
    };
    let ring = KeyRing::new(vec![fixed_record.clone()], Some(Keys::open(file.clone()).unwrap()));
    assert_eq!(ring.find(&blake3::hash(made.as_bytes())), Some(record.clone()));
    assert_eq!(ring.find(&blake3::hash(fixed.as_bytes())), Some(fixed_record.clone()));
    assert_eq!(ring.find(&blake3::hash(b"other")), None);
    assert!(!ring.is_empty());
    // The same key in both places is valid as long as one of them says so.
    file.revoke(&record.id, now).unwrap();
    let both = KeyRing::new(vec![record.clone()], Some(Keys::open(file).unwrap()));
    assert_eq!(both.find(&blake3::hash(made.as_bytes())), Some(record));
    assert!(KeyRing::new(Vec::new(), None).is_empty());
}
