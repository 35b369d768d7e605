//! The ledger on disk: what is read back after a start, a crash, a full file, a disk that fails.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use super::*;

fn entry(user: &str, at: &str) -> Entry {
    Entry {
        at: at.parse().unwrap(),
        workspace: "acme".to_owned(),
        user: user.to_owned(),
        task: Task::Answer,
        endpoint: "main".to_owned(),
        model: "small".to_owned(),
        prompt_tokens: 10,
        completion_tokens: 5,
        cost_micros: 3,
        outcome: Outcome::Complete,
        duration_ms: 1,
        first_text_ms: None,
    }
}

const NOW: &str = "2026-11-28T12:00:00Z";

fn open(dir: &Path, config: &LedgerConfig) -> Ledger {
    Ledger::open(dir, config.clone(), NOW.parse().unwrap()).unwrap()
}

fn small() -> LedgerConfig {
    LedgerConfig { file_bytes_max: 2_000, ..LedgerConfig::default() }
}

fn flush(ledger: &Ledger) {
    assert!(ledger.flush(Duration::from_mins(1)));
}

#[test]
fn what_is_recorded_is_there_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &LedgerConfig::default());
    for user in ["ada", "bob", "ada"] {
        ledger.record(&entry(user, NOW));
    }
    let before = ledger.all();
    drop(ledger);
    let ledger = open(dir.path(), &LedgerConfig::default());
    assert_eq!(ledger.all(), before);
    let day = "2026-11-28".parse().unwrap();
    let usage = ledger.usage("acme", day..=day);
    let totals = Totals { calls: 2, prompt_tokens: 20, completion_tokens: 10, cost_micros: 6 };
    assert_eq!((usage.len(), usage[0].user.as_str(), usage[0].totals), (2, "ada", totals));
    assert_eq!(ledger.usage("globex", day..=day), []);
}

#[test]
fn a_last_line_that_a_crash_has_cut_is_taken_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage.ndjson");
    let ledger = open(dir.path(), &LedgerConfig::default());
    ledger.record(&entry("ada", NOW));
    drop(ledger);
    let whole = fs::read(&path).unwrap();
    for cut in 1..whole.len() {
        fs::write(&path, &whole).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[..cut]).unwrap();
        let ledger = open(dir.path(), &LedgerConfig::default());
        ledger.record(&entry("bob", NOW));
        drop(ledger);
        let ledger = open(dir.path(), &LedgerConfig::default());
        let users: Vec<String> = ledger.all().into_iter().map(|sum| sum.user).collect();
        assert_eq!(users, ["ada", "bob"], "cut after {cut} bytes");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_full_file_is_followed_by_one_that_begins_with_its_sums() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &small());
    for number in 0..100 {
        ledger.record(&entry(["ada", "bob"][number % 2], NOW));
        if number % 3 == 0 {
            flush(&ledger);
        }
        let size = |name| fs::metadata(dir.path().join(name)).map_or(0, |file| file.len());
        assert!(size("usage.ndjson") + size("usage.1.ndjson") < 2 * (2_000 + 1_000));
    }
    let before = ledger.all();
    assert_eq!(before.iter().map(|sum| sum.totals.calls).sum::<u64>(), 100);
    drop(ledger);
    let newest = fs::read_to_string(dir.path().join("usage.ndjson")).unwrap();
    assert!(newest.starts_with(r#"{"sum":{"#), "{newest}");
    fs::remove_file(dir.path().join("usage.1.ndjson")).unwrap();
    assert_eq!(open(dir.path(), &small()).all(), before, "the newest file alone is the whole truth");
}

#[test]
fn a_stop_while_a_new_file_begins_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &LedgerConfig::default());
    ledger.record(&entry("ada", NOW));
    let before = ledger.all();
    drop(ledger);
    // Made aside in part, or whole, and not yet in the place of the old.
    fs::write(dir.path().join("usage.new.ndjson"), r#"{"sum":{"workspace""#).unwrap();
    fs::hard_link(dir.path().join("usage.ndjson"), dir.path().join("usage.1.ndjson")).unwrap();
    let ledger = open(dir.path(), &LedgerConfig { file_bytes_max: 10, ..LedgerConfig::default() });
    assert_eq!(ledger.all(), before);
    ledger.record(&entry("ada", NOW));
    drop(ledger);
    assert_eq!(open(dir.path(), &small()).all()[0].totals.calls, 2);
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full_stops_spending_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, sums) = LedgerFile::open(dir.path()).unwrap();
    // Every write to it fails for lack of room.
    file.replace_file(OpenOptions::new().append(true).open("/dev/full").unwrap());
    let config = LedgerConfig { pending_bytes_max: 4 << 10, flush_ms: 1, ..LedgerConfig::default() };
    let ledger = Ledger::start(file, sums, config).unwrap();
    let account = Account { workspace: "acme".to_owned(), user: "ada".to_owned() };
    let mut recorded = 0;
    while ledger.check_room(&account, NOW.parse().unwrap()).is_ok() {
        ledger.record(&entry("ada", NOW));
        recorded += 1;
        assert!(recorded < 1_000, "it is bounded");
    }
    assert_eq!(ledger.all()[0].totals.calls, recorded);
    assert!(!ledger.flush(Duration::from_millis(20)), "it is not on disk");
}

