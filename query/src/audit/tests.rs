mod recording;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::RwLock;

use proptest::prelude::*;
use schemas::ids::{PageId, UserId, WorkspaceId};

use super::act::{Actor, OfLog, What, Who};
use super::redact::{lines_of, redact, without_erased};
use super::segments::{list, path_of};
use super::verify::{Filter, Report, Shown, Wanted, show, verify};
use super::*;

const PATIENCE: Duration = Duration::from_mins(1);
const SECRET: &[u8] = b"a key of at least thirty-two bytes";

/// People and workspaces that are erased when a test says so.
#[derive(Default)]
struct Gone(RwLock<HashSet<(String, String)>>);

impl Gone {
    fn add(&self, workspace: &str, user: &str) {
        self.0.write().unwrap().insert((workspace.to_owned(), user.to_owned()));
    }
}

impl Erased for Gone {
    fn workspace(&self, workspace: &WorkspaceId) -> bool {
        self.0.read().unwrap().contains(&(workspace.as_str().to_owned(), String::new()))
    }

    fn person(&self, workspace: &WorkspaceId, user: &UserId) -> bool {
        self.0.read().unwrap().contains(&(workspace.as_str().to_owned(), user.as_str().to_owned()))
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut all: Vec<_> = self.0.read().unwrap().iter().cloned().collect();
        all.sort();
        *blake3::hash(format!("{all:?}").as_bytes()).as_bytes()
    }
}

fn search(workspace: &str, user: &str, page: &str) -> Act {
    let actor = Actor::Person { user: UserId::new(user).unwrap() };
    let what = What::new(Kind::Search).within(&WorkspaceId::new(workspace).unwrap()).on([&PageId::new(page).unwrap()]);
    Act { who: Who { text: Some(format!("words of {user}")), ..actor.into() }, what }
}

/// A log without its thread, written as long as a test wants.
struct Site {
    dir: tempfile::TempDir,
    config: AuditConfig,
    key: Option<AuditKey>,
    now: Timestamp,
}

impl Site {
    fn new() -> Self {
        let config = AuditConfig { segment_bytes_max: 4_000, ..AuditConfig::default() };
        Self { dir: tempfile::tempdir().unwrap(), config, key: None, now: "2026-03-01T00:00:00Z".parse().unwrap() }
    }

    fn keyed() -> Self {
        Self { key: AuditKey::new(SECRET), ..Self::new() }
    }

    fn log(&self) -> Segments {
        Segments::open(self.dir.path(), self.config.clone(), Sealer::new(self.key.clone()).unwrap()).unwrap()
    }

    fn write(&mut self, log: &mut Segments, acts: usize) {
        for n in 0..acts {
            self.now += jiff::SignedDuration::from_secs(60);
            let lock = log.lock().unwrap();
            log.append(&lock, &[(self.now, search("acme", ["ada", "bob"][n % 2], &format!("page-{n}")))]).unwrap();
        }
        log.sync().unwrap();
    }

    fn report(&self) -> Report {
        verify(self.dir.path(), Wanted { key: self.key.as_ref(), ..Wanted::default() }).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        list(self.dir.path()).unwrap().into_iter().map(|first| path_of(self.dir.path(), first)).collect()
    }

    fn text(&self) -> String {
        self.files().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }
}

