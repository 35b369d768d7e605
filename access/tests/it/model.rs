//! The graph against the oracle: random changes in any order, every caller, every page, after every step.

use access::{AccessChange, AccessGraph, Caller, FencePoint, PageNode, PageOrdinal, Parent, Purpose, Subject};
use proptest::prelude::*;
use schemas::grant::{Grant, Level, Principal, Role};
use schemas::ids::{GroupId, PageId, UserId};

use crate::oracle::{Above, Oracle, Page};
use crate::world::caller;

/// Pages that come to be; two more are only ever named as parents.
const PAGES: u32 = 7;
/// Users that get a role; one more is only ever named.
const USERS: u32 = 4;
/// Groups that come to be; one more is only ever named.
const GROUPS: u32 = 3;
/// The parent that stands for the end of a chain just short of the deepest level.
const CHAIN_END: u32 = PAGES + 2;
const CHAIN_LEVELS: u32 = 98;

#[derive(Clone, Debug)]
enum Step {
    Apply(AccessChange),
    /// A commit's contents are fixed.
    Fence,
    /// One of the commits so fixed becomes visible, in whatever order.
    Publish(prop::sample::Index),
}

fn page_id(n: u32) -> PageId {
    PageId::new(format!("p{n}")).unwrap()
}

fn user_id(n: u32) -> UserId {
    UserId::new(format!("u{n}")).unwrap()
}

fn ordinal(page: u32) -> PageOrdinal {
    // Neither in order nor without gaps.
    PageOrdinal(page * 3 % (PAGES + 1))
}

fn one_in(n: u32) -> impl Strategy<Value = bool> {
    (0..n).prop_map(|at| at == 0)
}

fn user() -> impl Strategy<Value = Principal> {
    (0..=USERS).prop_map(|n| Principal::User(user_id(n)))
}

fn group() -> impl Strategy<Value = Principal> {
    (0..=GROUPS).prop_map(|n| Principal::Group(GroupId::new(format!("g{n}")).unwrap()))
}

fn grant() -> impl Strategy<Value = Grant> {
    let principal =
        prop_oneof![3 => user(), 4 => group(), 2 => Just(Principal::Workspace), 2 => Just(Principal::Public)];
    let level = prop::sample::select(vec![Level::View, Level::Comment, Level::Edit, Level::Full]);
    (principal, level).prop_map(|(principal, level)| Grant { principal, level })
}

fn page_change(parents: u32) -> impl Strategy<Value = AccessChange> {
    let parent = prop_oneof![
        1 => Just(None),
        4 => Just(Some(Parent::Workspace)),
        9 => (0..parents).prop_map(|n| Some(Parent::Page(page_id(n)))),
    ];
    (0..PAGES, parent, prop::collection::vec(grant(), 0..3), one_in(4), one_in(6), one_in(9)).prop_map(
        |(page, parent, grants, restricted, trashed, deleted)| AccessChange::Page {
            page: page_id(page),
            ordinal: ordinal(page),
            node: PageNode { parent, grants, restricted, trashed, deleted },
        },
    )
}

fn change(parents: u32) -> impl Strategy<Value = AccessChange> {
    let members =
        prop::collection::vec(prop_oneof![2 => user(), 1 => group(), 1 => grant().prop_map(|g| g.principal)], 0..5);
    let role = prop::sample::select(vec![Role::Member, Role::Member, Role::Guest, Role::Removed]);
    prop_oneof![
        6 => page_change(parents),
        2 => (0..GROUPS, members, one_in(8)).prop_map(|(n, members, deleted)| {
            AccessChange::Group { group: GroupId::new(format!("g{n}")).unwrap(), members, deleted }
        }),
        2 => (0..USERS, role).prop_map(|(n, role)| AccessChange::Member { user: user_id(n), role }),
    ]
}

