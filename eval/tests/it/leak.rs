//! No answer holds what its caller may not see, and none lacks what its caller may: against the access oracle.
//!
//! Random workspaces share an index. Their events come late, twice and out of order, and after every batch people ask:
//! what they are told is within what the oracle allows by the events delivered so far, whatever is committed. Once all
//! of it is searchable, the answer is what going through all permitted pages finds. A case is one answer to one caller.
//!
//! Chats and the tools of assistants are asked over HTTP. Answers that were kept for somebody are asked for by others.
//!
//! `LEAK_CASES` sets how many cases there are, `LEAK_SEED` where they begin; the seed is printed.

use std::collections::BTreeSet;

use eval::leak::broken::{Broken, break_off, go_on};
use eval::leak::judge::{Verdicts, leak, miss};
use eval::leak::product::{Product, SHARED_WORDS};
use eval::leak::request::{Answer, Request, ask, tell};
use eval::leak::talk::{converse, reread};
use indexer::engine::Wait;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use schemas::ids::{PageId, UserId, WorkspaceId};
use schemas::page::Parent;

use crate::oracle::{Above, Oracle, Page};
use crate::served::Served;
use crate::site::{Site, caller, runtime};

const CASES: u64 = 20_000;
/// Installations that are played through side by side.
const PLAYERS: u64 = 2;
const WORKSPACES: u32 = 4;
const STEPS: u32 = 16;
/// Requests in each workspace after each batch, before it is committed and after.
const REQUESTS: u32 = 20;
/// Chats and calls of tools in each workspace after each batch, and people who ask what was just answered.
const CHATS: u32 = 4;
const ASKED_AGAIN: usize = 4;
/// Turns of conversations in each workspace after each batch, each with a look at one of before.
const TALKS: u32 = 4;

#[test]
fn answers_hold_nothing_their_caller_may_not_see_and_miss_nothing_it_may() {
    let (cases, seed) = (set("LEAK_CASES").unwrap_or(CASES), set("LEAK_SEED").unwrap_or_else(rand::random));
    println!("leak: seed {seed}");
    let play_share = |player: u64| {
        let mut played = Played::default();
        for round in 0.. {
            if played.cases >= cases.div_ceil(PLAYERS) {
                break;
            }
            played.add(play(seed.wrapping_add(round * PLAYERS + player)));
        }
        played
    };
    let played = std::thread::scope(|scope| {
        let players: Vec<_> = (0..PLAYERS).map(|player| scope.spawn(move || play_share(player))).collect();
        players.into_iter().fold(Played::default(), |mut all, player| {
            all.add(player.join().unwrap());
            all
        })
    });
    println!("leak: {played:?}, seed {seed}");
    assert!(played.cases >= cases);
    assert!(played.turns_shown > 0 && played.turns_withdrawn > 0, "{played:?}");
    assert!(played.gone_on > 0 && played.lost > 0, "{played:?}");
    assert!(played.kept > 0 && played.kept_for_others > 0 && played.fetched > 0, "{played:?}");
}

/// What was played through.
#[derive(Clone, Copy, Debug, Default)]
struct Played {
    cases: u64,
    /// Turns of conversations that were told when they were read again, and that were withdrawn.
    turns_shown: u64,
    turns_withdrawn: u64,
    /// Answers whose connection broke that were gone on with to their end, and those of which access was lost meanwhile.
    gone_on: u64,
    lost: u64,
    /// Answers that were kept and given again, and those of them that were written for somebody else.
    kept: u64,
    kept_for_others: u64,
    /// Pages that assistants fetched.
    fetched: u64,
}

impl Played {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.turns_shown += other.turns_shown;
        self.turns_withdrawn += other.turns_withdrawn;
        self.gone_on += other.gone_on;
        self.lost += other.lost;
        self.kept += other.kept;
        self.kept_for_others += other.kept_for_others;
        self.fetched += other.fetched;
    }
}

/// What was begun and can be come back to.
#[derive(Default)]
struct Begun {
    talks: Vec<Talk>,
    broken: Vec<Broken>,
}

/// A conversation that somebody began.
struct Talk {
    workspace: WorkspaceId,
    user: UserId,
    id: String,
}

#[expect(clippy::disallowed_methods, reason = "a test is configured by whoever runs it")]
fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Plays one installation through.
fn play(seed: u64) -> Played {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (site, runtime) = (Site::new(), runtime());
    let mut products: Vec<Product> = (0..WORKSPACES).map(|number| Product::new(number, &mut rng)).collect();
    let (mut played, mut begun) = (Played::default(), Begun::default());
    let served = runtime.block_on(Served::start(site.parroting.clone()));
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
                let asking =
                    Asking { site: &site, served: &served, products: &products, product, settled, context: &context };
                played.add(runtime.block_on(interrogate(&asking, &mut begun, &mut rng)));
            }
        }
    }
    assert!(site.indexer.close());
    played
}

