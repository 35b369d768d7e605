//! No response holds anything of a page that its caller may not see: random workspaces, people and requests.
//!
//! Every page carries words of its own in its title, text and tags. Whatever is asked, by whomever, the words of pages
//! that the access graph denies must not be in the answer. The seed of a failing world is in the message; set `SEED` to
//! run it alone.

use access::{Caller, PageOrdinal};
use query::config::Config;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::export::text_of;
use super::harness::{ADMIN_KEY, Client, Content, PageSpec, caller};

const USERS: [&str; 5] = ["ada", "bob", "gus", "rex", "zoe"];
const WORLDS: u64 = 6;
const REQUESTS: usize = 120;

/// Text for the life of the test.
fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A word that stands on this page alone, in letters so that it can be a prefix and a typo.
fn own_word(page: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    format!("quark{}{}{}", letter(page / 26), letter(page), letter(page * 7))
}

struct World {
    client: Client,
    pages: Vec<&'static str>,
}

fn world(rng: &mut SmallRng) -> World {
    let mut content = Content::new();
    content.member("acme", "ada", "member");
    content.member("acme", "bob", "member");
    content.member("acme", "gus", "guest");
    content.member("acme", "rex", "removed");
    let count = rng.random_range(8..40);
    let pages: Vec<&'static str> = (0..count).map(|at| leaked(format!("page-{at}"))).collect();
    let grants = ["workspace:view", "public:view", "user:ada:edit", "user:bob:view", "user:gus:view", "user:zoe:full"];
    for (at, id) in pages.iter().enumerate() {
        let word = own_word(at);
        let texts: Vec<&'static str> = (0..rng.random_range(0..4))
            .map(|n| leaked(format!("Common words about the deployment number {n}, and {word} itself.")))
            .collect();
        let own: Vec<&'static str> = grants.iter().copied().filter(|_| rng.random_bool(0.15)).collect();
        content.page(
            "acme",
            id,
            PageSpec {
                title: leaked(format!("Title {word} deployment")),
                kind: ["page", "row", "database", "teamspace"].choose(rng).unwrap(),
                parent: (at > 0 && rng.random_bool(0.8)).then(|| pages[rng.random_range(0..at)]),
                text: Vec::leak(texts),
                grants: Vec::leak(own),
                restricted: rng.random_bool(0.15),
                blocks: "paragraph",
                kinds: &[],
                trashed: rng.random_bool(0.1),
                tags: Vec::leak(vec![leaked(format!("tag-{word}")), "shared"]),
                by: USERS.choose(rng).unwrap(),
                day: rng.random_range(1..28),
            },
        );
    }
    content.commit();
    World { client: Client::recording(content, Config::default()), pages }
}

impl World {
    /// The own words of pages that this caller may not be told of: neither found nor read, nor looked up in the trash.
    fn hidden(&self, caller: &Caller, trash: bool) -> Vec<String> {
        let workspace = self.client.content.index().catalog().get(&caller.workspace).unwrap();
        let state = workspace.read();
        let seen = |at: usize| {
            let decision = state.access.decide(caller, PageOrdinal(at as u32));
            // Readable ancestors are named in breadcrumbs, and what is found is.
            decision.discover || decision.read || (trash && decision.in_trash())
        };
        (0..self.pages.len()).filter(|&at| !seen(at)).map(own_word).collect()
    }

    /// As [`World::hidden`], for what lists give: what only opens by link is not in them.
    fn not_found(&self, caller: &Caller) -> Vec<&'static str> {
        let workspace = self.client.content.index().catalog().get(&caller.workspace).unwrap();
        let state = workspace.read();
        let found = |at: usize| state.access.decide(caller, PageOrdinal(at as u32)).discover;
        (0..self.pages.len()).filter(|&at| !found(at)).map(|at| self.pages[at]).collect()
    }
}

fn query(rng: &mut SmallRng, pages: &[&'static str]) -> String {
    let page = rng.random_range(0..pages.len());
    let word = own_word(page);
    let mut typo = word.clone();
    typo.replace_range(2..3, "x");
    let choices = [
        "deployment".to_owned(),
        "\"common words\"".to_owned(),
        word.clone(),
        typo,
        word[..6].to_owned(),
        format!("\"and {word} itself\""),
        format!("deployment -{word}"),
        format!("title:{word}"),
        format!("deployment in:{}", pages[page]),
        format!("deployment tag:tag-{word}"),
        "tag:shared".to_owned(),
        "type:page author:ada".to_owned(),
        "after:2026-03-10".to_owned(),
        String::new(),
    ];
    choices.choose(rng).unwrap().clone()
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a switch of this test, not of the product")]
async fn no_response_tells_of_what_its_caller_may_not_see() {
    let only: Option<u64> = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..WORLDS, |seed| seed..seed + 1) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let world = world(&mut rng);
        for _ in 0..REQUESTS {
            ask(&world, &mut rng, seed).await;
        }
        counters_name_nothing(&world, seed).await;
    }
}

/// What operators read holds no word of any page and names nobody; others do not get it.
async fn counters_name_nothing(world: &World, seed: u64) {
    let key = format!("Bearer {ADMIN_KEY}");
    let reply = world.client.get("/metrics", &[("authorization", &key)]).await;
    assert_eq!(reply.status, 200, "seed {seed}");
    let text = std::str::from_utf8(&reply.body).unwrap();
    assert!(text.contains("tessera_query_request_seconds_count{route=\"/v1/search\",status=\"200\"}"), "{text}");
    let words = (0..world.pages.len()).map(own_word);
    let names = world.pages.iter().chain(&USERS).map(|name| (*name).to_owned());
    for told in words.chain(names).chain(["acme".to_owned(), "deployment".to_owned()]) {
        assert!(!text.contains(&told), "seed {seed}: {told} in {text}");
    }
    for user in USERS {
        let refused = world.client.get_as(user, "/metrics").await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "forbidden"));
        assert!(!String::from_utf8_lossy(&refused.body).contains("tessera_query"));
    }
}

