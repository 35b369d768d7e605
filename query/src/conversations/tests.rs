use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use index::OpenMode;
use index::records::PageHead;
use jiff::Timestamp;
use schemas::api::Consistency;
use schemas::event::Change;
use schemas::grant::Role;
use schemas::ids::{BlockId, PageId, RegionId};
use schemas::record::PageRecord;
use schemas::version::{Timestamp as Hybrid, VectorClock, Version};
use tempfile::TempDir;

use super::turn::{Said, Source, Told};
use super::*;

struct Site {
    dir: TempDir,
    index: Index,
}

impl Site {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = index::Config { dir: dir.path().join("index"), dimensions: 16, ..index::Config::default() };
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        for workspace in ["acme", "globex"] {
            let workspace = index.catalog().get_or_create(&workspace.parse().unwrap());
            for user in ["ada", "bob"] {
                workspace.write().put_member(&user.parse().unwrap(), Some(Role::Member), false);
            }
        }
        Self { dir, index }
    }

    fn open(&self, config: &ConversationsConfig) -> Conversations {
        Conversations::open(self.dir.path(), config, self.index.clone())
    }

    /// All that is on disk of conversations.
    fn text(&self) -> String {
        fn read(folder: &Path, text: &mut String) {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read(&path, text);
                } else {
                    text.push_str(&fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut text = String::new();
        read(&self.dir.path().join(FOLDER), &mut text);
        text
    }

    /// Deletes a page, as an event does.
    fn delete(&self, workspace: &str, page: &str) {
        let workspace = self.index.catalog().get(&workspace.parse().unwrap()).unwrap();
        let page: PageId = page.parse().unwrap();
        let mut record = PageRecord::default();
        record.apply(&Change::PageDeleted { page: page.clone() }, &std::sync::Arc::new(version()));
        let ordinal = workspace.read().ordinal_for(&page);
        let head = PageHead::of(&page, ordinal, &record);
        workspace.write().put_head(head);
    }

    fn put(&self, workspace: &str, page: &str) {
        let workspace = self.index.catalog().get(&workspace.parse().unwrap()).unwrap();
        let page: PageId = page.parse().unwrap();
        let mut record = PageRecord::default();
        let change = Change::PageUpserted { page: page.clone(), patch: Box::default() };
        record.apply(&change, &std::sync::Arc::new(version()));
        let ordinal = workspace.read().ordinal_for(&page);
        workspace.write().put_head(PageHead::of(&page, ordinal, &record));
    }
}

fn version() -> Version {
    let region = RegionId::new("r").unwrap();
    Version { clock: VectorClock::of(&region, 1), timestamp: Hybrid::default(), region }
}

fn caller(workspace: &str, user: &str) -> Caller {
    Caller { workspace: workspace.parse().unwrap(), subject: Subject::User(user.parse().unwrap()) }
}

/// A turn made of one page, at a minute.
fn turn(conversation: RandomId, minute: i64, question: &str, page: &str) -> Turn {
    let block: BlockId = "b".parse().unwrap();
    let source = Source { page: page.parse().unwrap(), blocks: vec![(block, version())], told: None };
    let answer = format!("All about {question}.");
    Turn {
        conversation,
        at: Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap(),
        question: question.to_owned(),
        consistency: Consistency::default(),
        said: Some(Said { answer, sources: vec![source], ..Said::default() }),
        unanswered: false,
    }
}

fn questions(conversations: &Conversations, caller: &Caller, id: RandomId) -> Vec<String> {
    conversations.turns(caller, id).unwrap().into_iter().map(|turn| turn.question).collect()
}

fn id() -> RandomId {
    RandomId::random().unwrap()
}

#[test]
fn a_conversation_is_its_owners_alone_and_stays_over_a_restart() {
    let site = Site::new();
    let conversations = site.open(&ConversationsConfig::default());
    let (ada, talk) = (caller("acme", "ada"), id());
    assert_eq!(conversations.keep(&ada, &turn(talk, 1, "mirrors", "p"), true).unwrap(), Kept::Kept);
    assert_eq!(conversations.keep(&ada, &turn(talk, 2, "domes", "p"), false).unwrap(), Kept::Kept);
    let again = site.open(&ConversationsConfig::default());
    assert_eq!(questions(&again, &ada, talk), ["mirrors", "domes"]);
    let list = again.list(&ada).unwrap();
    assert_eq!((list.len(), &*list[0].title, list[0].turns), (1, "mirrors", 2));
    let nobody = Caller { workspace: "acme".parse().unwrap(), subject: Subject::Anonymous };
    for other in [caller("acme", "bob"), caller("globex", "ada"), nobody] {
        assert_eq!(questions(&again, &other, talk), [""; 0]);
        assert_eq!(again.list(&other).unwrap(), []);
        assert!(!again.delete(&other, talk).unwrap());
        assert_eq!(again.keep(&other, &turn(talk, 3, "mine", "p"), false).unwrap(), Kept::Refused);
    }
    assert!(again.delete(&ada, talk).unwrap() && !again.delete(&ada, talk).unwrap());
    assert!(!site.text().contains("mirrors"), "{}", site.text());
    assert_eq!(
        again.keep(&ada, &turn(talk, 4, "late", "p"), false).unwrap(),
        Kept::Refused,
        "it was removed meanwhile"
    );
}

#[test]
fn a_turn_that_a_crash_has_cut_is_taken_off_and_no_other_is_lost() {
    let site = Site::new();
    let conversations = site.open(&ConversationsConfig::default());
    let (ada, talk) = (caller("acme", "ada"), id());
    conversations.keep(&ada, &turn(talk, 1, "mirrors", "p"), true).unwrap();
    let path = conversations.path_of(&owner(&ada).unwrap());
    let whole = fs::read(&path).unwrap();
    conversations.keep(&ada, &turn(talk, 2, "domes", "p"), false).unwrap();
    let both = fs::read(&path).unwrap();
    for cut in [whole.len() + 1, whole.len() + 40, both.len() - 1] {
        fs::write(&path, &both[..cut]).unwrap();
        let again = site.open(&ConversationsConfig::default());
        assert_eq!(questions(&again, &ada, talk), ["mirrors"], "cut at {cut}");
        again.keep(&ada, &turn(talk, 3, "keys", "p"), false).unwrap();
        assert_eq!(questions(&again, &ada, talk), ["mirrors", "keys"], "cut at {cut}");
    }
    // The head may be cut, too.
    fs::write(&path, &both[..10]).unwrap();
    let again = site.open(&ConversationsConfig::default());
    assert_eq!(questions(&again, &ada, talk), [""; 0]);
    again.keep(&ada, &turn(talk, 4, "roofs", "p"), true).unwrap();
    assert_eq!(questions(&again, &ada, talk), ["roofs"]);
    // A line that is none costs itself alone.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"nonsense\n").unwrap();
    again.keep(&ada, &turn(talk, 5, "walls", "p"), false).unwrap();
    assert_eq!(questions(&again, &ada, talk), ["roofs", "walls"]);
}

#[test]
fn what_was_gone_on_with_longest_ago_makes_room() {
    let site = Site::new();
    let config = ConversationsConfig { turns_max: 2, person_conversations_max: 2, ..ConversationsConfig::default() };
    let conversations = site.open(&config);
    let ada = caller("acme", "ada");
    let (first, second, third) = (id(), id(), id());
    conversations.keep(&ada, &turn(first, 1, "a", "p"), true).unwrap();
    conversations.keep(&ada, &turn(second, 2, "b", "p"), true).unwrap();
    for (minute, question) in [(3, "c"), (4, "d")] {
        conversations.keep(&ada, &turn(first, minute, question, "p"), false).unwrap();
    }
    assert_eq!(questions(&conversations, &ada, first), ["c", "d"], "its oldest turn goes");
    conversations.keep(&ada, &turn(third, 5, "e", "p"), true).unwrap();
    let ids: Vec<String> = conversations.list(&ada).unwrap().into_iter().map(|summary| summary.id).collect();
    assert_eq!(ids, [third.to_string(), first.to_string()]);
    let small = ConversationsConfig { person_bytes_max: 2_000, ..ConversationsConfig::default() };
    let conversations = site.open(&small);
    for minute in 6..40 {
        let kept = conversations.keep(&ada, &turn(id(), minute, &"long ".repeat(20), "p"), true).unwrap();
        assert_eq!(kept, Kept::Kept);
        let bytes = fs::metadata(conversations.path_of(&owner(&ada).unwrap())).unwrap().len();
        assert!(bytes <= 2_200, "{bytes}, the head included");
    }
    let huge = turn(id(), 41, &"long ".repeat(1_000), "p");
    assert_eq!(conversations.keep(&ada, &huge, true).unwrap(), Kept::Refused);
    assert!(!conversations.list(&ada).unwrap().is_empty(), "what was there stays");
}

#[test]
fn a_workspace_that_is_full_lets_go_of_those_who_asked_longest_ago() {
    let site = Site::new();
    let config =
        ConversationsConfig { person_bytes_max: 800, workspace_bytes_max: 2_000, ..ConversationsConfig::default() };
    let conversations = site.open(&config);
    for (at, user) in ["u0", "u1", "u2", "u3", "u4", "u5"].into_iter().enumerate() {
        let caller = caller("acme", user);
        conversations.keep(&caller, &turn(id(), 1, "mirrors", "p"), true).unwrap();
        let path = conversations.path_of(&owner(&caller).unwrap());
        let used = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + at as u64);
        OpenOptions::new().append(true).open(path).unwrap().set_modified(used).unwrap();
    }
    let left = |user| !conversations.list(&caller("acme", user)).unwrap().is_empty();
    assert!(!left("u0") && !left("u1") && left("u5"), "the first go");
    let folder = conversations.folder_of(&"acme".parse().unwrap());
    let counted = conversations.bytes_of(&folder).unwrap();
    assert!(counted <= 2_000, "{counted}");
    assert_eq!(site.open(&config).bytes_of(&folder).unwrap(), counted, "as counted anew");
}