fn tell(oracle: &mut Oracle, change: &AccessChange) {
    match change {
        AccessChange::Page { page, node, .. } if node.deleted => {
            oracle.pages.remove(page);
        }
        AccessChange::Page { page, node, .. } => {
            let above = match &node.parent {
                None => Above::Unknown,
                Some(Parent::Workspace) => Above::Root,
                Some(Parent::Page(parent)) => Above::Page(parent.clone()),
            };
            let PageNode { restricted, trashed, .. } = *node;
            oracle.pages.insert(page.clone(), Page { above, grants: node.grants.clone(), restricted, trashed });
        }
        AccessChange::Group { group, deleted: true, .. } => {
            oracle.groups.remove(group);
        }
        AccessChange::Group { group, members, .. } => {
            oracle.groups.insert(group.clone(), members.clone());
        }
        AccessChange::Member { user, role } => {
            oracle.roles.insert(user.clone(), *role);
        }
    }
}

/// Everyone who asks: those with a role, the one without, nobody in particular.
fn callers() -> Vec<Caller> {
    (0..=USERS).map(|n| Subject::User(user_id(n))).chain([Subject::Anonymous]).map(caller).collect()
}

/// What the oracle says about one caller and one page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Verdict {
    finds: bool,
    opens: bool,
    in_trash: bool,
    level: Option<Level>,
}

/// By caller, then page.
type Table = Vec<Vec<Verdict>>;

fn table(oracle: &Oracle) -> Table {
    let row = |caller: Caller| {
        let user = match &caller.subject {
            Subject::User(user) => Some(user),
            Subject::Anonymous => None,
        };
        let verdict = |page| Verdict {
            finds: oracle.finds(user, &page),
            opens: oracle.opens(user, &page),
            in_trash: oracle.finds_in_trash(user, &page),
            level: oracle.level_of(user, &page),
        };
        (0..PAGES).map(page_id).map(verdict).collect()
    };
    callers().into_iter().map(row).collect()
}

/// Masks and decisions are what both tables say.
fn check(graph: &AccessGraph, newest: &Table, published: &Table) -> Result<(), TestCaseError> {
    for ((caller, newest), published) in callers().iter().zip(newest).zip(published) {
        let masks = [Purpose::Discover, Purpose::Read, Purpose::Trash].map(|purpose| graph.mask(caller, purpose));
        for page in 0..PAGES {
            let (now, then) = (newest[page as usize], published[page as usize]);
            let at = ordinal(page);
            let decision = graph.decide(caller, at);
            let allowed = [now.finds && then.finds, now.opens && then.opens, now.in_trash && then.in_trash];
            let told = [decision.discover, decision.read, decision.in_trash()];
            prop_assert_eq!(
                masks.each_ref().map(|mask| mask.allows(at)),
                allowed,
                "mask, {:?}, p{}",
                caller.subject,
                page
            );
            prop_assert_eq!(told, allowed, "decision, {:?}, p{}", caller.subject, page);
            if now == then {
                prop_assert_eq!(decision.level, now.level, "level, {:?}, p{}", caller.subject, page);
            }
            prop_assert!(decision.level <= now.level.min(then.level));
        }
        for mask in &masks {
            prop_assert_eq!(mask.allowed_count(), mask.iter().count() as u64);
            prop_assert_eq!(mask.allowed().len(), mask.allowed_count());
            prop_assert_eq!(mask.is_empty(), mask.allowed_count() == 0);
            let narrow = mask.narrow(&(0..4).collect());
            prop_assert!((0..20).map(PageOrdinal).all(|at| narrow.allows(at) == (mask.allows(at) && at.0 < 4)));
        }
    }
    Ok(())
}

/// The subtree of each page is what hangs under it, step by step.
fn check_subtrees(graph: &AccessGraph, oracle: &Oracle) -> Result<(), TestCaseError> {
    let above = |page: &PageId| match &oracle.pages.get(page)?.above {
        Above::Page(parent) if oracle.pages.contains_key(parent) => Some(parent.clone()),
        _ => None,
    };
    for (top, below) in (0..PAGES).flat_map(|top| (0..PAGES).map(move |below| (top, below))) {
        let hangs = std::iter::successors(Some(page_id(below)), above).take(100).any(|page| page == page_id(top));
        let both_exist = [top, below].iter().all(|n| oracle.pages.contains_key(&page_id(*n)));
        prop_assert_eq!(graph.subtree(ordinal(top)).contains(ordinal(below).0), hangs && both_exist);
    }
    Ok(())
}

