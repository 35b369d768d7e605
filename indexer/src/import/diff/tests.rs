use std::sync::Arc;

use proptest::prelude::*;
use schemas::block::BlockType;
use schemas::grant::Role;
use schemas::ids::{GroupId, UserId};
use schemas::page::Parent;

use super::super::desired::DesiredAccess;
use super::*;

fn stamp() -> Stamp {
    Stamp {
        workspace: WorkspaceId::new("w").unwrap(),
        region: RegionId::new("import").unwrap(),
        source: "test".to_owned(),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn page(texts: &[&str]) -> DesiredPage {
    let mut page = DesiredPage::new(PageId::new("p").unwrap(), Parent::Workspace, "Page");
    page.blocks = texts.iter().map(|text| BlockContent::text(BlockType::Paragraph, *text).into()).collect();
    page
}

/// Applies events to a record the way a store does.
fn apply(record: &mut PageRecord, events: Vec<Event>) {
    for event in events {
        let version = Arc::new(event.version);
        match event.change {
            Change::BlockUpserted { block, patch } => {
                record.blocks.entry(block).or_default().upsert(&version, patch);
            }
            Change::BlockDeleted { block, .. } => {
                record.blocks.entry(block).or_default().delete(&version);
            }
            change => {
                record.apply(&change, &version);
            }
        }
    }
}

fn texts(record: &PageRecord) -> Vec<String> {
    let page = PageId::new("p").unwrap();
    record.blocks_in_order(&page).into_iter().map(|(_, content, _)| content.plain_text()).collect()
}

#[track_caller]
fn check_edit(before: &[&str], after: &[&str], expected_events: &[&str]) {
    let mut record = PageRecord::default();
    apply(&mut record, events(&page(before), None, &stamp()));
    let made = events(&page(after), Some(&record), &stamp());
    let types: Vec<_> = made.iter().map(|event| event.change.type_name()).collect();
    assert_eq!(types, expected_events);
    apply(&mut record, made);
    assert_eq!(texts(&record), after);
    assert_eq!(events(&page(after), Some(&record), &stamp()), []);
}

#[test]
fn only_what_differs_is_said() {
    check_edit(&["a", "b"], &["a", "b"], &[]);
    check_edit(&["a", "b"], &["a", "b changed"], &["block.deleted", "block.upserted"]);
    check_edit(&["a", "c"], &["a", "b", "c"], &["block.upserted"]);
    check_edit(&["a", "b", "c"], &["a", "c"], &["block.deleted"]);
    check_edit(&["a", "b", "c", "d"], &["d", "a", "b", "c"], &["block.upserted"]);
    check_edit(&["same", "same"], &["same", "same", "same"], &["block.upserted"]);
    check_edit(&[], &["a"], &["block.upserted"]);
    check_edit(&["a"], &[], &["block.deleted"]);
}

#[test]
fn sharing_comes_before_the_words_it_guards() {
    let mut desired = page(&["secret"]);
    desired.access = Some(DesiredAccess { grants: vec!["user:ada:full".parse().unwrap()], restricted: true });
    desired.trashed = true;
    let made = events(&desired, None, &stamp());
    let types: Vec<_> = made.iter().map(|event| event.change.type_name()).collect();
    assert_eq!(types, ["page.access_changed", "page.trashed", "page.upserted", "block.upserted"]);
    let mut record = PageRecord::default();
    apply(&mut record, made);
    assert_eq!(record.restricted.value(), Some(&true));

    let opened = events(&page(&["secret"]), Some(&record), &stamp());
    let types: Vec<_> = opened.iter().map(|event| event.change.type_name()).collect();
    assert_eq!(types, ["page.access_changed", "page.restored"], "what the source no longer says is taken back");
}

#[test]
fn what_others_set_stays_until_the_source_speaks_of_it() {
    let mut record = PageRecord::default();
    let other = Stamp { region: RegionId::new("eu").unwrap(), ..stamp() };
    let mut shared = page(&["a"]);
    shared.access = Some(DesiredAccess { grants: vec!["user:ada:full".parse().unwrap()], restricted: true });
    shared.properties.insert("Status".to_owned(), PropertyValue::Text("Done".to_owned()));
    shared.icon = Some("🛠".to_owned());
    shared.trashed = true;
    apply(&mut record, events(&shared, None, &other));
    assert_eq!(events(&page(&["a"]), Some(&record), &stamp()), []);

    let mut spoken = page(&["a"]);
    spoken.access = Some(DesiredAccess::default());
    spoken.properties.insert("Status".to_owned(), PropertyValue::Text("Open".to_owned()));
    let made = events(&spoken, Some(&record), &stamp());
    apply(&mut record, made);
    assert_eq!(record.grants.value(), Some(&Vec::new()));
    let version = record.grants.version().unwrap();
    assert_eq!(version.clock.0.len(), 2, "the import has seen the other region's write");
    assert!(version.timestamp > Timestamp { wall_ms: 1_767_225_600_000, logical: 0 });
}

#[test]
fn a_deleted_page_comes_back_whole() {
    let mut record = PageRecord::default();
    apply(&mut record, events(&page(&["a", "b"]), None, &stamp()));
    let gone = removal(&PageId::new("p").unwrap(), &record, &stamp());
    assert_eq!(gone.len(), 3);
    apply(&mut record, gone);
    assert!(!record.exists() && texts(&record).is_empty());
    assert_eq!(removal(&PageId::new("p").unwrap(), &record, &stamp()), []);
    let again = events(&page(&["a", "b"]), Some(&record), &stamp());
    apply(&mut record, again);
    assert!(record.exists());
    assert_eq!(record.title.value().map(String::as_str), Some("Page"));
    assert_eq!(texts(&record), ["a", "b"]);
}

#[test]
fn every_event_survives_the_wire() {
    let mut desired = page(&["a"]);
    desired.blocks[0].children.push(BlockContent::text(BlockType::Code, "nested").into());
    desired.properties.insert("tags".to_owned(), PropertyValue::List(vec!["x".to_owned()]));
    for event in events(&desired, None, &stamp()) {
        let now_ms = 1_767_225_600_000;
        assert_eq!(Event::decode(event.encode().as_bytes(), now_ms).as_ref(), Ok(&event));
    }
}

#[test]
fn members_and_groups_are_said_once() {
    let ada = UserId::new("ada").unwrap();
    let desired = DesiredMember { user: ada.clone(), role: Role::Guest };
    let event = member(&desired, None, &stamp()).unwrap();
    let mut record = MemberRecord::default();
    record.role.write(&Arc::new(event.version), Role::Guest);
    assert_eq!(member(&desired, Some(&record), &stamp()), None);

    let members = vec!["user:bo".parse().unwrap(), "user:ada".parse().unwrap()];
    let desired = DesiredGroup { id: GroupId::new("g").unwrap(), members: members.clone() };
    let event = group(&desired, None, &stamp()).unwrap();
    let mut record = GroupRecord::default();
    record.members.write(&Arc::new(event.version), Some(members));
    assert_eq!(group(&desired, Some(&record), &stamp()), None);
}

#[test]
fn an_erased_person_stays_erased() {
    let mut record = MemberRecord::default();
    let mut seen = Seen::default();
    record.erased.write(&Arc::new(seen.next(&stamp())), true);
    let desired = DesiredMember { user: UserId::new("ada").unwrap(), role: Role::Member };
    assert_eq!(member(&desired, Some(&record), &stamp()), None);
}

proptest! {
    #[test]
    fn any_series_of_edits_ends_in_what_was_asked(
        versions in prop::collection::vec(prop::collection::vec(0u8..6, 0..12), 1..6),
        stops in prop::collection::vec(0usize..8, 1..6),
    ) {
        let mut record = PageRecord::default();
        for (version, stop) in versions.iter().zip(stops.iter().chain(std::iter::repeat(&usize::MAX))) {
            let texts: Vec<String> = version.iter().map(|n| format!("text {n}")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut made = events(&page(&texts), Some(&record), &stamp());
            made.truncate(*stop);
            apply(&mut record, made);
        }
        let last: Vec<String> = versions.last().unwrap().iter().map(|n| format!("text {n}")).collect();
        let desired = page(&last.iter().map(String::as_str).collect::<Vec<_>>());
        let rest = events(&desired, Some(&record), &stamp());
        apply(&mut record, rest);
        prop_assert_eq!(texts(&record), last);
        prop_assert_eq!(events(&desired, Some(&record), &stamp()), vec![]);
    }

    #[test]
    fn one_insertion_among_many_is_one_event(at in 0usize..300) {
        let before: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        let mut after = before.clone();
        after.insert(at, "new".to_owned());
        let as_page = |texts: &[String]| page(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let mut record = PageRecord::default();
        apply(&mut record, events(&as_page(&before), None, &stamp()));
        prop_assert_eq!(events(&as_page(&after), Some(&record), &stamp()).len(), 1);
    }
}