#[test]
fn where_all_workspaces_are_full_the_one_that_has_most_lets_go() {
    let site = Site::new();
    let config = ConversationsConfig { person_bytes_max: 800, bytes_max: 4_000, ..ConversationsConfig::default() };
    let conversations = site.open(&config);
    let ask = |conversations: &Conversations, workspace: &str, user: &str, at: u64| {
        let caller = caller(workspace, user);
        assert_eq!(conversations.keep(&caller, &turn(id(), 1, "mirrors", "p"), true).unwrap(), Kept::Kept);
        let path = conversations.path_of(&owner(&caller).unwrap());
        let used = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        OpenOptions::new().append(true).open(path).unwrap().set_modified(used).unwrap();
    };
    // What globex asked is the oldest of all.
    ask(&conversations, "globex", "ada", 1);
    for at in 0..30 {
        ask(&conversations, "acme", &format!("u{at}"), 1_000 + at);
        assert!(conversations.bytes_of_all() <= 4_000, "{}", conversations.bytes_of_all());
    }
    let left = |workspace, user: &str| !conversations.list(&caller(workspace, user)).unwrap().is_empty();
    assert!(left("globex", "ada"), "a workspace that asks little keeps what it has");
    assert!(!left("acme", "u0") && left("acme", "u28") && left("acme", "u29"), "the first go");
    // Another process counts what is there.
    let again = site.open(&config);
    ask(&again, "globex", "bob", 2_000);
    let folders = ["acme", "globex"].map(|workspace| again.folder_of(&workspace.parse().unwrap()));
    let counted: u64 = folders.iter().map(|folder| again.bytes_of(folder).unwrap()).sum();
    assert_eq!(again.bytes_of_all(), counted);
    assert!(counted <= 4_000 && left("globex", "bob"), "{counted}");
    // Where there is no more room than for one, that one is there.
    let small = ConversationsConfig { bytes_max: 800, ..config };
    let conversations = site.open(&small);
    ask(&conversations, "globex", "ada", 3_000);
    assert!(!left("acme", "u29") && !left("globex", "bob") && left("globex", "ada"));
}

