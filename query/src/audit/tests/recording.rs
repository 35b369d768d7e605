//! The log with its thread: what is kept, what is lost, and what is told of that.

use super::*;

/// A log with its thread.
fn open(dir: &Path, config: &AuditConfig) -> Audit {
    Audit::open(dir, config, None, Arc::new(Gone::default())).unwrap().unwrap()
}

#[test]
fn what_does_not_fit_is_counted_and_told_or_turns_requests_away() {
    for on_failure in [OnFailure::Drop, OnFailure::Refuse] {
        let dir = tempfile::tempdir().unwrap();
        let config = AuditConfig { on_failure, queue_len_max: 16, ..AuditConfig::default() };
        let audit = open(dir.path(), &config);
        audit.record(search("acme", "ada", "first")).unwrap();
        assert!(audit.settle(PATIENCE));
        // Another process writes and does not let go, as a disk that hangs.
        let other = Segments::open(audit.dir(), config.clone(), Sealer::new(None).unwrap()).unwrap();
        let lock = other.lock().unwrap();
        let turned_away = (0..400).filter(|_| audit.record(search("acme", "ada", "page")) == Err(Unrecorded)).count();
        let lost = audit.lost_total();
        assert_eq!(turned_away as u64, if on_failure == OnFailure::Refuse { lost } else { 0 });
        assert!(lost >= 100, "the thread holds one batch, and the queue another 16: {lost}");
        drop(lock);
        assert!(audit.settle(PATIENCE));
        assert_eq!(audit.record(search("acme", "ada", "page")), Ok(()), "it can be written again");
        audit.close();
        let report = verify(audit.dir(), Wanted::default()).unwrap();
        assert!(report.intact, "{:?}", report.problems);
        assert_eq!(report.lost, lost);
        assert_eq!(audit.recorded_total() + lost, 402);
    }
}

#[test]
fn requests_that_are_turned_away_do_not_flood_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(dir.path(), &AuditConfig { refused_per_minute_max: 3, ..AuditConfig::default() });
    for _ in 0..50 {
        audit.record(Act { who: Actor::Nobody.into(), what: What::new(Kind::Refused) }).unwrap();
    }
    assert!(audit.settle(PATIENCE));
    let refused = Filter { kind: Some(Kind::Refused), ..Filter::default() };
    assert_eq!(show(audit.dir(), &refused, 100).unwrap().len(), 3);
}

#[test]
fn text_and_suggestions_are_kept_where_that_is_allowed_alone() {
    for allowed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let config = AuditConfig { keep_text: allowed, suggestions: allowed, pages_max: 1, ..AuditConfig::default() };
        let audit = open(dir.path(), &config);
        let mut act = search("acme", "ada", "one");
        act.what = act.what.on([&PageId::new("two").unwrap(), &PageId::new("three").unwrap()]);
        audit.record(act).unwrap();
        audit.record(Act { who: Actor::Nobody.into(), what: What::new(Kind::Suggest) }).unwrap();
        let act = Act { who: Actor::System.into(), what: What::new(Kind::Repaired) };
        audit.record_durably(act, PATIENCE).unwrap();
        let lines = show(audit.dir(), &Filter::default(), 100).unwrap();
        assert_eq!(lines.len(), if allowed { 4 } else { 3 });
        let (who, what) = (lines[1].who.clone().unwrap(), lines[1].what.clone().unwrap());
        assert_eq!(who.text.is_some(), allowed);
        assert_eq!((what.pages.len(), what.more), (1, 2));
    }
}

#[test]
fn a_log_that_is_off_writes_nothing_and_is_kept_clean_of_who_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let off = AuditConfig { enabled: false, ..AuditConfig::default() };
    let gone = Arc::new(Gone::default());
    assert!(Audit::open(dir.path(), &off, None, Arc::clone(&gone) as Arc<dyn Erased>).unwrap().is_none());
    assert!(!dir.path().join(FOLDER).exists());
    let audit = open(dir.path(), &AuditConfig::default());
    audit.record(search("acme", "ada", "page")).unwrap();
    audit.close();
    gone.add("acme", "ada");
    Audit::open(dir.path(), &off, None, gone).unwrap();
    let path = path_of(&dir.path().join(FOLDER), 1);
    let is_clean = (0..600).any(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        !std::fs::read_to_string(&path).unwrap().contains("\"ada\"")
    });
    assert!(is_clean);
    record_once(dir.path(), &off, None, None, search("acme", "bob", "page")).unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains("\"bob\""));
}