/// What is asked about, and when.
struct Asking<'a> {
    site: &'a Site,
    served: &'a Served,
    products: &'a [Product],
    product: &'a Product,
    settled: bool,
    context: &'a str,
}

/// Asks on behalf of everyone and judges what is told.
async fn interrogate(asking: &Asking<'_>, begun: &mut Begun, rng: &mut SmallRng) -> Played {
    let &Asking { site, products, product, settled, context, .. } = asking;
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
    let mut played = Played { cases: u64::from(REQUESTS), ..Played::default() };
    played.add(ask_again(asking, &verdicts, rng).await);
    for _ in 0..CHATS {
        played.add(ask_elsewhere(asking, &verdicts, rng).await);
    }
    for _ in 0..TALKS {
        played.add(talk(asking, &verdicts, &mut begun.talks, rng).await);
        played.add(break_connections(asking, &verdicts, &mut begun.broken, rng).await);
    }
    played
}

/// Several ask the same, so that the later ones may be given what was written for the first: never more than they may see.
async fn ask_again(asking: &Asking<'_>, verdicts: &[Verdicts], rng: &mut SmallRng) -> Played {
    let &Asking { site, product, context, .. } = asking;
    let users = product.users();
    let question = (*SHARED_WORDS.choose(rng).unwrap()).to_owned();
    let mut played = Played::default();
    let mut asked: BTreeSet<usize> = BTreeSet::new();
    for _ in 0..ASKED_AGAIN {
        let at = rng.random_range(0..users.len());
        let request = Request::Answer { question: question.clone(), stream: rng.random_bool(0.5) };
        let told = ask(&site.parroting, &caller(&product.workspace, users[at].as_ref()), &request).await;
        let told = told.unwrap_or_else(|error| panic!("{context}: {error:#}"));
        judge(asking, &verdicts[at], &told, &format!("{:?} asked {request:?} again", users[at]));
        let is_kept = told.json.contains("\"cached\":true");
        // Of those who asked here, nobody was given it before.
        let for_others = is_kept && !asked.contains(&at) && !asked.is_empty();
        played.add(Played {
            cases: 1,
            kept: u64::from(is_kept),
            kept_for_others: u64::from(for_others),
            ..Played::default()
        });
        asked.insert(at);
    }
    played
}

/// Somebody asks as other software does: in a chat, or by the tools of an assistant.
async fn ask_elsewhere(asking: &Asking<'_>, verdicts: &[Verdicts], rng: &mut SmallRng) -> Played {
    let &Asking { served, products, product, settled, context, .. } = asking;
    let users = product.users();
    let at = rng.random_range(0..users.len());
    let Some(user) = &users[at] else { return Played::default() };
    let (asker, verdicts) = (caller(&product.workspace, Some(user)), &verdicts[at]);
    let page = product.page_ids().choose(rng).unwrap().clone();
    let question = match Request::random(product, rng) {
        Request::Answer { question, .. } | Request::Title(question) | Request::Suggest(question) => question,
        _ => (*SHARED_WORDS.choose(rng).unwrap()).to_owned(),
    };
    let mut fetched = 0;
    let (request, told) = match rng.random_range(0..4) {
        0 | 1 => {
            let stream = rng.random_bool(0.5);
            let told = served.chat(&asker, &question, stream).await;
            (Request::Answer { question, stream }, told)
        }
        2 => (Request::Free { query: question.clone(), trash: false }, served.tool_search(&asker, &question).await),
        _ => {
            let told = served.tool_fetch(&asker, &page).await;
            let (is_given, opens) = (told.pages.contains(&page), verdicts.opens.contains(&page));
            assert!(!settled || is_given == opens, "{context}: {user} fetched {page}: {}", told.json);
            fetched = u64::from(is_given);
            (Request::Page(page), told)
        }
    };
    let found = leak(products, product, verdicts, &request, &told);
    let found = found.or_else(|| told.json.contains("evil.example").then(|| "a link leads elsewhere".to_owned()));
    assert!(
        found.is_none(),
        "{context}: {user} {request:?}: {found:?}\n{verdicts:?}\n{}\n{:#?}",
        told.json,
        product.known()
    );
    Played { cases: 1, fetched, ..Played::default() }
}

