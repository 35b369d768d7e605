//! Feedback over HTTP: who may give it on what, what is recorded of it, and lists that two configurations rank.

use query::config::Config;
use query::feedback::record::{Done, Record, Shown};
use query::interleave::Team;
use schemas::api::feedback::FeedbackKind;
use schemas::ids::PageId;
use serde_json::{Value, json};

use super::content::PageSpec;
use super::harness::{Client, Reply, acme, token};

fn client() -> Client {
    Client::recording(acme(), Config::default())
}

fn click(list: &Reply, page: &str) -> Value {
    json!({"tracking_id": list.json["tracking_id"], "events": [{"type": "click", "page": page}]})
}

fn shown(client: &Client) -> Vec<Shown> {
    let of = |record| match record {
        Record::Shown(shown) => Some(shown),
        Record::Done(_) => None,
    };
    client.records().into_iter().filter_map(of).collect()
}

fn done(client: &Client) -> Vec<Done> {
    let of = |record| match record {
        Record::Shown(_) => None,
        Record::Done(done) => Some(done),
    };
    client.records().into_iter().filter_map(of).collect()
}

#[tokio::test]
async fn a_server_that_records_nothing_says_nothing_of_tracking() {
    let client = Client::new();
    let list = client.search_as("bob", json!({"query": "deploy"})).await;
    assert!(list.json.get("tracking_id").is_none(), "{}", list.json);
    let body = json!({"tracking_id": "0".repeat(64), "events": [{"type": "click", "page": "runbook"}]});
    assert_eq!(client.feedback_as("bob", body).await.status, 404);
}

#[tokio::test]
async fn what_was_shown_and_done_is_recorded_with_its_rank() {
    let client = client();
    let list = client.search_as("bob", json!({"query": "deploy"})).await;
    let pages = list.pages();
    let events = json!([
        {"type": "click", "page": pages[1]},
        {"type": "dwell", "page": pages[1], "dwell_ms": 45_000, "at": "2026-03-01T10:20:30Z"},
        {"type": "helpful", "page": pages[0], "rank": 7},
    ]);
    let body = json!({"tracking_id": list.json["tracking_id"], "events": events});
    for _ in 0..2 {
        let reply = client.feedback_as("bob", body.clone()).await;
        assert_eq!((reply.status.as_u16(), &reply.json["accepted"]), (202, &json!(3)), "{}", reply.json);
    }
    let lists = shown(&client);
    assert_eq!(lists.len(), 1);
    let ids: Vec<&str> = lists[0].pages.iter().map(PageId::as_str).collect();
    assert_eq!((ids, lists[0].first_rank), (pages.clone(), 1));
    assert_eq!(json!(lists[0].index_seq), list.json["consistency"]["index_seq"]);
    let done = done(&client);
    let told: Vec<_> = done.iter().map(|done| (done.kind, done.page.as_str(), done.rank, done.dwell_ms)).collect();
    assert_eq!(
        told,
        [
            (FeedbackKind::Click, pages[1], 2, None),
            (FeedbackKind::Dwell, pages[1], 2, Some(45_000)),
            (FeedbackKind::Helpful, pages[0], 7, None),
        ],
        "sent twice, recorded once"
    );
    assert_eq!(done[1].time.to_string(), "2026-03-01T10:00:00Z");
    assert!(done.iter().all(|done| done.list == lists[0].list && done.person == lists[0].person));
}