#[test]
fn erased_people_and_workspaces_and_deleted_pages_go_from_disk() {
    let site = Site::new();
    let conversations = site.open(&ConversationsConfig::default());
    let (acme, globex) = ("acme".parse().unwrap(), "globex".parse().unwrap());
    let (p, q): (PageId, PageId) = ("p".parse().unwrap(), "q".parse().unwrap());
    site.put("acme", "p");
    site.put("acme", "q");
    let (ada, bob, eve) = (caller("acme", "ada"), caller("acme", "bob"), caller("globex", "ada"));
    let (talk, of_bob) = (id(), id());
    conversations.keep(&ada, &turn(talk, 1, "mirrors", "p"), true).unwrap();
    conversations.keep(&ada, &turn(talk, 2, "domes", "q"), false).unwrap();
    let mut repeats = turn(talk, 3, "keys", "q");
    repeats.said.as_mut().unwrap().also.entry(p.clone()).or_default();
    conversations.keep(&ada, &repeats, false).unwrap();
    conversations.keep(&bob, &turn(of_bob, 1, "roofs", "q"), true).unwrap();
    conversations.keep(&eve, &turn(id(), 1, "walls", "p"), true).unwrap();
    let now = Timestamp::from_second(1_800_001_000).unwrap();
    assert_eq!(conversations.sweep(now), 0, "there is nothing to remove");
    site.delete("acme", "p");
    assert_eq!(conversations.sweep(now), 1);
    let text = site.text();
    assert!(
        !text.contains("about mirrors") && !text.contains("about keys"),
        "made of it, or able to repeat it: {text}"
    );
    assert!(text.contains("about domes") && text.contains("about walls"), "{text}");
    assert_eq!(questions(&conversations, &ada, talk), ["mirrors", "domes", "keys"], "what was asked stays");
    let late = turn(talk, 4, "late", "p");
    assert_eq!(conversations.keep(&ada, &late, false).unwrap(), Kept::Refused, "of a page that was deleted meanwhile");
    assert!(
        conversations.holds(Whose::Page(&acme, &q, &[])).unwrap()
            && !conversations.holds(Whose::Page(&acme, &p, &[])).unwrap()
    );
    assert_eq!(conversations.erase(Whose::Page(&acme, &q, &[])).unwrap(), 2, "those of ada and of bob");
    assert!(!site.text().contains("about domes") && !site.text().contains("about roofs"));
    let catalog = site.index.catalog();
    catalog.get(&acme).unwrap().write().put_member(&"ada".parse().unwrap(), None, true);
    assert!(conversations.holds(Whose::Person(&acme, &"ada".parse().unwrap())).unwrap());
    // By another process, which knows nothing of the sweeps before.
    let again = site.open(&ConversationsConfig::default());
    assert_eq!(again.sweep(now), 1);
    assert!(!again.holds(Whose::Person(&acme, &"ada".parse().unwrap())).unwrap());
    assert!(!site.text().contains("mirrors") && site.text().contains("roofs"));
    assert_eq!(again.keep(&ada, &turn(id(), 5, "late", "q"), true).unwrap(), Kept::Refused);
    catalog.get(&globex).unwrap().write().erase();
    assert_eq!(again.sweep(now), 1);
    assert!(!again.holds(Whose::Workspace(&globex)).unwrap() && !site.text().contains("walls"));
    assert_eq!(again.erase(Whose::Workspace(&acme)).unwrap(), 1);
    assert_eq!(site.text(), "");
}

