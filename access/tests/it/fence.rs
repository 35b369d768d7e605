//! The fence: access is taken at once, and given once the content written before it is visible.

use access::{AccessGraph, PageOrdinal, Purpose};
use roaring::RoaringBitmap;
use schemas::grant::Role;

use crate::world::{caller, deleted, group, member, node, page, put, restricted, trashed, user};

fn finds(graph: &AccessGraph, page: PageOrdinal) -> bool {
    let caller = caller(user("ada"));
    let allowed = graph.mask(&caller, Purpose::Discover).allows(page);
    assert_eq!(allowed, graph.decide(&caller, page).discover);
    allowed
}

fn workspace() -> (AccessGraph, PageOrdinal) {
    let mut graph = AccessGraph::new(3);
    member(&mut graph, "ada", Role::Member);
    group(&mut graph, "crew", &["user:ada"]);
    let page = put(&mut graph, "page", node("", &["group:crew:view"]));
    graph.publish();
    assert!(finds(&graph, page));
    (graph, page)
}

#[test]
fn access_is_taken_at_once() {
    let takes: &[fn(&mut AccessGraph)] = &[
        |g| page(g, node("", &[])),
        |g| page(g, trashed(node("", &["group:crew:view"]))),
        |g| page(g, deleted(node("", &["group:crew:view"]))),
        |g| page(g, node("nowhere", &["group:crew:view"])),
        |g| group(g, "crew", &[]),
        |g| member(g, "ada", Role::Removed),
    ];
    for take in takes {
        let (mut graph, page) = workspace();
        take(&mut graph);
        assert!(!finds(&graph, page));
        graph.publish();
        assert!(!finds(&graph, page));
    }
}

#[test]
fn access_is_given_once_its_commit_is_visible() {
    let gives: &[fn(&mut AccessGraph)] =
        &[|g| page(g, node("", &["user:ben:view"])), |g| group(g, "crew", &["user:ada", "user:ben"])];
    for give in gives {
        let (mut graph, page) = workspace();
        member(&mut graph, "ben", Role::Guest);
        graph.publish();
        give(&mut graph);
        let mask = |graph: &AccessGraph| graph.mask(&caller(user("ben")), Purpose::Discover);
        assert!(mask(&graph).is_empty());
        assert!(mask(&graph).published_seq() < mask(&graph).access_seq());
        graph.publish();
        assert!(mask(&graph).allows(page));
        assert_eq!(mask(&graph).published_seq(), mask(&graph).access_seq());
    }
}

#[test]
fn a_page_is_not_seen_before_its_first_commit() {
    let (mut graph, _) = workspace();
    let fresh = put(&mut graph, "fresh", node("page", &[]));
    assert!(!finds(&graph, fresh));
    graph.publish();
    assert!(finds(&graph, fresh));
}

#[test]
fn a_commit_gives_only_what_was_applied_before_its_contents_were_fixed() {
    let (mut graph, _) = workspace();
    let before = put(&mut graph, "before", node("page", &[]));
    let point = graph.fence_point();
    let after = put(&mut graph, "after", node("page", &[]));
    graph.publish_at(point.clone());
    assert!(finds(&graph, before) && !finds(&graph, after));
    graph.publish();
    graph.publish_at(point);
    assert!(finds(&graph, after), "an older point takes nothing back");
}

#[test]
fn a_page_taken_and_given_again_within_one_commit_waits_for_none() {
    let (mut graph, page) = workspace();
    put(&mut graph, "page", restricted(node("", &[])));
    put(&mut graph, "page", node("", &["group:crew:view"]));
    assert!(finds(&graph, page));
}

#[test]
fn masks_outlive_the_scopes_they_were_made_of() {
    let (mut graph, page) = workspace();
    let mask = graph.mask(&caller(user("ada")), Purpose::Discover);
    for round in 0..1_000 {
        put(&mut graph, "page", node("", &[&format!("user:someone-{round}:view")]));
        graph.publish();
    }
    assert!(mask.allows(page), "a mask is a snapshot");
    assert!(!finds(&graph, page));
    assert!(graph.counters().scopes <= 2, "unused scopes are given back");
}

/// A scope falls out of use, comes back, and falls out again after a fence point was taken. Freeing its number by the
/// first fall would let the published view read it with the meaning of the next scope to get that number.
#[test]
fn a_scope_in_a_view_that_may_be_published_keeps_its_number() {
    let (mut graph, page) = workspace();
    member(&mut graph, "ben", Role::Member);
    let away = node("", &["user:away:view"]);
    put(&mut graph, "page", away.clone());
    put(&mut graph, "page", node("", &["group:crew:view"]));
    let point = graph.fence_point();
    put(&mut graph, "page", away);
    graph.publish_at(point);
    put(&mut graph, "page", node("", &["user:ben:view"]));
    let ben = caller(user("ben"));
    assert!(!graph.decide(&ben, page).discover && graph.mask(&ben, Purpose::Discover).is_empty());
    graph.publish();
    assert!(graph.decide(&ben, page).discover);
}

#[test]
fn narrowing_a_mask_never_adds_a_page() {
    let (mut graph, page) = workspace();
    let hidden = put(&mut graph, "hidden", node("", &[]));
    let child = put(&mut graph, "child", node("page", &[]));
    graph.publish();
    let mask = graph.mask(&caller(user("ada")), Purpose::Discover);
    let everything: RoaringBitmap = (0..1_000).collect();
    let narrow = mask.narrow(&everything);
    assert_eq!(narrow.iter().collect::<Vec<_>>(), [page, child]);
    assert!(!narrow.allows(hidden) && !narrow.allows(PageOrdinal(u32::MAX)));
    let narrower = narrow.narrow(&graph.subtree(child)).narrow(&everything);
    assert_eq!((narrower.allowed_count(), narrower.allows(child)), (1, true));
}