/// Broken pages are counted, each once.
fn check_counters(graph: &AccessGraph, oracle: &Oracle) -> Result<(), TestCaseError> {
    let counters = graph.counters();
    let hangs = |page: &PageId| {
        let mut at = page;
        for _ in 0..100 {
            match oracle.pages.get(at).map(|page| &page.above) {
                Some(Above::Page(parent)) => at = parent,
                Some(Above::Root) => return true,
                Some(Above::Unknown) | None => return false,
            }
        }
        false
    };
    let broken = oracle.pages.keys().filter(|page| !hangs(page)).count() as u32;
    prop_assert_eq!(counters.pages, oracle.pages.len() as u32);
    prop_assert_eq!(counters.orphans + counters.cycles + counters.too_deep, broken);
    prop_assert_eq!(counters.ordinal_clashes, 0);
    Ok(())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => change(PAGES + 2).prop_map(Step::Apply),
        2 => Just(Step::Fence),
        2 => any::<prop::sample::Index>().prop_map(Step::Publish),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_change_leaves_what_the_rules_say_from_scratch(
        changes in prop::collection::vec(change(PAGES + 2), 1..24),
    ) {
        let (mut graph, mut oracle) = (AccessGraph::new(1), Oracle::default());
        for change in changes {
            tell(&mut oracle, &change);
            let seq = graph.seq();
            let effect = graph.apply(change.clone());
            prop_assert_eq!(graph.seq() - seq, u64::from(effect.changed));
            prop_assert!(!graph.apply(change).changed, "the same state twice changes nothing");
            graph.publish();
            let table = table(&oracle);
            check(&graph, &table, &table)?;
            check_counters(&graph, &oracle)?;
            check_subtrees(&graph, &oracle)?;
        }
    }

    #[test]
    fn a_page_is_allowed_only_where_the_newest_and_the_published_view_allow_it(steps in steps()) {
        let (mut graph, mut oracle) = (AccessGraph::new(1), Oracle::default());
        let (mut newest, mut published) = (table(&oracle), table(&oracle));
        let mut commits: Vec<(u64, FencePoint, Table)> = Vec::new();
        let mut published_seq = 0;
        for step in steps {
            match step {
                Step::Apply(change) => {
                    tell(&mut oracle, &change);
                    graph.apply(change);
                    newest = table(&oracle);
                }
                Step::Fence => commits.push((graph.seq(), graph.fence_point(), newest.clone())),
                Step::Publish(_) if commits.is_empty() => {}
                Step::Publish(which) => {
                    let (seq, point, table) = commits.remove(which.index(commits.len()));
                    graph.publish_at(point);
                    if seq >= published_seq {
                        (published_seq, published) = (seq, table);
                    }
                }
            }
            prop_assert_eq!(graph.published_seq(), published_seq);
            check(&graph, &newest, &published)?;
        }
        graph.publish();
        check(&graph, &newest, &newest)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_deepest_level_is_the_same_however_a_page_came_there(
        changes in prop::collection::vec(page_change(CHAIN_END + 1), 1..16),
    ) {
        let (mut graph, mut oracle) = (AccessGraph::new(1), Oracle::default());
        let name = |level: u32| if level == CHAIN_LEVELS { page_id(CHAIN_END) } else { page_id(1000 + level) };
        for level in 1..=CHAIN_LEVELS {
            let parent = if level == 1 { Parent::Workspace } else { Parent::Page(name(level - 1)) };
            let node = PageNode { parent: Some(parent), ..PageNode::default() };
            let change = AccessChange::Page { page: name(level), ordinal: PageOrdinal(PAGES + level), node };
            tell(&mut oracle, &change);
            graph.apply(change);
        }
        for n in 0..USERS {
            let change = AccessChange::Member { user: user_id(n), role: Role::Member };
            tell(&mut oracle, &change);
            graph.apply(change);
        }
        for change in changes {
            tell(&mut oracle, &change);
            graph.apply(change);
            graph.publish();
            let table = table(&oracle);
            check(&graph, &table, &table)?;
            check_counters(&graph, &oracle)?;
        }
    }
}
