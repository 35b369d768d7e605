//! Imports as a whole, into records kept in memory.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use schemas::event::Change;
use schemas::page::{PageKind, Parent};

use super::*;

mod data;

/// Records in memory, merged from events the way a store does it.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) pages: BTreeMap<PageId, PageRecord>,
    groups: BTreeMap<GroupId, GroupRecord>,
    members: BTreeMap<UserId, MemberRecord>,
    /// How many events each batch had.
    pub(super) batches: Vec<usize>,
    /// Fails instead of taking this many more batches.
    batches_left: Option<usize>,
    /// Sends every event over the wire and back.
    pub(super) strict: bool,
}

impl Target for Memory {
    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, TargetError> {
        Ok(self.pages.get(page).cloned())
    }

    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, TargetError> {
        Ok(self.groups.get(group).cloned())
    }

    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, TargetError> {
        Ok(self.members.get(user).cloned())
    }

    fn pages(&self) -> Result<Option<Vec<PageId>>, TargetError> {
        Ok(Some(self.pages.iter().filter(|(_, page)| page.exists()).map(|(id, _)| id.clone()).collect()))
    }

    fn apply(&mut self, events: Vec<Event>) -> Result<(), TargetError> {
        if let Some(left) = &mut self.batches_left {
            *left = left.checked_sub(1).ok_or("the disk is full")?;
        }
        self.batches.push(events.len());
        for event in events {
            if self.strict {
                let again = Event::decode(event.encode().as_bytes(), u64::MAX / 2)?;
                assert_eq!(again, event);
            }
            let version = Arc::new(event.version);
            match event.change {
                Change::BlockUpserted { block, patch } => {
                    let page = self.pages.entry(patch.page.clone()).or_default();
                    page.blocks.entry(block).or_default().upsert(&version, patch);
                }
                Change::BlockDeleted { block, page } => {
                    self.pages.entry(page).or_default().blocks.entry(block).or_default().delete(&version);
                }
                Change::GroupChanged { group, members } => {
                    self.groups.entry(group).or_default().members.write(&version, members);
                }
                Change::MemberChanged { user, role } => {
                    self.members.entry(user).or_default().role.write(&version, role);
                }
                change => {
                    let (Change::PageUpserted { page, .. }
                    | Change::PageTrashed { page }
                    | Change::PageRestored { page }
                    | Change::PageDeleted { page }
                    | Change::PageAccessChanged { page, .. }) = &change
                    else {
                        panic!("imports send no {}", change.type_name());
                    };
                    self.pages.entry(page.clone()).or_default().apply(&change, &version);
                }
            }
        }
        Ok(())
    }
}

impl Memory {
    /// One that checks every event.
    pub(super) fn strict() -> Self {
        Self { strict: true, ..Self::default() }
    }

    pub(super) fn import(&mut self, source: &Source) -> Report {
        self.import_with(source, |_| {})
    }

    pub(super) fn import_with(&mut self, source: &Source, set: impl FnOnce(&mut Options)) -> Report {
        let mut options = options();
        set(&mut options);
        run(source, &options, self, &mut |_| {}).unwrap()
    }

    /// Every page that exists as text: title, then its blocks, indented.
    pub(super) fn text(&self) -> BTreeMap<&str, String> {
        let exist = self.pages.iter().filter(|(_, page)| page.exists());
        let text = |id: &PageId, page: &PageRecord| {
            let title = page.title.value().map_or("", String::as_str);
            let blocks = page.blocks_in_order(id).into_iter().map(|(_, content, depth)| {
                format!("{}{}: {}\n", "  ".repeat(depth), content.kind.as_str(), content.plain_text())
            });
            [vec![format!("{title}\n")], blocks.collect()].concat().concat()
        };
        exist.map(|(id, page)| (id.as_str(), text(id, page))).collect()
    }

    fn titled(&self, title: &str) -> (&PageId, &PageRecord) {
        let named = |page: &PageRecord| page.exists() && page.title.value().is_some_and(|held| held == title);
        self.pages.iter().find(|(_, page)| named(page)).unwrap_or_else(|| panic!("no page is called {title}"))
    }
}

pub(super) fn options() -> Options {
    Options::new(WorkspaceId::new("w").unwrap(), "2026-06-01T00:00:00Z".parse().unwrap())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            folder.write(path, text.as_bytes());
        }
        folder
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn source(&self) -> Source {
        Source::Markdown(self.0.path().to_owned())
    }
}