async fn ask(world: &World, rng: &mut SmallRng, seed: u64) {
    let user = *USERS.choose(rng).unwrap();
    let who = caller("acme", user);
    let query = query(rng, &world.pages);
    let page = *world.pages.choose(rng).unwrap();
    let encoded = query.replace('%', "%25").replace(' ', "%20").replace('"', "%22");
    let trash = rng.random_bool(0.2);
    let (reply, what) = match rng.random_range(0..18) {
        0..=5 => {
            let mode = *["hybrid", "lexical", "semantic"].choose(rng).unwrap();
            let request = json!({
                "query": query,
                "mode": mode,
                "facets": ["type", "author", "tag", "in"],
                "prefix": rng.random_bool(0.5),
                "include_trashed": trash,
                "limit": rng.random_range(1..50),
                "score_details": true,
            });
            (world.client.search_as(user, request.clone()).await, request.to_string())
        }
        6 => (
            world.client.get_as(user, &format!("/v1/suggest?limit=50&query=q{encoded}")).await,
            format!("suggest q{query}"),
        ),
        7 => (world.client.get_as(user, "/v1/suggest?limit=50&query=quark").await, "suggest quark".to_owned()),
        8 => (world.client.get_as(user, &format!("/v1/similar?limit=50&page={page}")).await, format!("similar {page}")),
        9 if rng.random_bool(0.5) => {
            let format = *["markdown", "pdf"].choose(rng).unwrap();
            let mut reply = world.client.get_as(user, &format!("/v1/pages/{page}/export?format={format}")).await;
            // All of a PDF is read in eval's leak test; here as far as it is not packed, or poppler can read it.
            let unpacked = if format == "pdf" && reply.status == 200 { text_of(&reply.body) } else { None };
            reply.json = json!([String::from_utf8_lossy(&reply.body), unpacked]);
            (reply, format!("export {page} as {format}"))
        }
        9 => (world.client.get_as(user, &format!("/v1/pages/{page}")).await, format!("page {page}")),
        10 => (
            world.client.tool_as(user, "search", json!({"query": query, "limit": 50})).await,
            format!("mcp search {query}"),
        ),
        11 => (world.client.tool_as(user, "fetch", json!({"id": page})).await, format!("mcp fetch {page}")),
        12 => {
            let other = *world.pages.choose(rng).unwrap();
            let pages = if other == page { vec![page] } else { vec![page, other] };
            let task = *["summarise", "key_points", "action_items"].choose(rng).unwrap();
            let request = json!({"task": task, "pages": pages, "length": "long"});
            (world.client.generate_as(user, request.clone()).await, request.to_string())
        }
        13 => {
            let messages = json!([{"role": "user", "content": if query.is_empty() { "deployment" } else { &query }}]);
            let request = json!({"model": "tessera", "messages": messages});
            (world.client.chat_as(user, request.clone()).await, request.to_string())
        }
        14 => {
            let stream = if rng.random_bool(0.5) { page.to_owned() } else { format!("{:032x}", rng.random::<u128>()) };
            (world.client.delete_as(user, &format!("/v1/answers/{stream}")).await, format!("to stop {stream}"))
        }
        _ => return tell(world, user, USERS.choose(rng).unwrap(), page, seed).await,
    };
    let said = reply.json.to_string();
    assert!(!what.starts_with("mcp") || reply.status == 200, "seed {seed}: {user} asked {what}: {said}");
    assert!(reply.status.as_u16() < 500, "seed {seed}: {user} asked {what}: {said}");
    for word in world.hidden(&who, trash) {
        assert!(!said.contains(&word), "seed {seed}: {user} asked {what} and was told {word}: {said}");
    }
    if let Some(results) = reply.json["results"].as_array().filter(|_| !trash) {
        for hidden in world.not_found(&who) {
            let listed = results.iter().any(|hit| hit["page"]["id"] == hidden);
            assert!(!listed, "seed {seed}: {user} asked {what} and found {hidden}");
        }
    }
}

/// Feedback is taken on a page that was shown to whoever gives it, and is answered in the same words for every other page,
/// hidden or absent, and for a list of somebody else.
async fn tell(world: &World, user: &str, shown_to: &str, page: &str, seed: u64) {
    let list = world.client.search_as(shown_to, json!({"query": "deployment", "limit": 50})).await;
    let shown = list.pages().contains(&page);
    let about =
        |page: &str| json!({"tracking_id": list.json["tracking_id"], "events": [{"type": "click", "page": page}]});
    let told = world.client.feedback_as(user, about(page)).await;
    let absent = world.client.feedback_as(user, about("absent")).await;
    if user == shown_to && shown {
        assert_eq!(told.status, 202, "seed {seed}: {user} about {page}: {}", told.json);
        assert_eq!(told.json, json!({"accepted": 1, "request_id": "same"}));
    } else {
        let said = (told.status, &told.headers, &told.body);
        assert_eq!(said, (absent.status, &absent.headers, &absent.body), "seed {seed}: {user} about {page}");
    }
    assert_eq!(absent.status, 404);
}
