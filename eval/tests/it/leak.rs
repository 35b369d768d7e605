//! No answer holds what its caller may not see, and none lacks what its caller may: against the access oracle.
//!
//! Random workspaces share an index. Their events come late, twice and out of order, and after every batch people ask:
//! what they are told is within what the oracle allows by the events delivered so far, whatever is committed. Once all
//! of it is searchable, the answer is what going through all permitted pages finds. A case is one answer to one caller.
//!
//! `LEAK_CASES` sets how many cases there are, `LEAK_SEED` where they begin; the seed is printed.

use std::collections::BTreeSet;

use eval::leak::judge::{Verdicts, leak, miss};
use eval::leak::product::{Product, SHARED_WORDS};
use eval::leak::request::{Request, ask, tell};
use indexer::engine::Wait;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use schemas::ids::{PageId, UserId};
use schemas::page::Parent;

use crate::oracle::{Above, Oracle, Page};
use crate::site::{Site, caller, runtime};

const CASES: u64 = 20_000;
/// Installations that are played through side by side.
const PLAYERS: u64 = 2;
const WORKSPACES: u32 = 4;
const STEPS: u32 = 16;
/// Requests in each workspace after each batch, before it is committed and after.
const REQUESTS: u32 = 20;

#[test]
fn answers_hold_nothing_their_caller_may_not_see_and_miss_nothing_it_may() {
    let (cases, seed) = (set("LEAK_CASES").unwrap_or(CASES), set("LEAK_SEED").unwrap_or_else(rand::random));
    println!("leak: seed {seed}");
    let play_share = |player: u64| {
        let mut played = 0;
        for round in 0.. {
            if played >= cases.div_ceil(PLAYERS) {
                break;
            }
            played += play(seed.wrapping_add(round * PLAYERS + player));
        }
        played
    };
    let played: u64 = std::thread::scope(|scope| {
        let players: Vec<_> = (0..PLAYERS).map(|player| scope.spawn(move || play_share(player))).collect();
        players.into_iter().map(|player| player.join().unwrap()).sum()
    });
    println!("leak: {played} cases, seed {seed}");
    assert!(played >= cases);
}

#[expect(clippy::disallowed_methods, reason = "a test is configured by whoever runs it")]
fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Plays one installation through; says how many cases it had.
fn play(seed: u64) -> u64 {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (site, runtime) = (Site::new(), runtime());
    let mut products: Vec<Product> = (0..WORKSPACES).map(|number| Product::new(number, &mut rng)).collect();
    let mut cases = 0;
    for step in 0..STEPS {
        for product in &mut products {
            let batch = if step + 1 == STEPS && rng.random_bool(0.2) {
                vec![product.erase()]
            } else {
                product.change(rng.random_range(0..6), &mut rng);
                let share = *[0.4, 0.7, 1.0].choose(&mut rng).unwrap();
                product.deliver(share, &mut rng)
            };
            let submitted = site.indexer.submit(&batch, Wait::Applied).unwrap();
            assert!(submitted.rejected.is_empty(), "seed {seed}: {:?}", submitted.rejected);
        }
        // Every third batch is asked about while the one before may not be committed yet.
        for settled in [false, true] {
            if settled {
                if step % 3 == 0 {
                    continue;
                }
                site.settle();
            }
            for product in &products {
                let context = format!("seed {seed}, step {step}");
                cases += runtime.block_on(interrogate(&site, &products, product, settled, &context, &mut rng));
            }
        }
    }
    assert!(site.indexer.close());
    cases
}

