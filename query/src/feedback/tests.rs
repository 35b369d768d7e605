use access::Subject;
use index::{Index, OpenMode};
use schemas::api::feedback::FeedbackKind;
use schemas::grant::Role;
use schemas::ids::{UserId, WorkspaceId};
use tempfile::TempDir;

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);

/// An index and a log in a folder of their own.
struct Site {
    dir: TempDir,
    index: Index,
}

impl Site {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = index::Config { dir: dir.path().join("index"), dimensions: 16, ..index::Config::default() };
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        Self { dir, index }
    }

    fn open(&self, config: &FeedbackConfig) -> Option<Feedback> {
        Feedback::open(self.dir.path(), config, self.index.clone()).unwrap()
    }

    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let unread = record::each(&self.dir.path().join(FOLDER), &mut |record| records.push(record)).unwrap();
        assert_eq!(unread, 0);
        records
    }

    fn text(&self) -> String {
        let files = [record::FORMER_FILE, record::FILE].map(|name| self.dir.path().join(FOLDER).join(name));
        files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }
}

fn on() -> FeedbackConfig {
    FeedbackConfig { enabled: true, ..FeedbackConfig::default() }
}

fn caller(workspace: &str, user: &str) -> Caller {
    let subject = Subject::User(UserId::new(user).unwrap());
    Caller { workspace: WorkspaceId::new(workspace).unwrap(), subject }
}

fn show(feedback: &Feedback, caller: &Caller, query: &str) -> ListId {
    let list = ListId::random().unwrap();
    let hit = |(id, rank): (&str, u32)| (PageId::new(id).unwrap(), rank, None);
    let hits = [("runbook", 1), ("handbook", 2)].map(hit).to_vec();
    let request = SearchRequest { query: query.to_owned(), ..SearchRequest::default() };
    feedback.shown(caller, &request, ShownPage { list, hits, consistency: Consistency::default() });
    list
}

fn click(page: &str) -> FeedbackEvent {
    let page = PageId::new(page).unwrap();
    FeedbackEvent { kind: FeedbackKind::Click, page, rank: None, dwell_ms: None, at: None }
}

#[test]
fn nothing_is_written_while_it_is_off() {
    let site = Site::new();
    assert!(site.open(&FeedbackConfig::default()).is_none());
    assert!(!site.dir.path().join(FOLDER).exists());
}

#[test]
fn a_line_holds_neither_the_person_nor_the_query_unless_that_is_allowed() {
    let site = Site::new();
    let ada = caller("acme", "ada-lovelace");
    for keep_text in [false, true] {
        let feedback = site.open(&FeedbackConfig { keep_text, ..on() }).unwrap();
        let list = show(&feedback, &ada, "salary of the director");
        feedback.done(&ada, list, &click("runbook"), 1);
        feedback.close();
        let text = site.text();
        assert!(!text.contains("ada-lovelace"), "{text}");
        assert_eq!(text.contains("salary"), keep_text, "{text}");
    }
    let records = site.records();
    assert_eq!(records.len(), 4, "the log goes on after a restart");
    let queries: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Shown(shown) => Some(&shown.query),
            Record::Done(_) => None,
        })
        .collect();
    assert_eq!(queries[0], queries[1], "equal queries have one name, after a restart too");
    assert!(records.iter().all(|record| record.time().as_second() % 3_600 == 0), "times are cut to the hour");
}

