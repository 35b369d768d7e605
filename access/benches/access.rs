//! What access costs: changes, masks, and the question asked of each candidate.
//!
//! Corpus: one workspace of 1,000,000 pages in 5,000 teamspaces, each restricted to a team of its own; beside them a
//! subtree of 100,000 pages (ten children each, one page in a hundred with a grant of its own), the same as one flat
//! list, and a group of 10,000 people. Callers are in 5, 50, 500 and 5,000 teams: 0.1 %, 1 %, 10 % and 100 % of the
//! pages. Page numbers follow the teamspaces (`clustered`, as after an import) or chance (`scattered`, as after years
//! of work). Seed 7. Times are medians; candidates are asked in random and in ascending order.
//!
//! `cargo bench -p access`

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![expect(clippy::unwrap_used, reason = "what the benchmark writes itself is valid")]

use std::hint::black_box;
use std::time::Instant;

use access::{AccessChange, AccessGraph, Caller, Mask, PageNode, PageOrdinal, Parent, Purpose, Subject};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use roaring::RoaringBitmap;
use schemas::grant::{Grant, Principal, Role};
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};

const SEED: u64 = 7;
const PAGES: u32 = 1_000_000;
const TEAMS: u32 = 5_000;
const SUBTREE: u32 = 100_000;
const CANDIDATES: usize = 200_000;

fn main() {
    for clustered in [true, false] {
        let mut graph = teamspaces(clustered);
        println!("\n{PAGES} pages, {TEAMS} scopes, {}", if clustered { "clustered" } else { "scattered" });
        for teams in [5, 50, 500, 5_000] {
            masks(&graph, teams);
        }
        put(&mut graph, PAGES, at(None));
        pending(&graph, 500);
    }
    println!("\nchanges, each with the copy-on-write that a published view forces");
    moves("move of a tree of 100,000 pages", 10);
    moves("move of a flat list of 100,000 pages", SUBTREE);
    groups();
}

/// Teamspaces, and the pages in them.
fn teamspaces(clustered: bool) -> AccessGraph {
    let mut graph = AccessGraph::new(0);
    let mut rng = SmallRng::seed_from_u64(SEED);
    for team in 0..TEAMS {
        let grants = vec![format!("group:team-{team}:edit").parse().unwrap()];
        put(&mut graph, team, PageNode { restricted: true, grants, ..at(None) });
    }
    for page in TEAMS..PAGES {
        let team = if clustered { page / (PAGES / TEAMS) } else { rng.random_range(0..TEAMS) };
        put(&mut graph, page, at(Some(team)));
    }
    for team in 0..TEAMS {
        // Caller `in-N` is in the first N of the shuffled teams.
        let callers = [5, 50, 500, 5_000].into_iter().filter(|teams| shuffled(team) < *teams);
        let members = callers.map(|teams| user(&format!("in-{teams}"))).collect();
        graph.apply(AccessChange::Group { group: group(&format!("team-{team}")), members, deleted: false });
    }
    for teams in [5, 50, 500, 5_000] {
        let user = UserId::new(format!("in-{teams}")).unwrap();
        graph.apply(AccessChange::Member { user, role: Role::Member });
    }
    graph.publish();
    graph
}

/// A permutation of the teams: 1,213 shares no factor with their number.
fn shuffled(team: u32) -> u32 {
    team * 1_213 % TEAMS
}

fn masks(graph: &AccessGraph, teams: u32) {
    let caller = caller(&format!("in-{teams}"));
    let build_us = median(200, || drop(black_box(graph.mask(&caller, Purpose::Discover)))) / 1e3;
    let mask = graph.mask(&caller, Purpose::Discover);
    let start = Instant::now();
    let mut roaring = mask.allowed().clone();
    let roaring_us = start.elapsed().as_nanos() as f64 / 1e3;
    roaring.optimize();
    let dense: Vec<bool> = (0..PAGES).map(|page| mask.allows(PageOrdinal(page))).collect();
    let narrowed = mask.narrow(&roaring);
    let share = mask.allowed_count() as f64 / PAGES as f64;
    println!(
        "  allows {:>5.1} %: mask {build_us:.1} us, {} bytes; allowed pages as a bitmap {roaring_us:.0} us, {} bytes",
        100.0 * share,
        TEAMS.div_ceil(64) * 8,
        roaring.serialized_size(),
    );
    let mut rng = SmallRng::seed_from_u64(SEED);
    let mut candidates: Vec<u32> = (0..PAGES).collect();
    for order in ["ascending", "random"] {
        if order == "random" {
            candidates.shuffle(&mut rng);
        }
        let asked = &candidates[..CANDIDATES];
        let [mask_ns, narrowed_ns] = [&mask, &narrowed].map(|mask| ask(asked, |page| allows(mask, page)));
        let roaring_ns = ask(asked, |page| contains(&roaring, page));
        let dense_ns = ask(asked, |page| dense[page as usize]);
        println!(
            "    {order:<9}  mask {mask_ns:.2} ns  narrowed {narrowed_ns:.2} ns  roaring {roaring_ns:.2} ns ({:.1}x the mask)  \
             Vec<bool> {dense_ns:.2} ns ({:.2}x the mask)",
            roaring_ns / mask_ns,
            dense_ns / mask_ns,
        );
    }
}

