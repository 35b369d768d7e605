use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use schemas::api::erasures::ErasureReceipt;

use super::*;
use crate::audit::act::Actor;
use crate::audit::verify::{Wanted, verify};
use crate::audit::{AuditConfig, AuditKey, Erased};

const PATIENCE: Duration = Duration::from_mins(1);

/// Holds something until it was erased often enough.
#[derive(Default)]
struct Shelf {
    left: AtomicU64,
    fails: AtomicU64,
    erased: AtomicU64,
    is_slow: AtomicBool,
}

#[derive(Clone, Default)]
struct FakeStore(Arc<Shelf>);

impl FakeStore {
    fn holding(left: u64) -> Self {
        let store = Self::default();
        store.0.left.store(left, Ordering::SeqCst);
        store
    }
}

impl Store for FakeStore {
    fn erase(&self, _: &Subject) -> Result<bool, StoreError> {
        self.0.erased.fetch_add(1, Ordering::SeqCst);
        if self.0.is_slow.load(Ordering::SeqCst) {
            return Ok(false);
        }
        if self.0.fails.load(Ordering::SeqCst) > 0 {
            self.0.fails.fetch_sub(1, Ordering::SeqCst);
            return Err("the disk is full".into());
        }
        let left = self.0.left.load(Ordering::SeqCst);
        self.0.left.store(left.saturating_sub(1), Ordering::SeqCst);
        Ok(true)
    }

    fn look(&self, _: &Subject) -> Result<ErasureCheck, StoreError> {
        let left = self.0.left.load(Ordering::SeqCst);
        Ok(ErasureCheck { store: "shelf".into(), present: true, looked_for: "things".into(), left, kept: Vec::new() })
    }
}

struct Nobody;

impl Erased for Nobody {
    fn workspace(&self, _: &WorkspaceId) -> bool {
        false
    }

    fn person(&self, _: &WorkspaceId, _: &UserId) -> bool {
        false
    }

    fn fingerprint(&self) -> [u8; 32] {
        [0; 32]
    }
}

fn page(id: &str) -> Subject {
    Subject::Page(WorkspaceId::new("acme").unwrap(), PageId::new(id).unwrap())
}

fn open(dir: &Path, config: &ErasureConfig, stores: &[&FakeStore], audit: Option<Audit>) -> Erasures {
    let stores = stores.iter().map(|store| Box::new((*store).clone()) as Box<dyn Store>).collect();
    Erasures::open(dir, config, Parts { stores, not_reached: vec!["the moon".into()], audit }).unwrap()
}

fn begin(erasures: &Erasures, id: &str) -> Result<Erasure, EraseError> {
    erasures.begin(&page(id), Actor::Nobody, "r")
}

#[test]
fn a_job_ends_with_a_receipt_when_nothing_is_left_in_any_store() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (FakeStore::holding(1), FakeStore::holding(3));
    second.0.fails.store(1, Ordering::SeqCst);
    let key = AuditKey::new(b"a key of at least thirty-two bytes");
    let audit = Audit::open(dir.path(), &AuditConfig::default(), key.clone(), Arc::new(Nobody)).unwrap().unwrap();
    let erasures = open(dir.path(), &ErasureConfig::default(), &[&first, &second], Some(audit.clone()));
    let job = begin(&erasures, "plan").unwrap();
    assert!(erasures.settle(PATIENCE));
    let done = erasures.get(&job.id).unwrap();
    assert_eq!((done.status, done.trouble.as_deref()), (ErasureStatus::Done, None));
    assert_eq!(done.tries, 4, "one failed, and after two of three something was left");
    let receipt = done.receipt.unwrap();
    assert_eq!(receipt.checks.iter().map(|check| check.left).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(receipt.not_reached, ["the moon"]);
    // The proof: by its hash, by the key, and in the log.
    let text = serde_json::to_string(&receipt).unwrap();
    let read: ErasureReceipt = serde_json::from_str(&text).unwrap();
    assert!(receipt::is_whole(&read, None) && receipt::is_whole(&read, key.as_ref()));
    for change in [("\"plan\"", "\"plot\""), ("\"left\":0", "\"left\":1"), ("the moon", "the sun")] {
        let changed: ErasureReceipt = serde_json::from_str(&text.replacen(change.0, change.1, 1)).unwrap();
        assert!(!receipt::is_whole(&changed, None), "{change:?}");
    }
    assert!(!receipt::is_whole(&read, AuditKey::new(&[1; 40]).as_ref()));
    assert!(!receipt::is_whole(&ErasureReceipt { mac: None, ..read.clone() }, key.as_ref()));
    let note = Some((Kind::ErasureFinished, "receipt", read.hash.as_str()));
    let report = verify(audit.dir(), Wanted { note, key: key.as_ref(), ..Wanted::default() }).unwrap();
    assert_eq!((report.noted, report.intact), (Some(true), true), "{:?}", report.problems);
}

