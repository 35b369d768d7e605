use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::tests::{Memory, options};
use super::super::{ImportError, Source, run};
use super::*;

const TEAM: &str = "0123456789abcdef0123456789abcdef";
const PLAN: &str = "11111111111111111111111111111111";
const TASKS: &str = "22222222222222222222222222222222";
const FIX: &str = "33333333333333333333333333333333";

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn import(bytes: &[u8]) -> Result<(Memory, super::super::report::Report), ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.zip");
    std::fs::write(&path, bytes).unwrap();
    let mut memory = Memory::strict();
    assert_eq!(Source::detect(&path).unwrap(), Source::Notion(path.clone()));
    let report = run(&Source::Notion(path), &options(), &mut memory, &mut |_| {})?;
    Ok((memory, report))
}

fn export(with_ids_in_folders: bool) -> Vec<(String, Vec<u8>)> {
    let (team, tasks) = if with_ids_in_folders {
        (format!("Team {TEAM}"), format!("Tasks {TASKS}"))
    } else {
        ("Team".to_owned(), "Tasks".to_owned())
    };
    let link = team.replace(' ', "%20");
    let file = |path: String, text: &str| (path, text.as_bytes().to_vec());
    vec![
        file(
            format!("Team {TEAM}.md"),
            &format!(
                "# Team\n\n[Plan]({link}/Plan%20{PLAN}.md) and [tasks](https://www.notion.so/x/Tasks-{TASKS}?pvs=4)\n\n\
                 <aside>\n💡 Mind this\n\n</aside>\n"
            ),
        ),
        file(format!("{team}/Plan {PLAN}.md"), "# Plan\n\nText.\n"),
        file(
            format!("{team}/Tasks {TASKS}.csv"),
            "\u{feff}Name,Points,Done,Tags,Created time\nFix it,3,Yes,\"a, b\",\"March 3, 2024 10:15 AM\"\n",
        ),
        file(
            format!("{team}/Tasks {TASKS}_all.csv"),
            "\u{feff}Name,Points,Done,Tags,Created time\nFix it,3,Yes,\"a, b\",\"March 3, 2024 10:15 AM\"\nNo page,5,No,,\n",
        ),
        file(
            format!("{team}/{tasks}/Fix it {FIX}.md"),
            "# Fix it\n\nPoints: 3\nDone: Yes\nTags: a, b\n\nNote: not a property\n",
        ),
        file(format!("{team}/picture.png"), "png"),
    ]
}

fn as_slices(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect()
}