#[test]
fn what_a_block_said_on_another_page_goes_with_the_page_that_it_moved_to() {
    let site = Site::new();
    let conversations = site.open(&ConversationsConfig::default());
    let (acme, ada): (WorkspaceId, _) = ("acme".parse().unwrap(), caller("acme", "ada"));
    let (moved, other): (BlockId, BlockId) = ("b".parse().unwrap(), "c".parse().unwrap());
    site.put("acme", "p");
    site.put("acme", "q");
    conversations.keep(&ada, &turn(id(), 1, "mirrors", "p"), true).unwrap();
    let q = "q".parse().unwrap();
    assert!(!conversations.holds(Whose::Page(&acme, &q, std::slice::from_ref(&other))).unwrap());
    let blocks = [other, moved];
    let of_page = Whose::Page(&acme, &q, &blocks);
    assert!(conversations.holds(of_page).unwrap());
    assert_eq!(conversations.erase(of_page).unwrap(), 1);
    assert!(!conversations.holds(of_page).unwrap() && !site.text().contains("about mirrors"), "{}", site.text());
    // So it is with a heading that was told.
    let mut told = turn(id(), 2, "domes", "p");
    let headings = vec![("h".parse().unwrap(), version())];
    told.said.as_mut().unwrap().sources[0].told = Some(Told::new("Kappa", headings));
    conversations.keep(&ada, &told, true).unwrap();
    let blocks = ["h".parse().unwrap()];
    assert_eq!(conversations.erase(Whose::Page(&acme, &q, &blocks)).unwrap(), 1);
    assert!(!site.text().contains("about domes"), "{}", site.text());
}

#[test]
fn conversations_that_nobody_goes_on_with_go_with_what_a_crash_left() {
    let site = Site::new();
    let conversations = site.open(&ConversationsConfig { retention_days: 2, ..ConversationsConfig::default() });
    let (ada, old, live) = (caller("acme", "ada"), id(), id());
    conversations.keep(&ada, &turn(old, 0, "mirrors", "p"), true).unwrap();
    conversations.keep(&ada, &turn(live, 0, "domes", "p"), true).unwrap();
    conversations.keep(&ada, &turn(live, 60 * 24 * 2, "keys", "p"), false).unwrap();
    let aside = conversations.path_of(&owner(&ada).unwrap()).with_extension(file::ASIDE);
    fs::write(&aside, "half a file").unwrap();
    let day = |days: i64| Timestamp::from_second(1_800_000_000 + 86_400 * days).unwrap();
    assert_eq!(conversations.sweep(day(1)), 0);
    assert!(!aside.exists());
    assert_eq!(conversations.sweep(day(3)), 1);
    assert_eq!(questions(&conversations, &ada, old), [""; 0]);
    assert_eq!(questions(&conversations, &ada, live), ["domes", "keys"], "all of what was gone on with");
    assert_eq!(conversations.sweep(day(9)), 1);
    assert!(!site.text().contains("domes"), "{}", site.text());
}

#[test]
#[cfg(unix)]
fn what_people_asked_is_for_the_owner_of_the_process_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    let conversations = site.open(&ConversationsConfig::default());
    assert!(!site.dir.path().join(FOLDER).exists(), "nothing is written before somebody asks");
    let ada = caller("acme", "ada");
    conversations.keep(&ada, &turn(id(), 1, "mirrors", "p"), true).unwrap();
    let path = conversations.path_of(&owner(&ada).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&site.dir.path().join(FOLDER))), (0o600, 0o700, 0o700));
}