#[tokio::test]
async fn whatever_feedback_is_not_taken_on_is_answered_alike() {
    let client = client();
    let of_ada = client.search_as("ada", json!({"query": "deploy", "mode": "lexical"})).await;
    let of_bob = client.search_as("bob", json!({"query": "deploy", "mode": "lexical"})).await;
    assert!(of_ada.pages().contains(&"secret") && of_bob.pages().contains(&"runbook"));
    let mut forged = of_bob.json["tracking_id"].as_str().unwrap().to_owned();
    forged.replace_range(0..1, if forged.starts_with('0') { "1" } else { "0" });
    let mixed = json!({"tracking_id": of_bob.json["tracking_id"], "events": [
        {"type": "click", "page": "runbook"}, {"type": "click", "page": "secret"},
    ]});
    let refused = [
        ("a list of somebody else", click(&of_ada, "runbook")),
        ("a page that bob may not see", click(&of_bob, "secret")),
        ("a page that was not shown", click(&of_bob, "task-1")),
        ("a page that is absent", click(&of_bob, "absent")),
        ("one page too many", mixed),
        ("no tracking id at all", json!({"tracking_id": "", "events": [{"type": "click", "page": "runbook"}]})),
        ("a forged one", json!({"tracking_id": forged, "events": [{"type": "click", "page": "runbook"}]})),
    ];
    let mut answers = Vec::new();
    for (what, body) in refused {
        let reply = client.feedback_as("bob", body).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (404, "not_found"), "{what}: {}", reply.json);
        answers.push((reply.headers, reply.body));
    }
    let eve = format!("Bearer {}", token("globex", "bob", ""));
    let headers = [("authorization", eve.as_str()), ("content-type", "application/json"), ("x-request-id", "same")];
    let reply = client.post("/v1/feedback", &headers, click(&of_bob, "runbook").to_string()).await;
    answers.push((reply.headers, reply.body));
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert!(done(&client).is_empty(), "of a request that is refused nothing is taken");
}

#[tokio::test]
async fn a_page_that_was_shown_and_is_taken_away_is_as_absent() {
    let mut client = client();
    let list = client.search_as("bob", json!({"query": "deploy"})).await;
    assert_eq!(client.feedback_as("bob", click(&list, "runbook")).await.status, 202);
    let taken =
        PageSpec { title: "Deploy runbook", grants: &["user:ada:full"], restricted: true, ..PageSpec::default() };
    client.content.page("acme", "runbook", taken);
    client.content.commit();
    let reply = client.feedback_as("bob", click(&list, "runbook")).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (404, "not_found"));
}

#[tokio::test]
async fn what_breaks_a_bound_is_named() {
    let client = client();
    let list = client.search_as("bob", json!({"query": "deploy"})).await;
    let id = &list.json["tracking_id"];
    let event = json!({"type": "click", "page": "runbook"});
    let with = |name: &str, value: Value| {
        let mut event = event.clone();
        event[name] = value;
        json!({"tracking_id": id, "events": [event]})
    };
    for body in [
        json!({}),
        json!({"tracking_id": id, "events": []}),
        json!({"tracking_id": id, "events": vec![event.clone(); 101]}),
        with("rank", json!(0)),
        with("rank", json!(10_001)),
        with("dwell_ms", json!(5)),
        with("type", json!("dwell")),
        with("type", json!("hover")),
        with("text", json!("anything")),
        with("page", json!("")),
    ] {
        let reply = client.feedback_as("bob", body.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, "invalid_request"), "{body}: {}", reply.json);
    }
    assert_eq!(client.feedback_as("bob", with("rank", json!(3.0))).await.status, 202, "3.0 is whole");
}

#[tokio::test]
async fn an_answer_without_hits_and_one_from_an_unknown_workspace_look_alike() {
    let client = client();
    let mut fields = Vec::new();
    for workspace in ["acme", "nowhere"] {
        let bearer = format!("Bearer {}", token(workspace, "zoe", ""));
        let reply = client.get("/v1/search?query=deploy", &[("authorization", &bearer)]).await;
        let body = reply.json.as_object().unwrap().clone();
        assert_eq!(body["tracking_id"].as_str().unwrap().len(), 64);
        fields.push(body.keys().cloned().collect::<Vec<_>>());
    }
    assert_eq!(fields[0], fields[1]);
    let trash = client.search_as("ada", json!({"query": "deploy", "include_trashed": true})).await;
    assert!(trash.json.get("tracking_id").is_none(), "what is listed from the trash is not recorded");
}