#[track_caller]
fn check_export(bytes: &[u8]) {
    let (memory, report) = import(bytes).unwrap();
    assert_eq!(report.warnings, []);
    let text = memory.text();
    assert_eq!(text.len(), 5, "{text:#?}");
    assert_eq!(text[TEAM], "Team\nparagraph: Plan and tasks\ncallout: 💡 Mind this\n");
    assert_eq!(text[PLAN], "Plan\nparagraph: Text.\n");
    assert_eq!(text[TASKS], "Tasks\n");
    assert_eq!(text[FIX], "Fix it\nparagraph: Note: not a property\n");
    let page = |id: &str| &memory.pages[&PageId::new(id).unwrap()];
    let team = page(TEAM).blocks_in_order(&PageId::new(TEAM).unwrap());
    let links: Vec<&str> = team[0].1.links().collect();
    assert_eq!(links, [format!("/p/{PLAN}"), format!("/p/{TASKS}")]);
    let parent = |id: &str| serde_json::to_value(page(id).parent.value().unwrap()).unwrap()["id"].clone();
    assert_eq!((parent(PLAN), parent(TASKS), parent(FIX)), (TEAM.into(), TEAM.into(), TASKS.into()));
    assert_eq!(page(TASKS).kind.value(), Some(&PageKind::Database));
    let row = page(FIX);
    assert_eq!(row.kind.value(), Some(&PageKind::Row));
    let property = |name: &str| row.properties[name].value().unwrap().clone().unwrap();
    assert_eq!(property("Points"), PropertyValue::Number(3.into()));
    assert_eq!(property("Done"), PropertyValue::Checkbox(true));
    assert_eq!(property("tags"), PropertyValue::List(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(row.created_at.value().unwrap().to_string(), "2024-03-03T10:15:00Z");
    assert!(text.values().any(|text| text == "No page\n"), "a record without a page is a row too");
}

#[test]
fn an_export_becomes_pages_databases_and_rows() {
    check_export(&zipped(&as_slices(&export(true))));
}

#[test]
fn folders_without_ids_belong_to_the_page_of_their_name() {
    check_export(&zipped(&as_slices(&export(false))));
}

#[test]
fn an_export_in_parts_is_one_export() {
    let files = export(true);
    let files: Vec<(String, Vec<u8>)> =
        files.into_iter().map(|(path, bytes)| (format!("Export-1234/{path}"), bytes)).collect();
    let (first, second) = files.split_at(2);
    let parts = [("Export-Part-1.zip", zipped(&as_slices(first))), ("Export-Part-2.zip", zipped(&as_slices(second)))];
    check_export(&zipped(&parts.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect::<Vec<_>>()));
}

#[test]
fn an_html_export_keeps_its_text_and_links() {
    let team = format!(
        "<html><head><title>x</title><style>p{{}}</style></head><body><article><h1>Team</h1><p>See \
         <a href=\"Team%20{TEAM}/Plan%20{PLAN}.html\">the plan</a></p></article></body></html>"
    );
    let files = [
        ("index.html".to_owned(), b"<html>list</html>".to_vec()),
        (format!("Team {TEAM}.html"), team.into_bytes()),
        (format!("Team {TEAM}/Plan {PLAN}.html"), b"<h1>Plan</h1><ul><li>one</li></ul>".to_vec()),
    ];
    let (memory, report) = import(&zipped(&as_slices(&files))).unwrap();
    assert_eq!(report.warnings, []);
    assert_eq!(memory.text()[TEAM], "Team\nparagraph: See the plan\n");
    assert_eq!(memory.text()[PLAN], "Plan\nbulleted_list_item: one\n");
}

#[test]
fn paths_that_lead_elsewhere_and_bombs_are_refused() {
    let bomb = vec![b' '; 30 << 20];
    let name = format!("Big {PLAN}.md");
    let files: [(&str, &[u8]); 4] =
        [("../../etc/evil.md", b"# Evil"), ("/abs.md", b"# Abs"), (&name, &bomb), ("ok.md", b"# Ok")];
    let (memory, report) = import(&zipped(&files)).unwrap();
    let reasons: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons.iter().filter(|reason| reason.contains("leads out of the archive")).count() == 2);
    assert!(reasons.iter().any(|reason| reason.contains("zip bomb")));
    assert!(memory.text().values().any(|text| text == "Ok\n"));

    let inner = zipped(&[("deep.md", b"# Deep")]);
    let middle = zipped(&[("inner.zip", &inner)]);
    let (memory, _) = import(&zipped(&[("middle.zip", &middle), ("ok.md", b"# Ok")])).unwrap();
    assert_eq!(memory.text().len(), 1, "archives are opened one level deep");
}

#[test]
fn names_that_are_not_utf8_are_read() {
    let mut bytes = zipped(&[("na_me.md", b"# Name"), ("b.md", b"# B")]);
    while let Some(at) = bytes.windows(7).position(|window| window == b"na_me.m") {
        bytes[at + 2] = 0x82;
    }
    let (memory, _) = import(&bytes).unwrap();
    assert_eq!(memory.text().len(), 2);
}

#[test]
fn what_is_no_archive_is_an_error() {
    for bytes in [&b""[..], b"not a zip", b"PK\x05\x06"] {
        assert!(matches!(import(bytes), Err(ImportError::Archive { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_archive_is_read_without_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), cut in any::<prop::sample::Index>(), cuts in any::<bool>()) {
        let mut bytes = zipped(&as_slices(&export(true)));
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = import(&bytes);
    }

    #[test]
    fn any_csv_is_read_without_panic(csv in "[a,\"\\n;\u{feff}é ]{0,80}", body in "(?s).{0,80}") {
        let mut spill = Spill::new().unwrap();
        if let Ok((database, _)) = Database::read(&csv, &mut spill) {
            database.take_properties(&body);
        }
    }
}
