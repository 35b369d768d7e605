//! Conversations over HTTP: kept for their owner, told as far as the owner may see them now, gone on with as far as that.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request as HttpRequest;
use futures_util::StreamExt as _;
use models::generate::{GenerateError, Request, Role, Task};
use query::config::Config;
use query::conversations::Whose;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::content::Edit;
use super::harness::{ADMIN_KEY, Client, PageSpec, acme, token};
use super::resume::Endless;
use super::scripted::{Script, Scripted, pieces};

const RUNBOOK: &str = "How do we deploy the telescope service?";

/// A model that repeats all answers before, then what it was shown, and cites everything.
fn parrot() -> Arc<Scripted<impl Fn(&Request) -> Script + Send + Sync + 'static>> {
    Arc::new(Scripted::new(|request: &Request| {
        let before = request.messages.iter().filter(|message| message.role == Role::Assistant);
        let before: String = before.map(|message| message.text.replace(['[', ']'], "")).collect();
        let shown = request.messages.last().unwrap().text.split("<question>").next().unwrap_or("");
        let said: Vec<&str> = shown.lines().filter(|line| line.contains('.')).collect();
        Script::Writes(pieces(&format!("{before} {} [1][2][3][4][5].", said.join(" "))))
    }))
}

fn talking() -> Client {
    Client::writing(acme(), Config::default(), Some(parrot()))
}

async fn asks(client: &Client, user: &str, conversation: &str, question: &str) -> Value {
    let reply = client.answer_as(user, json!({"question": question, "conversation": conversation})).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    reply.json
}