/// The same while a commit is pending, so that two views are asked.
fn pending(graph: &AccessGraph, teams: u32) {
    let caller = caller(&format!("in-{teams}"));
    let build_us = median(200, || drop(black_box(graph.mask(&caller, Purpose::Discover)))) / 1e3;
    let mask = graph.mask(&caller, Purpose::Discover);
    assert!(mask.published_seq() < mask.access_seq());
    let ascending: Vec<u32> = (0..PAGES).collect();
    let mask_ns = ask(&ascending, |page| allows(&mask, page));
    println!("  with a commit pending: mask {build_us:.1} us, {mask_ns:.2} ns ascending");
}

fn allows(mask: &Mask, page: u32) -> bool {
    mask.allows(PageOrdinal(page))
}

fn contains(roaring: &RoaringBitmap, page: u32) -> bool {
    roaring.contains(page)
}

/// Nanoseconds per question.
fn ask(pages: &[u32], question: impl Fn(u32) -> bool) -> f64 {
    let ask_all = || {
        black_box(pages.iter().filter(|page| question(**page)).count());
    };
    median(9, ask_all) / pages.len() as f64
}

/// Moves a subtree between two places of different access and depth.
fn moves(name: &str, children: u32) {
    let mut graph = AccessGraph::new(0);
    let mut rng = SmallRng::seed_from_u64(SEED);
    put(&mut graph, 0, PageNode { grants: grants(&["workspace:view"]), ..at(None) });
    put(&mut graph, 1, PageNode { grants: grants(&["group:board:edit"]), restricted: true, ..at(Some(0)) });
    for page in 0..SUBTREE {
        let mut node = at(Some(if page == 0 { 0 } else { 2 + (page - 1) / children }));
        if rng.random_ratio(1, 100) {
            node.grants = grants(&[&format!("user:person-{}:edit", rng.random_range(0..500))]);
        }
        put(&mut graph, 2 + page, node);
    }
    let mut to = 0;
    let ms = median(21, || {
        graph.publish();
        to = 1 - to;
        let moved = put(&mut graph, 2, at(Some(to)));
        assert_eq!(moved, SUBTREE);
    }) / 1e6;
    println!("  {name}: {ms:.2} ms");
}

fn groups() {
    let mut graph = AccessGraph::new(0);
    let mut everyone: Vec<_> = (0..10_000).map(|n| user(&format!("person-{n}"))).collect();
    let mut change = |members: &[Principal]| {
        graph.publish();
        let members = members.to_vec();
        assert!(graph.apply(AccessChange::Group { group: group("all"), members, deleted: false }).changed);
    };
    change(&everyone);
    let mut one_more = false;
    let one_us = median(101, || {
        one_more = !one_more;
        change(&everyone[usize::from(one_more)..]);
    }) / 1e3;
    everyone.push(user("the-last"));
    change(&everyone);
    let mut half = 0;
    let half_us = median(101, || {
        half = 5_000 - half;
        change(&everyone[half..]);
    }) / 1e3;
    println!("  change of one member in a group of 10,000: {one_us:.0} us; of half of them: {half_us:.0} us");
}

/// The median time of a run in nanoseconds.
fn median(runs: usize, mut run: impl FnMut()) -> f64 {
    let mut times: Vec<_> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_nanos() as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

fn put(graph: &mut AccessGraph, page: u32, node: PageNode) -> u32 {
    graph.apply(AccessChange::Page { page: page_id(page), ordinal: PageOrdinal(page), node }).scopes_changed
}

fn at(parent: Option<u32>) -> PageNode {
    let parent = parent.map_or(Parent::Workspace, |page| Parent::Page(page_id(page)));
    PageNode { parent: Some(parent), ..PageNode::default() }
}

fn grants(written: &[&str]) -> Vec<Grant> {
    written.iter().map(|grant| grant.parse().unwrap()).collect()
}

fn page_id(n: u32) -> PageId {
    PageId::new(format!("page-{n}")).unwrap()
}

fn group(id: &str) -> GroupId {
    GroupId::new(id).unwrap()
}

fn user(id: &str) -> Principal {
    Principal::User(UserId::new(id).unwrap())
}

fn caller(user: &str) -> Caller {
    Caller { workspace: WorkspaceId::new("acme").unwrap(), subject: Subject::User(UserId::new(user).unwrap()) }
}