#[test]
fn a_log_is_proven_over_segments_restarts_and_several_writers() {
    let mut site = Site::keyed();
    let (mut server, mut command) = (site.log(), site.log());
    for _ in 0..5 {
        site.write(&mut server, 3);
        site.write(&mut command, 2);
    }
    let mut again = site.log();
    site.write(&mut again, 3);
    let report = site.report();
    assert!(report.intact, "{:?}", report.problems);
    assert!(report.segments > 3, "{report:?}");
    assert_eq!(report.lines, 28 + report.segments as u64, "each segment begins with a line of its own");
    assert_eq!((report.first_seq, report.last_seq, report.authenticated), (1, report.lines, report.lines));
    let shown = show(site.dir.path(), &Filter { actor: Some("bob".into()), ..Filter::default() }, 4).unwrap();
    assert_eq!(shown.len(), 4);
    assert!(shown.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert_eq!(shown[3].what.as_ref().unwrap().pages[0].as_str(), "page-1");
}

#[test]
fn a_removed_or_exchanged_line_and_a_removed_segment_are_found() {
    let mut site = Site::new();
    let mut log = site.log();
    site.write(&mut log, 30);
    let files = site.files();
    let original = std::fs::read_to_string(&files[1]).unwrap();
    let lines: Vec<&str> = original.lines().collect();
    let check = |name: &str, changed: Vec<&str>| {
        std::fs::write(&files[1], changed.join("\n") + "\n").unwrap();
        assert!(!site.report().intact, "{name}");
    };
    check("removed", [&lines[..2], &lines[3..]].concat());
    check("exchanged", [&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat());
    check("twice", [&lines[..2], &lines[1..]].concat());
    check("cut short", vec![lines[0]]);
    std::fs::write(&files[1], &original).unwrap();
    assert!(site.report().intact);
    for gone in [0, 1] {
        let bytes = std::fs::read(&files[gone]).unwrap();
        std::fs::remove_file(&files[gone]).unwrap();
        let report = site.report();
        assert!(!report.intact && report.problems[0].contains("missing"), "{:?}", report.problems);
        std::fs::write(&files[gone], bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_byte_is_found(at in 0_usize..100_000, to in 0_u8..=255) {
        let mut site = Site::new();
        let mut log = site.log();
        site.write(&mut log, 6);
        let path = &site.files()[0];
        let mut bytes = std::fs::read(path).unwrap();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        std::fs::write(path, bytes).unwrap();
        prop_assert!(!site.report().intact);
    }
}

#[test]
fn whoever_has_no_key_cannot_write_the_log_anew() {
    // The same acts by a log without the key, as a forger would write them; the chain itself is whole.
    let mut forged = Site::new();
    let mut log = forged.log();
    forged.write(&mut log, 6);
    assert!(forged.report().intact);
    let key = AuditKey::new(SECRET);
    let report = verify(forged.dir.path(), Wanted { key: key.as_ref(), ..Wanted::default() }).unwrap();
    assert!(!report.intact && report.authenticated == 0);
    let other = Site { key: AuditKey::new(b"another key of thirty-two bytes or more"), ..Site::new() };
    let mut site = Site { key: other.key.clone(), ..other };
    let mut log = site.log();
    site.write(&mut log, 6);
    let report = verify(site.dir.path(), Wanted { key: key.as_ref(), ..Wanted::default() }).unwrap();
    assert!(report.problems[0].contains("authenticated"), "{:?}", report.problems);
    // Lines of a time without a key are proven by the first one with it, and none may be without it later.
    let mut grown = Site::new();
    let mut log = grown.log();
    grown.write(&mut log, 3);
    grown.key = key;
    let mut log = grown.log();
    grown.write(&mut log, 3);
    assert!(grown.report().intact, "{:?}", grown.report().problems);
    let key = grown.key.take();
    let mut log = grown.log();
    grown.write(&mut log, 1);
    grown.key = key;
    assert!(grown.report().problems[0].contains("not authenticated"));
    assert!(AuditKey::new(b"short").is_none());
    assert_eq!(format!("{:?}", grown.key), "Some(AuditKey)");
}

#[test]
fn a_cut_end_proves_nothing_by_itself_and_is_found_by_a_head_that_was_written_down() {
    let mut site = Site::new();
    let mut log = site.log();
    site.write(&mut log, 4);
    let head = site.report().head;
    site.write(&mut log, 2);
    let holds = |site: &Site| verify(site.dir.path(), Wanted { holds: Some(&head), ..Wanted::default() }).unwrap();
    assert!(holds(&site).intact);
    let path = &site.files()[0];
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().take(3).collect();
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
    for later in &site.files()[1..] {
        std::fs::remove_file(later).unwrap();
    }
    assert!(site.report().intact, "the chain alone does not know what came after");
    assert!(!holds(&site).intact);
}

#[test]
fn a_torn_end_is_cut_off_and_told_whatever_is_left_of_the_line() {
    for left in [1, 40, 10_000] {
        for lines in [0, 2] {
            let mut site = Site::new();
            let mut log = site.log();
            site.write(&mut log, lines);
            let path = site.files().pop().unwrap_or_else(|| path_of(site.dir.path(), 1));
            let whole = std::fs::read(&path).unwrap_or_default();
            let line = whole
                .split(|byte| *byte == b'\n')
                .rfind(|line| !line.is_empty())
                .map_or(vec![b'{'; 100], <[u8]>::to_vec);
            let torn = &line[..left.min(line.len())];
            std::fs::write(&path, [&whole, torn].concat()).unwrap();
            // A kill: the next writer has never seen this log.
            let mut log = site.log();
            site.write(&mut log, 1);
            let report = site.report();
            assert!(report.intact, "{left} of {lines}: {:?}", report.problems);
            assert_eq!((report.mended, report.lines), (1, lines as u64 + 3), "{left} of {lines}");
            let mended = show(site.dir.path(), &Filter { kind: Some(Kind::Log), ..Filter::default() }, 9).unwrap();
            let cut = |line: &Shown| match &line.what.as_ref().unwrap().log {
                Some(OfLog::Mended { bytes, .. }) => Some(*bytes),
                _ => None,
            };
            let told = mended.iter().filter_map(cut).eq([torn.len() as u64]);
            assert!(told, "{mended:?}");
        }
    }
}

#[test]
fn a_log_whose_end_is_damaged_is_gone_on_with_and_never_called_intact_again() {
    let mut site = Site::new();
    let mut log = site.log();
    site.write(&mut log, 3);
    let path = &site.files()[0];
    let mut bytes = std::fs::read(path).unwrap();
    let end = bytes.len();
    bytes[end - 9..end - 1].fill(0);
    std::fs::write(path, bytes).unwrap();
    let mut log = site.log();
    site.write(&mut log, 3);
    let report = site.report();
    assert!(report.problems.iter().any(|problem| problem.contains("was damaged")), "{:?}", report.problems);
    let mut log = site.log();
    site.write(&mut log, 1);
    assert_eq!(site.files().len(), 2, "the chain begins anew once");
}

#[test]
fn old_segments_are_retired_with_a_proof_and_others_may_not_be_missing() {
    let mut site = Site::keyed();
    site.config.retention_days = 1;
    let mut log = site.log();
    site.write(&mut log, 20);
    let (first_hash, before) = (site.report().first_hash, site.files().len());
    site.now += jiff::SignedDuration::from_hours(48);
    site.write(&mut log, 12);
    let report = site.report();
    assert!(report.intact, "{:?}", report.problems);
    assert!(report.retired > 15 && site.files().len() < before + 4, "{report:?}");
    assert_eq!(report.first_hash, first_hash, "what the log began with is known still");
    assert!(!site.text().contains("\"seq\":1,"));
    let oldest = &site.files()[0];
    let bytes = std::fs::read(oldest).unwrap();
    std::fs::remove_file(oldest).unwrap();
    assert!(!site.report().intact, "nobody retired that one");
    std::fs::write(oldest, bytes).unwrap();
    // By size, however young.
    site.config.bytes_max = 6_000;
    let mut log = site.log();
    site.write(&mut log, 20);
    assert!(site.files().len() <= 4 && site.report().intact, "{:?}", site.report().problems);
}

/// Segments went only when the next one began, so that of a server which nobody asked anything lines stayed for ever.
#[test]
fn old_segments_are_retired_from_a_log_to_which_nothing_is_added() {
    let mut site = Site::keyed();
    site.config.retention_days = 3;
    let mut log = site.log();
    site.write(&mut log, 20);
    let before = site.files().len();
    for day in 0..60 {
        site.now += jiff::SignedDuration::from_hours(25);
        log.retire_due(site.now).unwrap();
        let report = site.report();
        assert!(report.intact, "day {day}: {:?}", report.problems);
        assert!(site.files().len() <= before + 2, "no segment a day of nothing: {:?}", site.files());
    }
    assert!(!site.text().contains("page-"), "{}", site.text());
    assert!(site.files().len() <= 3 && site.report().retired >= 20, "{:?}", site.report());
}

#[test]
fn a_start_retires_what_is_too_old_also_where_the_log_is_off() {
    for enabled in [true, false] {
        let mut site = Site { now: "2020-03-01T00:00:00Z".parse().unwrap(), ..Site::new() };
        let dir = site.dir.path().to_owned();
        let mut log = Segments::open(&dir.join(FOLDER), site.config.clone(), Sealer::new(None).unwrap()).unwrap();
        site.write(&mut log, 30);
        let first = path_of(&dir.join(FOLDER), 1);
        assert!(first.exists());
        let config = AuditConfig { enabled, ..site.config.clone() };
        if let Some(audit) = Audit::open(&dir, &config, None, Arc::new(Gone::default())).unwrap() {
            assert!(audit.settle(PATIENCE));
        } else {
            clean_left(&dir, &config, None, &Gone::default()).unwrap();
        }
        assert!(!first.exists(), "enabled: {enabled}");
        assert!(verify(&dir.join(FOLDER), Wanted::default()).unwrap().intact);
    }
}

#[test]
fn who_is_erased_leaves_the_files_and_the_chain_holds() {
    let mut site = Site::keyed();
    site.config.keep_text = true;
    let mut log = site.log();
    site.write(&mut log, 30);
    let lock = log.lock().unwrap();
    let about = Who { about: Some(UserId::new("ada").unwrap()), ..Actor::Operator { login: "root".into() }.into() };
    let what = What::new(Kind::ExplainAccess).within(&WorkspaceId::new("acme").unwrap());
    log.append(&lock, &[(site.now, Act { who: about, what }), (site.now, search("globex", "ada", "page-g"))]).unwrap();
    drop(lock);
    let gone = Gone::default();
    assert_eq!(redact(&mut log, &gone, site.now).unwrap(), 0);
    assert_eq!(site.text().matches("\"ada\"").count(), 17);
    gone.add("acme", "ada");
    assert_eq!(redact(&mut log, &gone, site.now).unwrap(), 16);
    let report = site.report();
    assert!(report.intact, "{:?}", report.problems);
    assert_eq!((report.erased_who, report.erased_both), (16, 0));
    let text = site.text();
    assert_eq!(text.matches("\"ada\"").count(), 1, "another person of that name in another workspace");
    assert!(!text.contains("words of ada\",\"workspace\":\"acme") && text.contains("page-0"), "what was opened stays");
    // A line that was written meanwhile, by somebody whose token still holds.
    assert_eq!(without_erased(search("acme", "ada", "page-9"), &gone).who.actor, Actor::Erased);
    site.write(&mut log, 1);
    gone.add("acme", "");
    let both = redact(&mut log, &gone, site.now).unwrap();
    assert_eq!(both, 32, "15 of bob, 16 that had lost who, and the last one");
    let text = site.text();
    assert!(!text.contains("acme") && !text.contains("page-1") && text.contains("globex"), "{text}");
    let report = site.report();
    assert!(report.intact, "{:?}", report.problems);
    assert_eq!(redact(&mut log, &gone, site.now).unwrap(), 0);
    let mut log = site.log();
    site.write(&mut log, 2);
    assert!(site.report().intact);
}

/// A command that named somebody long erased left a line that no sweep looked at, so that no further erasure of them could ever end.
#[test]
fn a_line_that_comes_after_a_sweep_is_cleaned_by_the_next_one() {
    let mut site = Site::keyed();
    let mut log = site.log();
    site.write(&mut log, 30);
    let gone = Gone::default();
    gone.add("acme", "");
    assert_eq!(redact(&mut log, &gone, site.now).unwrap(), 30);
    assert_eq!(redact(&mut log, &gone, site.now).unwrap(), 0);
    let mut command = site.log();
    for acts in [2, 40] {
        site.write(&mut command, acts);
        assert_eq!(redact(&mut log, &gone, site.now).unwrap(), acts as u64);
        assert_eq!(redact(&mut log, &gone, site.now).unwrap(), 0);
    }
    let acme = WorkspaceId::new("acme").unwrap();
    let named = |site: &Site| lines_of(site.dir.path(), &acme, None).unwrap();
    assert_eq!(named(&site), 0);
    // A former release did not say how far it had looked.
    let swept = site.dir.path().join("swept");
    site.write(&mut command, 1);
    let whole = std::fs::read(&swept).unwrap();
    std::fs::write(&swept, &whole[..32]).unwrap();
    assert_eq!(redact(&mut log, &gone, site.now).unwrap(), 1);
    assert!(site.report().intact, "{:?}", site.report().problems);
    // Its files were removed by hand, and it begins with smaller numbers.
    for file in site.files() {
        std::fs::remove_file(file).unwrap();
    }
    let mut anew = site.log();
    site.write(&mut anew, 3);
    assert_eq!(redact(&mut anew, &gone, site.now).unwrap(), 3);
    assert_eq!(named(&site), 0);
    assert!(site.report().intact, "{:?}", site.report().problems);
}

/// It named them in a note, where nobody looked.
#[test]
fn the_line_of_a_key_goes_with_each_workspace_that_it_may_touch() {
    let site = Site::new();
    let mut log = site.log();
    let workspaces = ["acme", "globex"].map(|id| WorkspaceId::new(id).unwrap());
    let act = |what: What| Act { who: Actor::Operator { login: "root".into() }.into(), what };
    let of_both = act(What::new(Kind::KeyCreated).noting("key", "k-1").noting_workspaces(&workspaces));
    let of_all = act(What::new(Kind::KeyCreated).noting("key", "k-2").noting_workspaces(&[]));
    let lock = log.lock().unwrap();
    log.append(&lock, &[(site.now, of_both.clone()), (site.now, of_all.clone())]).unwrap();
    drop(lock);
    for workspace in &workspaces {
        assert_eq!(lines_of(site.dir.path(), workspace, None).unwrap(), 1);
        let filter = Filter { workspace: Some(workspace.clone()), ..Filter::default() };
        let shown = show(site.dir.path(), &filter, 9).unwrap();
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert_eq!(shown[0].what.as_ref().unwrap().notes["workspaces"], "acme globex");
    }
    let gone = Gone::default();
    gone.add("globex", "");
    assert_eq!(redact(&mut log, &gone, site.now).unwrap(), 1);
    let text = site.text();
    assert!(!text.contains("globex") && !text.contains("k-1") && text.contains("k-2"), "{text}");
    assert!(site.report().intact, "{:?}", site.report().problems);
    assert_eq!(without_erased(of_both, &gone), Act { who: Actor::Erased.into(), what: What::new(Kind::KeyCreated) });
    assert_eq!(without_erased(of_all.clone(), &gone), of_all);
}

#[test]
fn sweeps_at_the_same_time_do_not_disturb_each_other() {
    let mut site = Site::new();
    let mut log = site.log();
    site.write(&mut log, 30);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (site, mut log) = (&site, site.log());
            scope.spawn(move || {
                let gone = Gone::default();
                for round in 0..50 {
                    // Another mark each time, as if somebody else had been erased.
                    gone.add("elsewhere", &format!("{thread}-{round}"));
                    redact(&mut log, &gone, site.now).unwrap();
                }
            });
        }
    });
    assert!(site.report().intact);
}

#[test]
fn something_taken_out_without_an_erasure_is_found() {
    let mut site = Site::new();
    let mut log = site.log();
    site.write(&mut log, 3);
    let path = &site.files()[0];
    let text = std::fs::read_to_string(path).unwrap();
    let start = text.find("\"who\":{\"salt\"").unwrap();
    let end = start + text[start..].find(",\"what\":{").unwrap();
    std::fs::write(path, format!("{}\"who\":null{}", &text[..start], &text[end..])).unwrap();
    let report = site.report();
    assert!(report.problems[0].contains("does not say why"), "{:?}", report.problems);
}