fn small() -> Folder {
    Folder::new(&[
        (
            "team/index.md",
            "---\nicon: 🏠\nauthor: ada\n---\n# The team\n\nSee [the plan](plan.md#goals) and [out](https://x.example).\n",
        ),
        ("team/plan.md", "First.\n\nSecond.\n\n- a\n  - b\n"),
        ("team/deep/down/note.md", "---\ntitle: Note\ntags: [x]\nupdated: 2026-01-02\n---\ntext"),
        ("db/index.md", "---\nkind: database\n---\n"),
        ("db/row.md", "---\nproperties: {Points: 3}\n---\n"),
    ])
}

#[test]
fn a_folder_becomes_a_tree_of_pages() {
    let mut memory = Memory::strict();
    let folder = small();
    let report = memory.import(&folder.source());
    assert_eq!(report.warnings, []);
    assert_eq!((report.pages_seen, report.pages_changed), (7, 7));
    assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
    let (team_id, team) = memory.titled("The team");
    let (plan_id, plan) = memory.titled("Plan");
    assert_eq!(team.parent.value(), Some(&Parent::Workspace));
    assert_eq!(team.grants.value().unwrap()[0].principal.to_string(), "workspace");
    assert_eq!(plan.parent.value(), Some(&Parent::Page { id: team_id.clone() }));
    assert!(plan.grants.is_empty(), "what inherits has no sharing of its own");
    let (_, first, _) = team.blocks_in_order(team_id)[0];
    let links: Vec<_> = first.links().map(str::to_owned).collect();
    assert_eq!(links, [format!("/p/{plan_id}"), "https://x.example".to_owned()]);
    assert_eq!(
        memory.text()[plan_id.as_str()],
        "Plan\nparagraph: First.\nparagraph: Second.\nbulleted_list_item: a\n  bulleted_list_item: b\n"
    );
    let (_, row) = memory.titled("Row");
    assert_eq!(row.kind.value(), Some(&PageKind::Row));
    assert_eq!(memory.titled("Down").1.parent.value(), Some(&Parent::Page { id: memory.titled("Deep").0.clone() }));
}

#[test]
fn importing_again_changes_nothing_and_an_edit_changes_little() {
    let mut memory = Memory::default();
    let folder = small();
    memory.import(&folder.source());
    assert_eq!(memory.import(&folder.source()).events, 0);
    folder.write("team/plan.md", b"First.\n\nSecond, changed.\n\n- a\n  - b\n");
    let report = memory.import(&folder.source());
    assert_eq!((report.events, report.pages_changed), (2, 1));
}

#[test]
fn an_import_that_was_cut_short_goes_on() {
    let folder = small();
    let big: String = (0..12_000).map(|n| n.to_string() + "\n\n").collect();
    folder.write("big.md", big.as_bytes());
    let mut whole = Memory::default();
    let all = whole.import(&folder.source()).events;
    assert!(whole.batches.iter().all(|&events| events <= feed::BATCH_EVENTS_MAX));
    for batches in 0..whole.batches.len() {
        let mut memory = Memory { batches_left: Some(batches), ..Memory::default() };
        let error = run(&folder.source(), &options(), &mut memory, &mut |_| {}).unwrap_err();
        assert!(matches!(error, ImportError::Target(_)));
        let done: usize = memory.batches.iter().sum();
        memory.batches_left = None;
        assert_eq!(memory.import(&folder.source()).events, all - done as u64);
        assert_eq!(memory.text(), whole.text());
    }
}