#[test]
#[cfg(unix)]
fn the_folder_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    site.open(&on()).unwrap();
    let mode = std::fs::metadata(site.dir.path().join(FOLDER)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn the_same_event_is_written_once() {
    let site = Site::new();
    let feedback = site.open(&on()).unwrap();
    let ada = caller("acme", "ada");
    let list = show(&feedback, &ada, "deploy");
    for _ in 0..3 {
        feedback.done(&ada, list, &click("runbook"), 1);
    }
    assert!(feedback.settle(PATIENCE));
    assert_eq!((site.records().len(), feedback.recorded_total(), feedback.dropped_total()), (2, 2, 0));
}

#[test]
fn what_is_erased_leaves_the_log_and_stays_out() {
    let site = Site::new();
    let feedback = site.open(&on()).unwrap();
    let people = [caller("acme", "ada"), caller("acme", "bob"), caller("globex", "ada")];
    for caller in &people {
        show(&feedback, caller, "deploy");
    }
    let written = |feedback: &Feedback| {
        assert!(feedback.settle(PATIENCE));
        site.records().len()
    };
    assert_eq!(written(&feedback), 3);
    let acme = site.index.catalog().get_or_create(&people[0].workspace);
    acme.write().put_member(&UserId::new("ada").unwrap(), Some(Role::Removed), true);
    assert_eq!(written(&feedback), 2, "those of ada in acme are gone, those of another ada are not");
    show(&feedback, &people[0], "deploy");
    assert_eq!(written(&feedback), 2, "what comes late is not written");
    acme.write().erase();
    assert_eq!(written(&feedback), 1);
    assert_eq!(site.records()[0].workspace().as_str(), "globex");
}

#[test]
fn what_was_erased_while_the_log_was_closed_or_off_goes_at_the_next_start() {
    let site = Site::new();
    let feedback = site.open(&on()).unwrap();
    show(&feedback, &caller("acme", "ada"), "deploy");
    feedback.close();
    assert_eq!(site.records().len(), 1);
    site.index.catalog().get_or_create(&WorkspaceId::new("acme").unwrap()).write().erase();
    assert!(site.open(&FeedbackConfig::default()).is_none(), "it is switched off");
    let deadline = Instant::now() + PATIENCE;
    while !site.records().is_empty() {
        assert!(Instant::now() < deadline, "the sweep of a start did not come");
        std::thread::yield_now();
    }
}

#[test]
fn lines_beyond_their_age_and_lines_cut_short_go_at_the_next_start() {
    let site = Site::new();
    let feedback = site.open(&on()).unwrap();
    show(&feedback, &caller("acme", "ada"), "deploy");
    feedback.close();
    let path = site.dir.path().join(FOLDER).join(record::FILE);
    let fresh = std::fs::read_to_string(&path).unwrap();
    let old = fresh.replacen("\"time\":\"20", "\"time\":\"19", 1);
    std::fs::write(&path, format!("{old}{fresh}{}", &fresh[..40])).unwrap();
    let feedback = site.open(&on()).unwrap();
    assert!(feedback.settle(PATIENCE));
    assert_eq!(site.text(), fresh);
}

#[test]
fn the_log_stays_within_its_size() {
    let site = Site::new();
    let config = FeedbackConfig { bytes_max: 1 << 20, ..on() };
    let feedback = site.open(&config).unwrap();
    let ada = caller("acme", "ada");
    for _ in 0..20 {
        for _ in 0..300 {
            show(&feedback, &ada, "deploy");
        }
        assert!(feedback.settle(PATIENCE));
        assert!(site.text().len() as u64 <= config.bytes_max);
    }
    assert!(site.text().len() as u64 > config.bytes_max / 4, "it was filled more than once");
    assert_eq!(feedback.dropped_total(), 0);
}

#[test]
fn a_full_queue_drops_and_counts_and_never_waits() {
    let site = Site::new();
    let feedback = site.open(&FeedbackConfig { queue_len_max: 1, ..on() }).unwrap();
    let ada = caller("acme", "ada");
    // The thread waits for the workspaces; so nothing is taken from the queue.
    let acme = site.index.catalog().get_or_create(&ada.workspace);
    let held = acme.write();
    feedback.look_for_erased();
    for _ in 0..100 {
        show(&feedback, &ada, "deploy");
    }
    assert!(feedback.dropped_total() >= 97, "{}", feedback.dropped_total());
    drop(held);
    assert!(feedback.settle(PATIENCE));
    assert_eq!(feedback.recorded_total() + feedback.dropped_total(), 100);
}