/// Asks on behalf of everyone and judges what is told.
async fn interrogate(
    site: &Site,
    products: &[Product],
    product: &Product,
    settled: bool,
    context: &str,
    rng: &mut SmallRng,
) -> u64 {
    let oracle = oracle(product);
    let users = product.users();
    let verdicts: Vec<Verdicts> = users.iter().map(|user| verdicts(&oracle, product, user.as_ref())).collect();
    for _ in 0..REQUESTS {
        let at = rng.random_range(0..users.len());
        let (caller, verdicts) = (caller(&product.workspace, users[at].as_ref()), &verdicts[at]);
        let request = Request::random(product, rng);
        let is_free = matches!(request, Request::Free { .. });
        let is_answer = matches!(request, Request::Answer { .. } | Request::Generate { .. });
        let engine = if is_answer && rng.random_bool(0.5) {
            &site.parroting
        } else if is_free || (!settled && rng.random_bool(0.5)) {
            &site.lenient
        } else {
            &site.exact
        };
        let told = ask(engine, &caller, &request).await.unwrap_or_else(|error| panic!("{context}: {error:#}"));
        let found = leak(products, product, verdicts, &request, &told);
        let reaches_out = is_answer && told.json.contains("evil.example");
        let found = found.or_else(|| reaches_out.then(|| "a link leads elsewhere".to_owned()));
        let found = found.or_else(|| settled.then(|| miss(product.known(), verdicts, &request, &told)).flatten());
        if let Some(what) = found {
            let asked = format!("{} asked {request:?}", caller.subject);
            panic!(
                "{context}, settled {settled}: {asked}: {what}\n{verdicts:?}\n{}\n{:#?}",
                told.json,
                product.known()
            );
        }
    }
    give_feedback(site, product, &verdicts, context, rng).await;
    u64::from(REQUESTS)
}

/// Feedback is taken on what was shown to whoever gives it, and on nothing else.
async fn give_feedback(site: &Site, product: &Product, verdicts: &[Verdicts], context: &str, rng: &mut SmallRng) {
    let users = product.users();
    let (at, other) = (rng.random_range(0..users.len()), rng.random_range(0..users.len()));
    let (Some(user), Some(other)) = (&users[at], &users[other]) else { return };
    let page = product.page_ids().choose(rng).unwrap().clone();
    let query = *SHARED_WORDS.choose(rng).unwrap();
    let (asking, other) = (caller(&product.workspace, Some(user)), caller(&product.workspace, Some(other)));
    let told = tell(&site.lenient, &site.feedback, &asking, &other, query, &page).await.unwrap();
    assert!(told.shown.is_subset(&verdicts[at].finds), "{context}: {user} was shown {told:?}");
    assert_eq!(told.accepted, told.shown.contains(&page), "{context}: {user} about {page}: {told:?}");
    assert_eq!(
        told.accepted_from_other,
        told.accepted && asking == other,
        "{context}: {other:?} about {page}: {told:?}"
    );
}

fn oracle(product: &Product) -> Oracle {
    let known = product.known();
    let page = |(id, page): (&PageId, &eval::leak::known::Page)| {
        let above = match page.parent.value() {
            None => Above::Unknown,
            Some(Parent::Workspace) => Above::Root,
            Some(Parent::Page { id }) => Above::Page(id.clone()),
        };
        let grants = page.grants.value().cloned().unwrap_or_default();
        let (restricted, trashed) = (page.restricted.value() == Some(&true), page.trashed.value() == Some(&true));
        (id.clone(), Page { above, grants, restricted, trashed })
    };
    Oracle {
        pages: known.pages().map(page).collect(),
        groups: known.groups().map(|(group, members)| (group.clone(), members.clone())).collect(),
        roles: known.roles().map(|(user, role)| (user.clone(), role)).collect(),
    }
}

fn verdicts(oracle: &Oracle, product: &Product, user: Option<&UserId>) -> Verdicts {
    let those = |allowed: &dyn Fn(&PageId) -> bool| -> BTreeSet<PageId> {
        product.page_ids().into_iter().filter(|page| allowed(page)).collect()
    };
    Verdicts {
        finds: those(&|page| oracle.finds(user, page)),
        opens: those(&|page| oracle.opens(user, page)),
        in_trash: those(&|page| oracle.finds_in_trash(user, page)),
    }
}