fn id_of(answer: &Value) -> String {
    answer["conversation"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn opened(client: &Client, user: &str, id: &str) -> Value {
    let reply = client.get_as(user, &format!("/v1/conversations/{id}")).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    reply.json
}

/// Restricts a page of the workspace to somebody, or gives it back to all.
fn give(client: &mut Client, page: &'static str, text: &'static [&'static str], grants: &'static [&'static str]) {
    let spec = PageSpec { title: "Deploy runbook", text, grants, restricted: true, ..PageSpec::default() };
    client.content.page("acme", page, spec);
    client.content.commit();
}

#[tokio::test]
async fn a_conversation_goes_on_and_is_read_again_by_its_owner_alone() {
    let client = Client::new();
    let first = asks(&client, "bob", "new", "How long does a rollback take?").await;
    let id = id_of(&first);
    let second =
        client.answer_as("bob", json!({"question": "Who coats the mirror?", "conversation": id, "stream": true})).await;
    let (name, done) = second.events().pop().unwrap();
    assert_eq!((name.as_str(), &done["conversation"]), ("done", &json!(id)));
    let list = client.get_as("bob", "/v1/conversations").await.json;
    assert_eq!(
        (&list["object"], &list["has_more"], &list["next_cursor"]),
        (&json!("list"), &json!(false), &Value::Null)
    );
    assert_eq!(list["results"][0]["title"], "How long does a rollback take?");
    assert_eq!(list["results"][0]["turns"], 2);
    let conversation = opened(&client, "bob", &id).await;
    assert_eq!((&conversation["object"], &conversation["id"]), (&json!("conversation"), &json!(id)));
    let turn = &conversation["history"][0];
    assert_eq!((&turn["answer"], &turn["question"]), (&first["answer"], &json!("How long does a rollback take?")));
    assert_eq!((&turn["withdrawn"], &turn["stale"], &turn["extractive"]), (&json!(false), &json!(false), &json!(true)));
    assert_eq!((&turn["sources"][0]["page"]["id"], &turn["sources"][0]["number"]), (&json!("runbook"), &json!(1)));
    assert_eq!(turn["sources"][0]["breadcrumb"][0]["title"], "Engineering");
    assert_eq!(
        (&turn["citations"][0]["block"], &turn["citations"][0]["range"]),
        (&json!("runbook-1"), &json!([0, 28]))
    );
    assert_eq!(turn["sentences"], first["sentences"]);
    // Somebody else, an administrator included, is told what those are told who ask for what never was.
    let path = format!("/v1/conversations/{id}");
    let bearer = format!("Bearer {}", token("acme", "ada", "admin"));
    let key = format!("Bearer {ADMIN_KEY}");
    let of_key = [("authorization", key.as_str()), ("tessera-workspace", "acme"), ("tessera-act-as", "ada")];
    for headers in [&[("authorization", bearer.as_str())][..], &of_key[..]] {
        let headers: Vec<_> = headers.iter().copied().chain([("x-request-id", "same")]).collect();
        let other = client.get(&path, &headers).await;
        let absent = client.get("/v1/conversations/00000000000000000000000000000000", &headers).await;
        assert_eq!((other.status, &other.body, &other.headers), (absent.status, &absent.body, &absent.headers));
        assert!(!other.status.is_success());
    }
    let (other, absent) = (client.delete_as("ada", &path).await, client.delete_as("ada", "/v1/conversations/zz").await);
    assert_eq!((other.status.as_u16(), &other.body), (404, &absent.body));
    for conversation in [&id, "00000000000000000000000000000000"] {
        let asked = client.answer_as("ada", json!({"question": "Who?", "conversation": conversation})).await;
        assert_eq!((asked.status.as_u16(), asked.code()), (404, "not_found"));
    }
    assert_eq!(client.get_as("ada", "/v1/conversations").await.json["results"], json!([]));
    assert_eq!(client.delete_as("bob", &path).await.status, 204);
    assert_eq!(client.get_as("bob", &path).await.status, 404);
}

#[tokio::test]
async fn lists_are_given_in_pages_and_requests_that_make_no_sense_are_refused() {
    let client = Client::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(id_of(&asks(&client, "bob", "new", "How long does a rollback take?").await));
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get_as("bob", &format!("/v1/conversations?limit=2{cursor}")).await.json;
        found.extend(page["results"].as_array().unwrap().iter().map(|of| of["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    found.sort();
    ids.sort();
    assert_eq!(found, ids, "each once");
    for (path, code) in
        [("?limit=0", "invalid_request"), ("?limit=101", "invalid_request"), ("?cursor=zz", "invalid_cursor")]
    {
        let reply = client.get_as("bob", &format!("/v1/conversations{path}")).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, code), "{path}");
    }
    let turns = json!([{"role": "user", "content": "Hello"}]);
    let both = client.answer_as("bob", json!({"question": "Who?", "conversation": ids[0], "messages": turns})).await;
    assert_eq!((both.status.as_u16(), &both.json["errors"][0]["field"]), (400, &json!("messages")));
    let named = client.answer_as("bob", json!({"question": "Who?", "conversation": "mine"})).await;
    assert_eq!((named.status.as_u16(), &named.json["errors"][0]["field"]), (400, &json!("conversation")));
}

#[tokio::test]
async fn where_none_are_kept_they_cannot_be_asked_for() {
    let mut config = Config::default();
    config.conversations.enabled = false;
    let client = Client::writing(acme(), config, None);
    let asked = client.answer_as("bob", json!({"question": "Who?", "conversation": "new"})).await;
    assert_eq!((asked.status.as_u16(), &asked.json["errors"][0]["field"]), (400, &json!("conversation")));
    assert_eq!(client.get_as("bob", "/v1/conversations").await.json["results"], json!([]));
    assert_eq!(client.get_as("bob", "/v1/session").await.json["conversations"], false);
    assert!(!client.dir.path().join("conversations").exists());
}

#[tokio::test]
async fn a_turn_is_withdrawn_with_its_page_and_comes_back_with_it() {
    let mut client = talking();
    let id = id_of(&asks(&client, "bob", "new", RUNBOOK).await);
    let text: &[&str] = &["Deploy the telescope service in the blue green way.", "A rollback takes one minute."];
    assert!(opened(&client, "bob", &id).await["history"][0]["answer"].as_str().unwrap().contains("blue green"));
    give(&mut client, "runbook", text, &["user:ada:view"]);
    let lost = opened(&client, "bob", &id).await;
    assert!(!lost.to_string().contains("blue green") && !lost.to_string().contains("runbook"), "{lost}");
    assert_eq!(lost["history"][0]["withdrawn"], true);
    assert_eq!((&lost["history"][0]["question"], &lost["history"][0]["sources"]), (&json!(RUNBOOK), &json!([])));
    give(&mut client, "runbook", text, &["workspace:view"]);
    let back = opened(&client, "bob", &id).await;
    assert_eq!(
        (&back["history"][0]["withdrawn"], &back["history"][0]["stale"]),
        (&json!(false), &json!(true)),
        "{back}"
    );
    assert!(back["history"][0]["answer"].as_str().unwrap().contains("blue green"));
    // The second block goes: what was read does not stand there any more.
    give(&mut client, "runbook", &text[..1], &["workspace:view"]);
    let gone = opened(&client, "bob", &id).await;
    assert!(gone["history"][0]["withdrawn"] == true && !gone.to_string().contains("blue green"), "{gone}");
}

#[tokio::test]
async fn a_follow_up_is_given_the_turns_before_as_far_as_they_may_be_seen() {
    let mut client = talking();
    let id = id_of(&asks(&client, "bob", "new", RUNBOOK).await);
    let next = asks(&client, "bob", &id, "And the mirror coating?").await;
    assert!(next["answer"].as_str().unwrap().contains("blue green"), "the answer before was repeated: {next}");
    // What repeats a page goes with it, although it is none of its own sources.
    let turns = opened(&client, "bob", &id).await;
    let repeats = &turns["history"][1];
    let text = &["Deploy the telescope service in the blue green way.", "A rollback takes one minute."];
    give(&mut client, "runbook", text, &["user:ada:view"]);
    let lost = opened(&client, "bob", &id).await;
    assert_eq!(
        (&lost["history"][0]["withdrawn"], &lost["history"][1]["withdrawn"]),
        (&json!(true), &json!(true)),
        "{repeats}"
    );
    let third = asks(&client, "bob", &id, "Is the mirror coating ordered?").await;
    assert!(!third.to_string().contains("blue green"), "{third}");
    let third = &opened(&client, "bob", &id).await["history"][2];
    assert_eq!(third["withdrawn"], false, "{third}");
}

#[tokio::test]
async fn the_model_is_told_questions_and_answers_in_turn_and_none_that_is_out_of_date() {
    let model = parrot();
    let mut client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let id = id_of(&asks(&client, "bob", "new", RUNBOOK).await);
    asks(&client, "bob", &id, "And the mirror coating?").await;
    let roles = |at: usize| {
        let asked = model.asked.lock().unwrap();
        asked[at].messages.iter().map(|message| message.role).collect::<Vec<_>>()
    };
    assert_eq!(roles(1), [Role::System, Role::User, Role::Assistant, Role::User]);
    assert_eq!(model.asked.lock().unwrap()[1].task, Task::Answer);
    // The page says something else now: neither answer is repeated.
    give(&mut client, "runbook", &["Deploy by hand.", "A rollback takes a day."], &["workspace:view"]);
    asks(&client, "bob", &id, "And the blanket?").await;
    let told = model.told();
    assert!(!told[2].contains("blue green") && told[2].contains(RUNBOOK), "{}", told[2]);
}

#[tokio::test]
async fn what_a_model_was_told_of_a_page_beside_its_blocks_is_looked_at_too() {
    let mut config = Config::default();
    config.answer.passages_max = 1;
    config.answer.cache.entries_max = 0;
    let guide = PageSpec {
        title: "Kappa guide",
        text: &["Of the narwhal.", "Nothing here.", "Reset", "To reset the kappa press the red button."],
        kinds: &["heading_1", "paragraph", "heading_2"],
        grants: &["workspace:view"],
        ..PageSpec::default()
    };
    let mut content = acme();
    content.page("acme", "guide", guide);
    content.commit();
    let model = Arc::new(Scripted::new(|request: &Request| {
        let asked = &request.messages.last().unwrap().text;
        let is_next = asked.contains("And the mirror coating?");
        let said = if is_next {
            "Call the supplier about the mirror coating"
        } else {
            "Narwhal: to reset the kappa press the red button"
        };
        Script::Writes(pieces(&format!("{said} [1][2][3][4][5].")))
    }));
    let mut client = Client::writing(content, config, Some(model.clone()));
    let id = id_of(&asks(&client, "bob", "new", "How do I reset the kappa with the red button?").await);
    assert!(model.told()[0].contains("Section: Of the narwhal. > Reset"), "{:?}", model.told());
    let first = opened(&client, "bob", &id).await["history"][0].take();
    assert!(first["answer"].as_str().unwrap().contains("Narwhal"), "{first}");
    let of_guide = |turn: &Value| {
        let sources = turn["sources"].as_array().unwrap().iter().filter(|source| source["page"]["id"] == "guide");
        let blocks = sources.flat_map(|source| source["blocks"].as_array().unwrap());
        let told = |block: &Value| (block["block"].as_str().unwrap().to_owned(), block["stale"] == true);
        blocks.map(told).collect::<Vec<_>>()
    };
    let blocks = |is_stale| {
        let blocks = [("guide-2", false), ("guide-3", false), ("guide-0", is_stale)];
        blocks.map(|(block, stale)| (block.to_owned(), stale))
    };
    assert_eq!(of_guide(&first), blocks(false), "the outer heading is none of the blocks that are packed");
    for (edit, title, is_stale) in
        [(Edit::Page, "Other guide", true), (Edit::Block(0), "Kappa guide", true), (Edit::Page, "Kappa guide", false)]
    {
        client.content.edit("acme", "guide", PageSpec { title, ..guide }, edit);
        client.content.commit();
        let turn = opened(&client, "bob", &id).await["history"][0].take();
        assert_eq!((&turn["stale"], &turn["withdrawn"]), (&json!(is_stale), &json!(false)), "{title}: {turn}");
        assert_eq!(of_guide(&turn), blocks(edit == Edit::Block(0)), "{title}");
        // What follows is given it as long as it is as it was.
        let next = id_of(&asks(&client, "bob", &id, "And the mirror coating?").await);
        assert_eq!(next, id);
        let asked = model.asked.lock().unwrap().pop().unwrap();
        let told = &asked.messages[1..3];
        assert_eq!((told[0].role, told[1].role == Role::Assistant), (Role::User, !is_stale), "{title}");
    }
    client.content.edit("acme", "guide", guide, Edit::Without(0));
    client.content.commit();
    let lost = opened(&client, "bob", &id).await["history"].take();
    for at in [0, 3] {
        assert_eq!(lost[at]["withdrawn"], true, "{lost}");
        assert!(!lost[at].to_string().to_lowercase().contains("narwhal"), "{lost}");
    }
}

#[tokio::test]
async fn history_is_bounded_and_the_newest_turns_stay() {
    let mut config = Config::default();
    config.conversations.history_chars_max = 50;
    let model = parrot();
    let client = Client::writing(acme(), config, Some(model.clone()));
    let id = id_of(&asks(&client, "bob", "new", "What is asked first of all, and how?").await);
    asks(&client, "bob", &id, "What is asked second?").await;
    asks(&client, "bob", &id, "What is third?").await;
    let told = model.told().pop().unwrap();
    assert!(told.contains("asked second") && !told.contains("asked first"), "{told}");
}

#[tokio::test]
async fn erasure_reaches_what_is_kept() {
    let mut client = talking();
    let (acme, bob) = ("acme".parse().unwrap(), "bob".parse().unwrap());
    asks(&client, "bob", "new", RUNBOOK).await;
    asks(&client, "ada", "new", RUNBOOK).await;
    assert!(client.conversations.holds(Whose::Person(&acme, &bob)).unwrap());
    client.content.erase_member("acme", "bob");
    assert_eq!(client.conversations.sweep(jiff::Timestamp::now()), 1);
    assert!(!client.conversations.holds(Whose::Person(&acme, &bob)).unwrap());
    assert!(client.conversations.holds(Whose::Page(&acme, &"runbook".parse().unwrap(), &[])).unwrap());
    client.content.index().catalog().get(&acme).unwrap().write().erase();
    assert_eq!(client.conversations.sweep(jiff::Timestamp::now()), 1);
    assert!(!client.conversations.holds(Whose::Workspace(&acme)).unwrap());
}

/// The first event of a stream, as far as it is read; what comes after it is left unread.
async fn first_event(client: &Client, user: &str, question: &Value) -> (String, Value, BodyDataStream) {
    let request = HttpRequest::post("/v1/answers")
        .header("authorization", format!("Bearer {}", token("acme", user, "")))
        .header("content-type", "application/json")
        .header("accept", "text/event-stream");
    let request = request.body(Body::from(question.to_string())).unwrap();
    let mut body = client.begin(request).await.into_body().into_data_stream();
    let mut came = Vec::new();
    let block = loop {
        came.extend(body.next().await.unwrap().unwrap());
        let text = String::from_utf8_lossy(&came).into_owned();
        if let Some((block, _)) = text.split_once("\n\n") {
            break block.to_owned();
        }
    };
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    (field("id: "), serde_json::from_str(&field("data: ")).unwrap(), body)
}

#[tokio::test]
async fn an_answer_that_is_stopped_leaves_its_question_in_the_conversation() {
    let client = Client::writing(acme(), Config::default(), Some(Arc::new(Endless(Arc::default()))));
    let asked = json!({"question": RUNBOOK, "conversation": "new"});
    let (event, sources, _body) = first_event(&client, "bob", &asked).await;
    let id = id_of(&sources);
    assert_eq!(client.get_as("bob", &format!("/v1/conversations/{id}")).await.status, 404, "nothing is kept yet");
    let (stream, _) = event.split_once('-').unwrap();
    assert_eq!(client.delete_as("bob", &format!("/v1/answers/{stream}")).await.status, 204);
    let kept = opened(&client, "bob", &id).await;
    let turn = &kept["history"][0];
    assert_eq!((&turn["question"], &turn["answer"]), (&json!(RUNBOOK), &json!("")));
    assert_eq!((&turn["unanswered"], &turn["withdrawn"], &turn["sources"]), (&json!(true), &json!(false), &json!([])));
    // What follows on it names it.
    let (_, next, _body) =
        first_event(&client, "bob", &json!({"question": "And the mirror?", "conversation": id})).await;
    assert_eq!(id_of(&next), id);
}

/// A stop waited for connections alone: an answer that was written on without one was dropped with the runtime, or not even that.
#[tokio::test]
async fn an_answer_that_nobody_reads_is_left_before_a_server_has_stopped() {
    let mut config = Config::default();
    config.answer.resume.detached_ms = 300_000;
    let client = Client::writing(acme(), config, Some(Arc::new(Endless(Arc::default()))));
    let (.., body) = first_event(&client, "bob", &json!({"question": RUNBOOK, "conversation": "new"})).await;
    drop(body);
    let (workspace, bob) = ("acme".parse().unwrap(), "bob".parse().unwrap());
    let keeps = || client.conversations.holds(Whose::Person(&workspace, &bob)).unwrap();
    assert!(!keeps());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    client.app.run(listener, shutdown).await.unwrap();
    assert!(keeps(), "its question is kept");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_question_where_answers_cannot_be_gone_on_with() {
    let mut config = Config::default();
    config.answer.resume.streams_max = 0;
    let client = Client::writing(acme(), config, Some(Arc::new(Endless(Arc::default()))));
    let asked = json!({"question": RUNBOOK, "conversation": "new"});
    let (_, sources, body) = first_event(&client, "bob", &asked).await;
    let id = id_of(&sources);
    drop(body);
    let path = format!("/v1/conversations/{id}");
    let kept = async {
        while client.get_as("bob", &path).await.status == 404 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), kept).await.expect("the question is kept");
    let turn = &opened(&client, "bob", &id).await["history"][0];
    assert_eq!((&turn["question"], &turn["unanswered"]), (&json!(RUNBOOK), &json!(true)), "{turn}");
    // What follows on it names it.
    let next = json!({"question": "And the mirror?", "conversation": id});
    let (_, next, _body) = first_event(&client, "bob", &next).await;
    assert_eq!(id_of(&next), id);
}

#[tokio::test]
async fn what_follows_on_an_answer_that_broke_off_knows_of_its_question() {
    let model = Arc::new(Scripted::new(|request: &Request| {
        let asked = &request.messages.last().unwrap().text;
        let said = pieces("Deploy the telescope service in the blue green way [1].");
        if asked.contains("And the mirror?") {
            Script::Writes(said)
        } else if asked.contains("How is the blanket deployed?") {
            Script::Fails(GenerateError::Budget { whose: "user", retry_after: Duration::from_mins(1) })
        } else {
            Script::BreaksOff(said)
        }
    }));
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let broken =
        client.answer_as("bob", json!({"question": RUNBOOK, "conversation": "new", "stream": true})).await.events();
    assert_eq!((&*broken[0].0, &*broken.last().unwrap().0), ("sources", "error"));
    let id = id_of(&broken[0].1);
    asks(&client, "bob", &id, "And the mirror?").await;
    let told = model.told().pop().unwrap();
    assert!(told.contains(RUNBOOK) && told.contains("And the mirror?"), "{told}");
    let history = &opened(&client, "bob", &id).await["history"];
    assert_eq!((&history[0]["unanswered"], &history[1]["unanswered"]), (&json!(true), &Value::Null), "{history}");
    // Whoever asks for all of it at once is told no id, so that nobody would ever go on with it.
    let refused =
        client.answer_as("bob", json!({"question": "How is the blanket deployed?", "conversation": "new"})).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "budget_exhausted"));
    let list = client.get_as("bob", "/v1/conversations").await.json;
    assert_eq!(list["results"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn a_turn_that_cannot_be_kept_is_answered_and_says_so() {
    let client = Client::new();
    let id = id_of(&asks(&client, "bob", "new", "How long does a rollback take?").await);
    // A file stands where the folder is to be.
    let folder = client.dir.path().join("conversations");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    let answer = asks(&client, "bob", "new", "How long does a rollback take?").await;
    assert_eq!((&answer["degraded"], &answer["conversation"]), (&json!(["conversation"]), &Value::Null), "{answer}");
    assert!(answer["answer"].as_str().unwrap().contains("one minute"));
    let broken = client.answer_as("bob", json!({"question": "Who?", "conversation": id})).await;
    assert_eq!(broken.status, 500);
}