/// Somebody begins a conversation or goes on with one, and somebody reads one again: its owner is told what may be seen now, everyone else
/// what is told of conversations that never were.
async fn talk(asking: &Asking<'_>, verdicts: &[Verdicts], talks: &mut Vec<Talk>, rng: &mut SmallRng) -> Played {
    let &Asking { site, product, context, .. } = asking;
    let users = product.users();
    let at = rng.random_range(0..users.len());
    let Some(user) = &users[at] else { return Played::default() };
    let asker = caller(&product.workspace, Some(user));
    let engine = if rng.random_bool(0.7) { &site.parroting } else { &site.lenient };
    let own: Vec<&Talk> = talks.iter().filter(|of| of.workspace == product.workspace && of.user == *user).collect();
    let followed = own.choose(rng).filter(|_| rng.random_bool(0.7));
    let question = match Request::random(product, rng) {
        Request::Answer { question, .. } => question,
        _ => (*SHARED_WORDS.choose(rng).unwrap()).to_owned(),
    };
    let named = followed.map_or("new", |talk| talk.id.as_str());
    let told = converse(engine, &site.conversations, &asker, named, &question, rng.random_bool(0.5)).await;
    let told = told.unwrap_or_else(|error| panic!("{context}: {error:#}"));
    let what = format!("{user} asked {question:?} in {named}");
    let mut played = Played { cases: 1, ..Played::default() };
    if let Some((told, kept)) = told {
        judge(asking, &verdicts[at], &told, &what);
        if let Some(id) = kept.filter(|_| named == "new") {
            talks.push(Talk { workspace: product.workspace.clone(), user: user.clone(), id });
        }
    }
    let here: Vec<&Talk> = talks.iter().filter(|of| of.workspace == product.workspace).collect();
    let Some(again) = here.choose(rng) else { return played };
    let reader = rng.random_range(0..users.len());
    for (at, is_owner) in users.iter().enumerate().map(|(at, user)| (at, user.as_ref() == Some(&again.user))) {
        if !is_owner && at != reader {
            continue;
        }
        let reader = caller(&product.workspace, users[at].as_ref());
        let told = reread(&site.lenient, &site.conversations, &reader, &again.id).await;
        let told = told.unwrap_or_else(|error| panic!("{context}: {error:#}"));
        let what = format!("{:?} read {} of {}", users[at], again.id, again.user);
        let Some(told) = told else {
            // What was erased with its owner is there no more.
            assert!(!is_owner || product.known().erased_users().contains(&again.user), "{context}: {what}: nothing");
            continue;
        };
        assert!(is_owner, "{context}: {what}");
        judge(asking, &verdicts[at], &told.told, &what);
        let (turns_shown, turns_withdrawn) = (told.shown, told.withdrawn);
        played.add(Played { cases: 1, turns_shown, turns_withdrawn, ..Played::default() });
    }
    played
}

/// Somebody's connection breaks, and somebody comes back for an answer of before: whoever asked is told what may be seen now, nobody else.
async fn break_connections(
    asking: &Asking<'_>,
    verdicts: &[Verdicts],
    broken: &mut Vec<Broken>,
    rng: &mut SmallRng,
) -> Played {
    let &Asking { site, product, context, .. } = asking;
    let users = product.users();
    let user = |rng: &mut SmallRng| caller(&product.workspace, users.choose(rng).unwrap().as_ref());
    let engine = if rng.random_bool(0.5) { &site.parroting } else { &site.lenient };
    let (asker, events) = (user(rng), rng.random_range(1..4));
    let question = *SHARED_WORDS.choose(rng).unwrap();
    broken.extend(break_off(engine, &site.streams, &asker, question, events).await.unwrap());
    // Most are come back to much later.
    let here: Vec<usize> = (0..broken.len())
        .filter(|_| rng.random_bool(0.3))
        .filter(|at| broken[*at].caller.workspace == product.workspace)
        .collect();
    let Some(at) = here.choose(rng) else { return Played::default() };
    let of = &broken[*at];
    let other = user(rng);
    if other != of.caller {
        let told = go_on(&site.streams, of, &other).await.unwrap();
        assert!(told.is_none(), "{context}: {} goes on with {of:?}: {told:?}", other.subject);
    }
    let told = go_on(&site.streams, of, &of.caller).await.unwrap();
    let of = broken.swap_remove(*at);
    // What was lost before is not kept.
    let Some(told) = told else { return Played { cases: 1, lost: 1, ..Played::default() } };
    let whose = users.iter().position(|user| caller(&product.workspace, user.as_ref()) == of.caller).unwrap();
    judge(asking, &verdicts[whose], &told.told, &format!("{} goes on with {of:?}", of.caller.subject));
    let lost = u64::from(told.is_lost);
    Played { cases: 1, lost, gone_on: 1 - lost, ..Played::default() }
}

fn judge(asking: &Asking<'_>, verdicts: &Verdicts, told: &Answer, what: &str) {
    let &Asking { products, product, context, .. } = asking;
    let request = Request::Answer { question: String::new(), stream: false };
    let found = leak(products, product, verdicts, &request, told);
    let found = found.or_else(|| told.json.contains("evil.example").then(|| "a link leads elsewhere".to_owned()));
    assert!(found.is_none(), "{context}: {what}: {found:?}\n{verdicts:?}\n{}\n{:#?}", told.json, product.known());
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