#[test]
fn a_job_that_was_cut_short_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::holding(1);
    store.0.is_slow.store(true, Ordering::SeqCst);
    let erasures = open(dir.path(), &ErasureConfig::default(), &[&store], None);
    let job = begin(&erasures, "plan").unwrap();
    while store.0.erased.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    drop(erasures);
    // What a kill while the file was written leaves beside it.
    std::fs::write(dir.path().join(FOLDER).join("new"), b"{\"id\":").unwrap();
    let kept = read_jobs(&dir.path().join(FOLDER)).unwrap();
    assert_eq!((kept.len(), kept[0].status == ErasureStatus::Done), (1, false));
    store.0.is_slow.store(false, Ordering::SeqCst);
    let erasures = open(dir.path(), &ErasureConfig::default(), &[&store], None);
    assert!(erasures.settle(PATIENCE));
    let done = erasures.get(&job.id).unwrap();
    assert!(done.status == ErasureStatus::Done && done.receipt.is_some() && done.tries > 1);
}

#[test]
fn the_same_thing_has_one_job_until_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::holding(1);
    store.0.is_slow.store(true, Ordering::SeqCst);
    let erasures = open(dir.path(), &ErasureConfig { jobs_max: 2, ..ErasureConfig::default() }, &[&store], None);
    let first = begin(&erasures, "plan").unwrap();
    assert_eq!(begin(&erasures, "plan").unwrap().id, first.id);
    let other = begin(&erasures, "other").unwrap();
    assert_ne!(other.id, first.id);
    assert!(matches!(begin(&erasures, "third"), Err(EraseError::Full)));
    assert_eq!(begin(&erasures, "other").unwrap().id, other.id, "one that is there already takes no room");
    store.0.is_slow.store(false, Ordering::SeqCst);
    assert!(erasures.settle(PATIENCE));
    assert_eq!(begin(&erasures, "plan").unwrap().id, first.id, "nothing came back since");
    store.0.left.store(1, Ordering::SeqCst);
    let again = begin(&erasures, "plan").unwrap();
    assert_ne!(again.id, first.id);
    assert!(erasures.settle(PATIENCE));
    drop(erasures);
    let erasures = open(dir.path(), &ErasureConfig::default(), &[&store], None);
    assert_eq!(begin(&erasures, "plan").unwrap().id, again.id, "the newest one, after a restart too");
}

#[test]
fn of_receipts_the_oldest_go_and_a_file_that_is_no_job_is_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let config = ErasureConfig { receipts_max: 2, ..ErasureConfig::default() };
    let erasures = open(dir.path(), &config, &[&store], None);
    let ids: Vec<String> = (0..4)
        .map(|n| {
            let id = begin(&erasures, &format!("page-{n}")).unwrap().id;
            assert!(erasures.settle(PATIENCE));
            id
        })
        .collect();
    let kept: Vec<bool> = ids.iter().map(|id| erasures.get(id).is_some()).collect();
    assert_eq!(kept, [false, false, true, true]);
    assert_eq!(read_jobs(&dir.path().join(FOLDER)).unwrap().len(), 2);
    drop(erasures);
    // One that waits and names nothing was worked on without a pause, again and again.
    let whole = std::fs::read_to_string(dir.path().join(FOLDER).join(&ids[3]).with_extension("json")).unwrap();
    let nothing = whole.replace("\"page-3\"", "\"\"").replace("\"done\"", "\"waiting\"");
    assert!(nothing != whole && nothing.contains("\"waiting\""), "{nothing}");
    for text in ["{}", &nothing] {
        std::fs::write(dir.path().join(FOLDER).join("bad.json"), text).unwrap();
        let parts = Parts { stores: Vec::new(), not_reached: Vec::new(), audit: None };
        let Err(error) = Erasures::open(dir.path(), &config, parts) else { panic!("it was opened: {text}") };
        assert!(error.to_string().contains("bad.json"), "{error}");
    }
}

#[test]
fn what_cannot_be_recorded_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), &AuditConfig::default(), None, Arc::new(Nobody)).unwrap().unwrap();
    let store = FakeStore::default();
    let erasures = open(dir.path(), &ErasureConfig::default(), &[&store], Some(audit.clone()));
    audit.close();
    assert!(matches!(begin(&erasures, "plan"), Err(EraseError::Unwritten(_))));
    assert_eq!(erasures.unfinished(), 0);
}
