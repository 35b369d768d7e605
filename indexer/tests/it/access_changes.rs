//! Taking access away holds at once; giving it holds with the commit.

use access::{Caller, Purpose, Subject};
use index::Index;
use indexer::engine::Wait;
use schemas::event::Change;
use schemas::grant::Role;
use schemas::ids::{PageId, WorkspaceId};

use crate::site::Site;
use crate::source::{Source, page, user};

fn finds(index: &Index, workspace: &WorkspaceId, who: &str, wanted: &PageId) -> bool {
    let caller = Caller { workspace: workspace.clone(), subject: Subject::User(user(who)) };
    let workspace = index.catalog().get(workspace).unwrap();
    let state = workspace.read();
    let mask = state.access.mask(&caller, Purpose::Discover);
    state.access.ordinal_of(wanted).is_some_and(|ordinal| mask.allows(ordinal))
}

#[test]
fn a_revocation_holds_before_the_commit_and_a_grant_with_it() {
    let mut site = Site::new();
    site.config.commit_interval_ms = 10_000;
    let index = site.index();
    let engine = site.open_over(index.clone());
    let mut source = Source::new("acme", "eu");
    let events = [
        source.member("ada", Role::Member),
        source.page("a", "A", None),
        source.page("b", "B", Some("a")),
        source.block("b", "b1", "text"),
        source.grant("a", &["user:ada:view"]),
    ];
    engine.submit(&events, Wait::Applied).unwrap();
    let sees = |id: &str| finds(&index, &source.workspace, "ada", &page(id));
    assert!(!sees("a") && !sees("b"), "what is not searchable yet is not given");
    assert!(engine.close());
    assert!(sees("a") && sees("b"));

    drop(engine);
    drop(index);
    let index = site.index();
    let engine = site.open_over(index.clone());
    let sees = |workspace: &WorkspaceId, id: &str| finds(&index, workspace, "ada", &page(id));
    assert!(sees(&source.workspace, "b"));
    engine.submit(&[source.grant("a", &[])], Wait::Applied).unwrap();
    assert!(!sees(&source.workspace, "a") && !sees(&source.workspace, "b"));
    assert!(engine.close());
    assert!(!sees(&source.workspace, "b"));
}

#[test]
fn an_erased_person_sees_nothing_and_is_not_named() {
    let site = Site::new();
    let index = site.index();
    let engine = site.open_over(index.clone());
    let mut source = Source::new("acme", "eu");
    let events =
        [source.member("ada", Role::Member), source.page("a", "A", None), source.grant("a", &["workspace:view"])];
    engine.submit(&events, Wait::Searchable).unwrap();
    assert!(finds(&index, &source.workspace, "ada", &page("a")));
    let erased = source.write(Change::UserErased { user: user("ada") });
    engine.submit(&[erased], Wait::Applied).unwrap();
    assert!(!finds(&index, &source.workspace, "ada", &page("a")));
    // A later change of role brings nobody back.
    engine.submit(&[source.member("ada", Role::Member)], Wait::Searchable).unwrap();
    assert!(!finds(&index, &source.workspace, "ada", &page("a")));
    let workspace = index.catalog().get(&source.workspace).unwrap();
    assert!(!workspace.read().may_name(&user("ada")));
}
