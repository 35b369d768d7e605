//! The truth table: every rule as a row that can be read aloud.

use std::fmt::Write as _;

use access::{AccessGraph, DEPTH_MAX, PageOrdinal, Purpose, Subject, Verdict};
use schemas::grant::Role;

use crate::world::{caller, deleted, group, member, node, page, page_id, put, restricted, trashed, user};

/// A situation in words, and how it comes about.
type Row = (&'static str, fn(&mut AccessGraph));

/// The asked page is always `page`; `top` is above it where there is something above.
const ROWS: &[Row] = &[
    ("no grants at all", |g| page(g, node("", &[]))),
    ("shared with the workspace", |g| page(g, node("", &["workspace:view"]))),
    ("public", |g| page(g, node("", &["public:view"]))),
    ("public, anyone may edit", |g| page(g, node("", &["public:edit"]))),
    ("public and shared with the workspace", |g| page(g, node("", &["public:view", "workspace:edit"]))),
    ("shared with the member by name", |g| page(g, node("", &["user:member:view"]))),
    ("shared with the guest by name", |g| page(g, node("", &["user:guest:view"]))),
    ("shared with the removed one by name", |g| page(g, node("", &["user:removed:full"]))),
    ("shared with the stranger by name", |g| page(g, node("", &["user:stranger:full"]))),
    ("shared with the outer group", |g| page(g, node("", &["group:outer:view"]))),
    ("shared with the inner group", |g| page(g, node("", &["group:inner:view"]))),
    ("shared with a group that does not exist", |g| page(g, node("", &["group:nowhere:view"]))),
    ("shared with a group in a cycle of groups", |g| {
        group(g, "outer", &["user:in-outer", "group:inner"]);
        group(g, "inner", &["user:in-inner", "user:guest-in-inner", "user:removed", "group:outer"]);
        put(g, "page", node("", &["group:inner:view"]));
    }),
    ("above shared with the workspace", |g| {
        put(g, "top", node("", &["workspace:view"]));
        put(g, "page", node("top", &[]));
    }),
    ("above public", |g| {
        put(g, "top", node("", &["public:view"]));
        put(g, "page", node("top", &[]));
    }),
    ("above shared with the workspace, itself with the guest", |g| {
        put(g, "top", node("", &["workspace:view"]));
        put(g, "page", node("top", &["user:guest:view"]));
    }),
    ("above shared with the workspace, itself restricted", |g| {
        put(g, "top", node("", &["workspace:full"]));
        put(g, "page", restricted(node("top", &[])));
    }),
    ("above shared with the workspace, itself restricted to the outer group", |g| {
        put(g, "top", node("", &["workspace:full"]));
        put(g, "page", restricted(node("top", &["group:outer:view"])));
    }),
    ("above public, itself restricted to the workspace", |g| {
        put(g, "top", node("", &["public:view"]));
        put(g, "page", restricted(node("top", &["workspace:view"])));
    }),
    ("below a page restricted to the member", |g| {
        put(g, "root", node("", &["workspace:full"]));
        put(g, "top", restricted(node("root", &["user:member:view"])));
        put(g, "page", node("top", &[]));
    }),
    ("restricted below, shared with the workspace itself", |g| {
        put(g, "top", restricted(node("", &[])));
        put(g, "page", node("top", &["workspace:view"]));
    }),
    ("in the trash, all members may view", |g| page(g, trashed(node("", &["workspace:view"])))),
    ("in the trash, all members may comment", |g| page(g, trashed(node("", &["workspace:comment"])))),
    ("in the trash, all members may edit", |g| page(g, trashed(node("", &["workspace:edit"])))),
    ("in the trash, the outer group has it full", |g| page(g, trashed(node("", &["group:outer:full"])))),
    ("in the trash, anyone may edit", |g| page(g, trashed(node("", &["public:edit"])))),
    ("in the trash, members view, anyone edits", |g| {
        put(g, "page", trashed(node("", &["workspace:view", "public:edit"])));
    }),
    ("above in the trash, all members may edit", |g| {
        put(g, "top", trashed(node("", &["workspace:edit"])));
        put(g, "page", node("top", &[]));
    }),
    ("above in the trash, itself restricted to editing by the member", |g| {
        put(g, "top", trashed(node("", &["workspace:edit"])));
        put(g, "page", restricted(node("top", &["user:member:edit"])));
    }),
    ("back from the trash, all members may edit", |g| {
        put(g, "page", trashed(node("", &["workspace:edit"])));
        put(g, "page", node("", &["workspace:edit"]));
    }),
    ("the page above is not known", |g| page(g, node("nowhere", &["workspace:full", "public:full"]))),
    ("where it hangs is not known", |g| page(g, node("?", &["workspace:full", "public:full"]))),
    ("the page above is not known, itself restricted to members", |g| {
        put(g, "page", restricted(node("nowhere", &["workspace:full"])));
    }),
    ("the page above is not known, and it is in the trash", |g| {
        put(g, "page", trashed(node("nowhere", &["workspace:full"])));
    }),
    ("the page above arrived later, shared with the workspace", |g| {
        put(g, "page", node("top", &[]));
        put(g, "top", node("", &["workspace:view"]));
    }),
    ("the page above is deleted", |g| {
        put(g, "top", node("", &["workspace:full"]));
        put(g, "page", node("top", &["workspace:full", "public:full"]));
        put(g, "top", deleted(node("", &["workspace:full"])));
    }),
    ("the page itself is deleted", |g| page(g, deleted(node("", &["workspace:full", "public:full"])))),
    ("it hangs under itself", |g| page(g, node("page", &["workspace:full", "public:full"]))),
    ("it and the page above hang under each other", |g| {
        put(g, "page", node("", &["workspace:full"]));
        put(g, "top", node("page", &["public:full"]));
        put(g, "page", node("top", &["workspace:full"]));
    }),
    ("they did, and it was moved out", |g| {
        put(g, "top", node("page", &[]));
        put(g, "page", node("top", &[]));
        put(g, "page", node("", &["workspace:view"]));
    }),
    ("at the 100th level, shared at the root", |g| chain(g, usize::from(DEPTH_MAX))),
    ("at the 101st level, shared at the root", |g| chain(g, usize::from(DEPTH_MAX) + 1)),
    ("moved with the page above it to the 101st level, under the same grants", |g| {
        chain(g, usize::from(DEPTH_MAX) + 1);
        put(g, "top", node("level-1", &[]));
        put(g, "page", node("top", &[]));
        put(g, "top", node("level-99", &[]));
    }),
    ("moved back up from there", |g| {
        chain(g, usize::from(DEPTH_MAX) + 1);
        put(g, "top", node("level-99", &[]));
        put(g, "page", node("top", &[]));
        put(g, "top", node("level-1", &[]));
    }),
];

/// Whom the columns ask for.
const COLUMNS: &[(&str, Option<&str>)] = &[
    ("member", Some("member")),
    ("guest", Some("guest")),
    ("in outer group", Some("in-outer")),
    ("in inner group", Some("in-inner")),
    ("guest in inner", Some("guest-in-inner")),
    ("removed", Some("removed")),
    ("stranger", Some("stranger")),
    ("anonymous", None),
];

const LEGEND: &str = "\
Who sees a page? One row for each situation, one column for each person.

    finds+opens    search shows it, and it opens
    opens by link  search does not show it, but it opens with its link
    in trash       neither, unless asked for the trash: there it is found and opens
    nothing        to this person it does not exist

The people in groups are members, one guest aside. The inner group is in the outer group. The removed one is still
listed in both groups. The stranger is a name that the workspace does not know.

";

#[test]
fn the_decision_is_the_one_in_the_table() {
    let width = ROWS.iter().map(|(situation, _)| situation.len()).max().unwrap_or_default();
    let mut table = LEGEND.to_owned();
    let header: Vec<_> = COLUMNS.iter().map(|(name, _)| format!("{name:<14}")).collect();
    writeln!(table, "{:width$} | {}", "the page is ...", header.join(" | ").trim_end()).unwrap();
    writeln!(table, "{}", "-".repeat(width + 17 * COLUMNS.len())).unwrap();
    for (situation, build) in ROWS {
        let graph = workspace(*build);
        let cells: Vec<_> = COLUMNS.iter().map(|(_, who)| format!("{:<14}", cell(&graph, *who))).collect();
        writeln!(table, "{situation:width$} | {}", cells.join(" | ").trim_end()).unwrap();
    }
    insta::assert_snapshot!("truth_table", table);
}

fn workspace(build: fn(&mut AccessGraph)) -> AccessGraph {
    let mut graph = AccessGraph::new(7);
    for (id, role) in [
        ("member", Role::Member),
        ("guest", Role::Guest),
        ("in-outer", Role::Member),
        ("in-inner", Role::Member),
        ("guest-in-inner", Role::Guest),
        ("removed", Role::Removed),
    ] {
        member(&mut graph, id, role);
    }
    group(&mut graph, "outer", &["user:in-outer", "user:removed", "group:inner"]);
    group(&mut graph, "inner", &["user:in-inner", "user:guest-in-inner", "user:removed"]);
    build(&mut graph);
    graph.publish();
    graph
}

/// The verdict of `explain`, after checking that the masks and the single decision say the same.
fn cell(graph: &AccessGraph, who: Option<&str>) -> &'static str {
    let subject = who.map_or(Subject::Anonymous, user);
    let page = graph.ordinal_of(&page_id("page")).unwrap();
    let allows = |purpose| graph.mask(&caller(subject.clone()), purpose).allows(page);
    let decision = graph.decide(&caller(subject.clone()), page);
    assert_eq!(allows(Purpose::Discover), decision.discover);
    assert_eq!(allows(Purpose::Read), decision.read);
    assert_eq!(allows(Purpose::Trash), decision.in_trash());
    assert!(decision.read || !decision.discover, "what is found opens");
    match graph.explain(&subject, &page_id("page")).verdict {
        Verdict::FindsAndOpens => {
            assert!(decision.discover);
            "finds+opens"
        }
        Verdict::OpensByLink => {
            assert!(decision.read && !decision.discover);
            "opens by link"
        }
        Verdict::InTrash => {
            assert!(decision.in_trash());
            "in trash"
        }
        Verdict::Nothing => {
            assert!(!decision.read && !decision.in_trash());
            "nothing"
        }
    }
}

/// `page` at a level of the tree, with everything shared at the root. Leaves arrive before what is above them.
fn chain(graph: &mut AccessGraph, level: usize) {
    let name = |at: usize| if at == level { "page".to_owned() } else { format!("level-{at}") };
    for at in (2..=level).rev() {
        put(graph, &name(at), node(&name(at - 1), &[]));
    }
    put(graph, &name(1), node("", &["workspace:view", "public:view"]));
}

#[test]
fn an_ordinal_given_to_two_pages_shows_neither() {
    let mut graph = workspace(|_| {});
    let page = |id: &str, ordinal| access::AccessChange::Page {
        page: page_id(id),
        ordinal: PageOrdinal(ordinal),
        node: node("", &["workspace:view"]),
    };
    assert!(graph.apply(page("one", 0)).changed);
    assert!(graph.apply(page("child", 1)).changed);
    assert!(graph.apply(page("other", 0)).changed);
    assert!(!graph.apply(page("one", 0)).changed);
    graph.publish();
    let mask = graph.mask(&caller(user("member")), Purpose::Discover);
    assert!(!mask.allows(PageOrdinal(0)) && mask.allows(PageOrdinal(1)));
    assert_eq!(graph.counters().ordinal_clashes, 1);
}