/// A workspace in which the two configurations disagree: titles count all or nothing.
fn interleaving() -> Client {
    let mut config = Config { semantic_weight: 0.0, ..Config::default() };
    config.rescore.title_weight = 1.0;
    config.interleave.share = 1.0;
    let overrides = json!({"rescore": {"title_weight": 0.0, "recency_weight": 1.0}});
    config.interleave.overrides = serde_json::from_value(overrides).unwrap();
    let mut content = acme();
    for number in 0..30 {
        let title = if number % 2 == 0 { "Deploy" } else { "Other matters" };
        let id: &'static str = Box::leak(format!("page-{number}").into_boxed_str());
        let text = &["Notes of those who deploy at night."];
        let day = 1 + number;
        content.page("acme", id, PageSpec { title, text, day, grants: &["workspace:view"], ..PageSpec::default() });
    }
    content.commit();
    Client::recording(content, config)
}

#[tokio::test]
async fn an_interleaved_list_goes_on_where_it_ended_and_says_who_picked() {
    let client = interleaving();
    for _ in 0..5 {
        let whole = client.search_as("bob", json!({"query": "deploy", "limit": 100})).await;
        let (mut paged, mut cursor, mut ids) = (Vec::new(), Value::Null, Vec::new());
        loop {
            let page = client.search_as("bob", json!({"query": "deploy", "limit": 7, "cursor": cursor})).await;
            assert_eq!(page.status, 200, "{}", page.json);
            paged.extend(page.pages().into_iter().map(str::to_owned));
            ids.push(page.json["tracking_id"].clone());
            cursor = page.json["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert!(ids.len() > 3 && ids.windows(2).all(|pair| pair[0] == pair[1]), "all pages are of one list: {ids:?}");
        let sorted = |mut pages: Vec<String>| {
            pages.sort();
            pages
        };
        let whole = whole.pages().into_iter().map(str::to_owned).collect();
        assert_eq!(sorted(paged.clone()), sorted(whole), "each page is listed once");
        let last =
            click(&Reply { json: json!({"tracking_id": ids[0]}), ..client.get("/healthz", &[]).await }, &paged[20]);
        assert_eq!(client.feedback_as("bob", last).await.status, 202, "feedback is taken on any page of the list");
    }
    let lists = shown(&client);
    assert!(lists.iter().all(|shown| shown.teams.len() == shown.pages.len()));
    let paged: Vec<&Shown> = lists.iter().filter(|shown| shown.list == lists.last().unwrap().list).collect();
    let teams: Vec<Option<Team>> = paged.iter().flat_map(|shown| shown.teams.clone()).collect();
    let count = |team| teams.iter().filter(|of| **of == Some(team)).count();
    assert!(count(Team::A).abs_diff(count(Team::B)) <= 1, "{teams:?}");
    let ranks: Vec<u32> = paged.iter().map(|shown| shown.first_rank).collect();
    assert_eq!(ranks[..3], [1, 8, 15]);
    assert_eq!(done(&client)[0].rank, 21);
}

#[tokio::test]
async fn who_asks_for_an_order_gets_that_order() {
    let client = interleaving();
    let request = json!({"query": "deploy", "fusion": {"method": "weighted"}});
    let one = client.search_as("bob", request.clone()).await;
    let two = client.search_as("bob", request).await;
    assert_eq!(one.pages(), two.pages());
    assert!(shown(&client).iter().all(|shown| shown.teams.is_empty()));
}

#[tokio::test]
async fn an_interleaved_list_shows_nothing_its_caller_may_not_see() {
    let client = interleaving();
    for _ in 0..10 {
        let list = client.search_as("bob", json!({"query": "deploy lanternfish", "limit": 100})).await;
        assert!(!list.json.to_string().to_lowercase().contains("lanternfish is"), "{}", list.json);
        assert!(!list.pages().contains(&"secret") && !list.pages().contains(&"plan"));
    }
}