#[test]
fn what_a_failed_write_has_left_is_taken_off_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, _) = LedgerFile::open(dir.path()).unwrap();
    let line = file::line_of(&file::Line::Call(entry("ada", NOW)));
    file.append(&line).unwrap();
    file.replace_file(OpenOptions::new().read(true).open(dir.path().join("usage.ndjson")).unwrap());
    file.append(&line).unwrap_err();
    assert!(!file.has(&line));
    let mut open = OpenOptions::new().append(true).open(dir.path().join("usage.ndjson")).unwrap();
    open.write_all(&line[..line.len() / 2]).unwrap();
    file.replace_file(open);
    file.append(&line).unwrap();
    assert!(file.has(&line));
    drop(file);
    assert_eq!(open_sums(dir.path()), 2);
}

fn open_sums(dir: &Path) -> u64 {
    let (_, sums) = LedgerFile::open(dir).unwrap();
    sums.iter().map(|sum| sum.totals.calls).sum()
}

#[test]
fn accounts_beyond_the_bound_are_turned_away_only_when_nothing_older_can_go() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &LedgerConfig { sums_max: 100, ..LedgerConfig::default() });
    let account = |user: &str| Account { workspace: "acme".to_owned(), user: user.to_owned() };
    let now = NOW.parse().unwrap();
    for number in 0..60 {
        ledger.record(&entry(&format!("u{number}"), "2026-10-01T00:00:00Z"));
    }
    for number in 0..100 {
        ledger.check_room(&account(&format!("v{number}")), now).unwrap();
        ledger.record(&entry(&format!("v{number}"), NOW));
    }
    assert!(ledger.all().len() <= 100);
    ledger.check_room(&account("v7"), now).unwrap();
    assert!(ledger.check_room(&account("w"), now).is_err());
}

/// Only who had asked on the same day was let in: the day after, with as many sums as there may be, all were turned away until the
/// next month.
#[test]
fn accounts_of_this_month_are_let_in_on_the_days_after() {
    let dir = tempfile::tempdir().unwrap();
    let config = LedgerConfig { sums_max: 100, ..LedgerConfig::default() };
    let ledger = open(dir.path(), &config);
    let account = |user: &str| Account { workspace: "acme".to_owned(), user: user.to_owned() };
    let users: Vec<String> = (0..60).map(|number| format!("u{number}")).collect();
    for day in 10..28 {
        let at = format!("2026-11-{day}T12:00:00Z");
        for user in &users {
            ledger.check_room(&account(user), at.parse().unwrap()).unwrap();
            ledger.record(&entry(user, &at));
        }
        assert!(ledger.all().len() <= 120, "one sum for the month and one for the day");
    }
    let now = NOW.parse().unwrap();
    ledger.check_room(&account("new"), now).unwrap();
    ledger.record(&entry("new", NOW));
    let month = "2026-11-01".parse().unwrap()..="2026-11-30".parse().unwrap();
    let calls = |ledger: &Ledger, user: &str| -> u64 {
        let sums = ledger.usage("acme", month.clone()).into_iter().filter(|sum| sum.user == user);
        sums.map(|sum| sum.totals.calls).sum()
    };
    assert_eq!((calls(&ledger, "u7"), calls(&ledger, "new")), (18, 1), "budgets of the month rest on it");
    drop(ledger);
    let ledger = open(dir.path(), &config);
    assert_eq!((calls(&ledger, "u7"), calls(&ledger, "new")), (18, 1), "after a start, too");
}

#[test]
fn who_is_forgotten_is_in_no_file_and_what_they_took_still_counts() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &small());
    let record = |workspace: &str, user: &str| {
        ledger.record(&Entry { workspace: workspace.to_owned(), ..entry(user, NOW) });
    };
    for _ in 0..20 {
        record("acme", "ada");
        record("acme", "bob");
        record("globex", "ada");
        flush(&ledger);
    }
    let text = || {
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        read("usage.ndjson") + &read("usage.1.ndjson")
    };
    // Lines that wait are of them, too.
    record("acme", "ada");
    ledger.forget("acme", Some("ada"));
    flush(&ledger);
    let text_left = text();
    assert!(!text_left.contains(r#""workspace":"acme","day":"2026-11-28","user":"ada""#), "{text_left}");
    assert!(!text_left.contains(r#""workspace":"acme","user":"ada""#), "{text_left}");
    let users = |workspace| {
        let day = "2026-11-28".parse().unwrap();
        let sums = ledger.usage(workspace, day..=day).into_iter();
        sums.map(|sum| (sum.user, sum.totals.calls)).collect::<Vec<_>>()
    };
    assert_eq!(users("acme"), [(String::new(), 21), ("bob".to_owned(), 20)]);
    assert_eq!(users("globex"), [("ada".to_owned(), 20)]);

    ledger.forget("acme", None);
    flush(&ledger);
    assert!(!text().contains("acme"));
    assert_eq!(users("acme"), []);
    let before = ledger.all();
    drop(ledger);
    assert_eq!(open(dir.path(), &small()).all(), before);
}