#[test]
fn a_manifest_gives_people_groups_and_sharing_before_pages() {
    let folder = small();
    folder.write(
        "workspace.toml",
        br#"
            [[members]]
            user = "ada"
            [[groups]]
            id = "g"
            members = ["user:ada"]
            [[teamspaces]]
            folder = "team"
            title = "Team space"
            grants = ["group:g:edit"]
            [[pages]]
            path = "team/deep"
            restricted = true
            grants = ["user:ada:full"]
        "#,
    );
    let mut memory = Memory::default();
    let report = memory.import(&folder.source());
    assert_eq!((report.warnings, report.notes), (vec![], vec![]));
    let (_, team) = memory.titled("Team space");
    assert_eq!(team.kind.value(), Some(&PageKind::Teamspace));
    assert_eq!(memory.titled("Deep").1.restricted.value(), Some(&true));
    assert!(memory.titled("Db").1.grants.is_empty(), "with a manifest nothing is open that it does not open");
    assert_eq!((memory.members.len(), memory.groups.len()), (1, 1));
    assert_eq!(memory.import(&folder.source()).events, 0);

    folder.write("workspace.toml", b"[[pages]]\npath = \"team/depe\"\nrestricted = true\n");
    let error = run(&folder.source(), &options(), &mut Memory::default(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("team/depe"), "{error}");
}

#[test]
fn what_cannot_be_read_is_reported_and_kept_closed() {
    let folder = small();
    folder.write("team/bad.md", b"\xff\xfe broken");
    folder.write("secret/index.md", b"---\nrestricted: true\n---\n\xff");
    folder.write("secret/child.md", b"child");
    folder.write("team/yaml.md", b"---\ntitle: a: b\n---\ntext");
    let mut memory = Memory::default();
    let report = memory.import_with(&folder.source(), |options| options.prune = true);
    let files: Vec<_> = report.warnings.iter().map(|warning| warning.file.as_str()).collect();
    assert_eq!(files, ["secret/index.md", "team/bad.md", "team/yaml.md", ""]);
    assert_eq!(memory.titled("a: b").1.blocks.len(), 1);
    let secret = memory.titled("Secret").1;
    assert_eq!((secret.restricted.value(), secret.grants.value()), (Some(&true), Some(&vec![])));

    let before = memory.text().len();
    folder.write("team/plan.md", b"\xff");
    let report = memory.import(&folder.source());
    assert_eq!((report.events, memory.text().len()), (0, before), "what was read before stays as it was");
}

#[test]
fn pages_that_are_gone_are_pruned_when_asked() {
    let folder = small();
    let mut memory = Memory::default();
    memory.import(&folder.source());
    fs::remove_file(folder.0.path().join("team/plan.md")).unwrap();
    assert_eq!(memory.import(&folder.source()).pages_removed, 0);
    let report = memory.import_with(&folder.source(), |options| options.prune = true);
    assert_eq!(report.pages_removed, 1);
    assert!(memory.text().keys().all(|id| !id.starts_with("plan-")));
    let other = Folder::new(&[("x.md", "other")]);
    let report = memory.import_with(&other.source(), |options| {
        options.prune = true;
        options.region = RegionId::new("import-other").unwrap();
    });
    assert_eq!(report.pages_removed, 0, "another region's pages are not this import's to delete");
}

#[test]
fn a_pages_file_becomes_the_same_pages_as_the_folder() {
    let folder = small();
    let mut lines = String::new();
    for path in ["db/row.md", "team/plan.md", "team/deep/down/note.md", "team/index.md", "db/index.md"] {
        let markdown = fs::read_to_string(folder.0.path().join(path)).unwrap();
        lines += &serde_json::json!({"path": path, "title": "ignored", "markdown": markdown}).to_string();
        lines.push('\n');
    }
    let mut from_folder = Memory::default();
    from_folder.import(&folder.source());
    for (name, bytes) in [
        ("pages.jsonl", lines.clone().into_bytes()),
        ("pages.jsonl.zst", zstd::encode_all(lines.as_bytes(), 1).unwrap()),
    ] {
        folder.write(name, &bytes);
        let mut memory = Memory::default();
        let report = memory.import(&Source::Pages(folder.0.path().join(name)));
        assert_eq!(report.warnings, []);
        let without_titles = |memory: &Memory| {
            let text = memory.text().into_iter();
            text.map(|(id, text)| (id.to_owned(), text.lines().skip(1).map(str::to_owned).collect())).collect()
        };
        let expected: BTreeMap<String, Vec<String>> = without_titles(&from_folder);
        let ids = page_ids(&Source::Pages(folder.0.path().join(name))).unwrap();
        assert_eq!(&ids["team/index.md"], memory.titled("The team").0);
        assert_eq!(without_titles(&memory), expected);
    }
    folder.write(
        "bad.jsonl",
        b"{\"path\": \"a.md\", \"markdown\": \"a\"}\nnonsense\n{\"path\": \"../b\", \"markdown\": \"\"}\n",
    );
    let report = Memory::default().import(&Source::Pages(folder.0.path().join("bad.jsonl")));
    let lines: Vec<_> = report.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!((lines, report.pages_seen), (vec![Some(2), Some(3)], 1));
}

/// Writes down what it is sent.
struct Tape(Vec<String>, Memory);
impl Target for Tape {
    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, TargetError> {
        self.1.page(page)
    }
    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, TargetError> {
        self.1.group(group)
    }
    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, TargetError> {
        self.1.member(user)
    }
    fn apply(&mut self, events: Vec<Event>) -> Result<(), TargetError> {
        self.0.extend(events.iter().map(Event::encode));
        self.1.apply(events)
    }
}

#[test]
fn events_go_through_and_bad_lines_are_named() {
    let folder = small();
    let mut tape = Tape(Vec::new(), Memory::default());
    run(&folder.source(), &options(), &mut tape, &mut |_| {}).unwrap();
    let good = tape.0.len() as u64;
    let stranger = tape.0[0].replace("\"workspaceid\":\"w\"", "\"workspaceid\":\"other\"");
    let lines = [vec!["{}".to_owned(), stranger], tape.0, vec!["not json".to_owned()]].concat().join("\n");
    folder.write("events.ndjson.zst", &zstd::encode_all(lines.as_bytes(), 1).unwrap());
    let path = folder.0.path().join("events.ndjson.zst");
    let mut memory = Memory::default();
    let report = memory.import(&Source::Events(path));
    assert_eq!(report.events, good);
    let bad: Vec<_> = report.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(bad, [Some(1), Some(2), Some(good + 3)]);
    assert_eq!(memory.text(), tape.1.text());
}

#[test]
fn sources_are_told_apart() {
    let folder = small();
    let event = "{\"specversion\":\"1.0\"}";
    let page = "{\"path\":\"a.md\",\"markdown\":\"\"}";
    for (name, text) in [("e.ndjson", event), ("p.jsonl", page), ("x.jsonl", "{}"), ("x.txt", ""), ("empty.jsonl", "")]
    {
        folder.write(name, text.as_bytes());
    }
    let detect = |name: &str| Source::detect(&folder.0.path().join(name));
    assert!(matches!(detect(""), Ok(Source::Markdown(_))));
    assert!(matches!(detect("e.ndjson"), Ok(Source::Events(_))));
    assert!(matches!(detect("p.jsonl"), Ok(Source::Pages(_))));
    for name in ["x.jsonl", "x.txt", "empty.jsonl"] {
        assert!(matches!(detect(name), Err(ImportError::UnknownSource { .. })), "{name}");
    }
    assert!(matches!(detect("missing"), Err(ImportError::Read { .. })));
}

#[test]
fn a_history_moves_deletes_and_repairs_links() {
    let folder = Folder::new(&[]);
    let base = [("a.md", "# A\n\n[b](b.md)"), ("b.md", "# B")];
    let page = |(path, markdown): (&str, &str)| serde_json::json!({"path": path, "markdown": markdown}).to_string();
    folder.write("base.jsonl", base.map(page).join("\n").as_bytes());
    let edit = |seq: u32, changes: serde_json::Value| {
        let time = format!("2023-01-0{seq}T00:00:00Z");
        serde_json::json!({"seq": seq, "time": time, "author": "u1", "changes": changes}).to_string()
    };
    let edits = [
        edit(1, serde_json::json!([{"op": "move", "from": "b.md", "path": "c/b.md", "markdown": "# B\n\nmoved"}])),
        edit(
            2,
            serde_json::json!([
                {"op": "put", "path": "b.md", "markdown": "# New B"},
                {"op": "delete", "path": "c/b.md"},
                {"op": "delete", "path": "never.md"},
            ]),
        ),
    ];
    let replay = |edits: &[String]| {
        folder.write("edits.jsonl", edits.join("\n").as_bytes());
        let file = |name: &str| folder.0.path().join(name);
        let mut memory = Memory::strict();
        let report = memory.import(&Source::History { base: file("base.jsonl"), edits: file("edits.jsonl") });
        (memory, report)
    };
    let links = |memory: &Memory| -> Vec<String> {
        let (id, page) = memory.titled("A");
        page.blocks_in_order(id)[0].1.links().map(str::to_owned).collect()
    };
    let (memory, report) = replay(&edits[..1]);
    assert_eq!(report.warnings, []);
    assert_eq!(links(&memory), ["b.md"], "the link lost its page");
    let (id, moved) = memory.titled("B");
    assert_eq!(moved.edited_by.value().unwrap().as_str(), "u1");
    assert_eq!(memory.text()[id.as_str()], "B\nparagraph: moved\n");
    let (memory, report) = replay(&edits);
    assert_eq!(report.warnings.len(), 1);
    assert_eq!(memory.text().len(), 2, "{:?}", memory.text());
    assert_eq!(links(&memory), [format!("/p/{}", memory.titled("New B").0)], "the link found its page again");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    #[test]
    fn any_files_give_events_that_are_taken(
        files in proptest::collection::hash_map("([ab]/){0,2}(index|README|a|b)\\.md", "(---\n(title|id|kind|tags|grants|restricted|icon): [a-z: \\[\\]]{0,12}\n---\n)?[-#>*|\\[\\](){}<a-z/ \n`1.$é語\u{1}]{0,80}", 0..8),
        again in proptest::collection::hash_map("([ab]/){0,2}(index|README|a|b)\\.md", "(?s).{0,40}", 0..4),
    ) {
        let folder = Folder::new(&[]);
        let mut memory = Memory::strict();
        for files in [files, again] {
            for (path, text) in &files {
                folder.write(path, text.as_bytes());
            }
            let set = |options: &mut Options| options.prune = true;
            memory.import_with(&folder.source(), set);
            proptest::prop_assert_eq!(memory.import_with(&folder.source(), set).events, 0);
        }
    }
}
