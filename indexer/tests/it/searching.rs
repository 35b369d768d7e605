//! What was written is what is found, at its newest place and nowhere else.

use std::collections::BTreeSet;

use access::{Caller, Purpose, Subject};
use index::{Clause, ClauseKind, Field, Index, LexicalQuery, Occur};
use indexer::engine::{Engine, Wait};
use schemas::event::{Change, Event};
use schemas::grant::Role;
use schemas::ids::WorkspaceId;

use crate::site::Site;
use crate::source::{Source, page, user};

struct Found {
    index: Index,
    engine: Engine,
    workspace: WorkspaceId,
}

impl Found {
    /// Submits events and expects a word on just these pages.
    #[track_caller]
    fn check(&self, events: &[Event], word: &str, expected: &[&str]) {
        self.engine.submit(events, Wait::Searchable).unwrap();
        assert_eq!(self.pages_with(word, Purpose::Discover), expected.iter().map(ToString::to_string).collect());
    }

    fn pages_with(&self, word: &str, purpose: Purpose) -> BTreeSet<String> {
        let caller = Caller { workspace: self.workspace.clone(), subject: Subject::User(user("ada")) };
        let workspace = self.index.catalog().get(&self.workspace).unwrap();
        let mask = workspace.read().access.mask(&caller, purpose);
        let kind = ClauseKind::Words(word.to_owned());
        let clauses = vec![Clause { occur: Occur::Must, field: Field::All, kind }];
        let query = LexicalQuery { clauses, last_word_is_prefix: false, fuzzy: false };
        let found = self.index.searcher().lexical(&mask, &query, 100).unwrap();
        let state = workspace.read();
        found.iter().map(|candidate| state.access.page_of(candidate.page).unwrap().to_string()).collect()
    }
}

#[test]
fn text_is_found_where_it_stands_now_and_nowhere_else() {
    let site = Site::new();
    let index = site.index();
    let engine = site.open_over(index.clone());
    let mut source = Source::new("acme", "eu");
    let found = Found { index, engine, workspace: source.workspace.clone() };
    let mut events = vec![source.member("ada", Role::Member)];
    for id in ["a", "b"] {
        events.extend([source.page(id, &format!("Title {id}"), None), source.grant(id, &["workspace:edit"])]);
    }
    events.push(source.block("a", "moving", "heliostat"));
    found.check(&events, "heliostat", &["a"]);
    found.check(&[source.block("b", "moving", "heliostat")], "heliostat", &["b"]);
    found.check(&[source.block("b", "moving", "coronagraph")], "heliostat", &[]);
    found.check(&[], "coronagraph", &["b"]);
    found.check(&[source.page("b", "Spectrograph", None)], "spectrograph", &["b"]);
    found.check(&[source.page("b", "Sundial", None)], "spectrograph", &[]);
    found.check(&[source.property("b", "Status", "obsolete")], "obsolete", &["b"]);
    found.check(&[source.write(Change::PageTrashed { page: page("b") })], "coronagraph", &[]);
    assert_eq!(found.pages_with("coronagraph", Purpose::Trash), ["b".to_owned()].into());
    found.check(&[source.write(Change::PageRestored { page: page("b") })], "coronagraph", &["b"]);
    found.check(&[source.delete_block("b", "moving")], "coronagraph", &[]);
    found.check(&[source.write(Change::PageDeleted { page: page("b") })], "sundial", &[]);
}

#[test]
fn a_page_of_blocks_that_came_first_is_found_once_the_page_is_there() {
    let site = Site::new();
    let index = site.index();
    let engine = site.open_over(index.clone());
    let mut source = Source::new("acme", "eu");
    let found = Found { index, engine, workspace: source.workspace.clone() };
    let first = [source.member("ada", Role::Member), source.block("a", "a1", "early words")];
    found.check(&first, "early", &[]);
    found.check(&[source.grant("a", &["workspace:view"])], "early", &[]);
    found.check(&[source.page("a", "A", None)], "early", &["a"]);
}

#[test]
fn a_full_page_and_a_full_group_are_taken_in() {
    let site = Site::new();
    let index = site.index();
    let engine = site.open_over(index.clone());
    let mut source = Source::new("acme", "eu");
    let found = Found { index, engine, workspace: source.workspace.clone() };
    let people: Vec<String> = (0..20_000).map(|n| format!("user:person-{n}")).chain(["user:ada".to_owned()]).collect();
    let group = source.group("all", &people.iter().map(String::as_str).collect::<Vec<_>>()[1..]);
    let events = [source.member("ada", Role::Guest), group, source.grant("long", &["group:all:view"])];
    found.check(&events, "word", &[]);
    let mut blocks = vec![source.page("long", "Long", None)];
    blocks.extend((0..20_000).map(|n| source.block("long", &format!("block{n}"), "one of many lines")));
    blocks.push(source.block("long", "block7", "heliostat"));
    blocks.push(source.block("long", "block19999", "coronagraph"));
    for batch in blocks.chunks(5_000) {
        assert_eq!(found.engine.submit(batch, Wait::Applied).unwrap().rejected, []);
    }
    found.check(&[], "heliostat", &["long"]);
    found.check(&[source.block("long", "block7", "spectrograph")], "spectrograph", &["long"]);
    found.check(&[], "heliostat", &[]);
    found.check(&[], "coronagraph", &["long"]);
}
