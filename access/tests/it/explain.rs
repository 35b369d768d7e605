//! What administrators are told, as snapshots.

use std::fmt::Write as _;

use access::{AccessGraph, Subject};
use schemas::grant::Role;

use crate::world::{group, member, node, page_id, put, restricted, trashed, user};

fn workspace() -> AccessGraph {
    let mut graph = AccessGraph::new(1);
    for (id, role) in [("ada", Role::Member), ("ben", Role::Member), ("gus", Role::Guest), ("rex", Role::Removed)] {
        member(&mut graph, id, role);
    }
    group(&mut graph, "dome-crew", &["user:ada", "user:gus"]);
    group(&mut graph, "engineering", &["group:dome-crew"]);
    put(&mut graph, "handbook", node("", &["workspace:view"]));
    put(&mut graph, "dome", restricted(node("handbook", &["group:engineering:edit"])));
    put(&mut graph, "dome-plan", node("dome", &["public:view"]));
    put(&mut graph, "old-plan", trashed(node("dome", &[])));
    put(&mut graph, "lost", node("gone", &["workspace:full"]));
    put(&mut graph, "loop-a", node("loop-b", &[]));
    put(&mut graph, "loop-b", node("loop-a", &[]));
    put(&mut graph, "off-loop", node("loop-b", &[]));
    graph.publish();
    graph
}

#[test]
fn the_reasons_are_told_in_plain_sentences() {
    let mut graph = workspace();
    let mut told = String::new();
    let mut tell = |graph: &AccessGraph, subject: Subject, page: &str| {
        writeln!(told, "{subject}, {page}\n{}\n", graph.explain(&subject, &page_id(page))).unwrap();
    };
    for (who, page) in [
        ("ada", "dome-plan"),
        ("ben", "dome"),
        ("ben", "dome-plan"),
        ("gus", "handbook"),
        ("gus", "old-plan"),
        ("ben", "old-plan"),
        ("rex", "handbook"),
        ("zoe", "dome-plan"),
        ("ada", "lost"),
        ("ada", "off-loop"),
        ("ada", "never-was"),
    ] {
        tell(&graph, user(who), page);
    }
    tell(&graph, Subject::Anonymous, "dome-plan");
    put(&mut graph, "dome", node("handbook", &["group:engineering:edit"]));
    tell(&graph, user("ben"), "dome");
    insta::assert_snapshot!("sentences", told);
}

#[test]
fn an_explanation_holds_the_path_through_the_tree_and_the_groups() {
    insta::assert_json_snapshot!("explanation", workspace().explain(&user("ada"), &page_id("dome-plan")));
}
