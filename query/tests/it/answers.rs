//! Answers through the engine and over HTTP: by the extractor, by a model, and when access changes meanwhile.

mod failures;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request as HttpRequest;
use models::generate::{GenerateError, Request, Role, StopReason, Task};
use query::answer::config::OnBudget;
use query::answer::outgoing::AnswerEvent;
use query::config::Config;
use query::engine::Engine;
use schemas::api::answers::{AnswerErrorCode, AnswerRequest};
use serde_json::{Value, json};

use super::harness::{ADMIN_KEY, Client, Content, PageSpec, acme, caller, token};
use super::resume::Endless;
use super::scripted::{Script, Scripted, pieces};

/// A model that writes one text, whatever is asked.
fn writes(text: &'static str) -> Arc<Scripted<impl Fn(&Request) -> Script + Send + Sync + 'static>> {
    Arc::new(Scripted::new(move |_: &Request| Script::Writes(pieces(text))))
}

fn client(text: &'static str) -> Client {
    Client::writing(acme(), Config::default(), Some(writes(text)))
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn without_a_model_sentences_of_the_sources_answer() {
    let client = Client::new();
    let reply = client.answer_as("bob", json!({"question": "How long does a rollback take?"})).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let answer = &reply.json;
    assert_eq!(answer["answer"], "A rollback takes one minute. [1]");
    assert_eq!((answer["extractive"].as_bool(), answer["not_found"].as_bool()), (Some(true), Some(false)));
    let citation = &answer["citations"][0];
    assert_eq!((citation["page"].as_str(), citation["block"].as_str()), (Some("runbook"), Some("runbook-1")));
    assert_eq!((&citation["range"], &citation["text"]), (&json!([0, 28]), &json!("A rollback takes one minute.")));
    assert!(citation["version"]["clock"]["test"].is_u64(), "{citation}");
    let source = &answer["sources"][0];
    assert_eq!(source["page"]["title"], "Deploy runbook");
    assert_eq!(source["breadcrumb"][0]["title"], "Engineering");
    assert_eq!(source["page"]["created_by"], "bob");
    assert!(source["page"]["edited_at"].is_string());
    assert_eq!(answer["sentences"][0]["supported"], true);
    assert_eq!(answer["request_id"], "same");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_seen_are_not_found_alike() {
    let client = Client::new();
    let mut answers = Vec::new();
    for question in ["What is project lanternfish?", "What is project qwertyfish?"] {
        let mut reply = client.answer_as("bob", json!({"question": question})).await.json;
        assert_eq!(reply["not_found"], true, "{reply}");
        assert_eq!(reply["answer"], "Not found in what you can see.");
        assert!(!reply.to_string().to_lowercase().contains("lanternfish"), "{reply}");
        reply["took_ms"] = Value::Null;
        reply["sources"] = Value::Null;
        answers.push(reply);
    }
    assert_eq!(answers[0], answers[1]);
    let ada = client.answer_as("ada", json!({"question": "What is project lanternfish?"})).await.json;
    assert!(ada["answer"].as_str().unwrap().contains("lanternfish"), "{ada}");
    let nobody = client.answer_as("gus", json!({"question": "How long does a rollback take?"})).await.json;
    assert_eq!((nobody["not_found"].as_bool(), &nobody["sources"]), (Some(true), &json!([])));
}

#[tokio::test]
async fn a_stream_begins_with_its_sources_and_ends_with_done() {
    let client = client("A rollback takes one minute [1]. See ![x](https://evil.example/a) it [9].");
    let reply = client.answer_as("bob", json!({"question": "How long does a rollback take?", "stream": true})).await;
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(text.contains("-0\n") && text.contains("-1\n"), "{text}");
    let events = reply.events();
    let names = names(&events);
    assert_eq!((names[0], *names.last().unwrap()), ("sources", "done"));
    assert!(names.contains(&"delta") && names.contains(&"citation") && names.contains(&"usage"), "{names:?}");
    let deltas = events.iter().filter(|(name, _)| name == "delta");
    let answer: String = deltas.map(|(_, data)| data["text"].as_str().unwrap()).collect();
    assert_eq!(answer, "A rollback takes one minute [1]. See  it .");
    let (_, citation) = events.iter().find(|(name, _)| name == "citation").unwrap();
    assert_eq!(citation["citation"]["block"], "runbook-1");
    let (_, done) = events.last().unwrap();
    assert_eq!(done["model"], "scripted");
    assert_eq!(done["sentences"][0]["supported"], true);
    assert_eq!(done["sentences"][1]["supported"], false);
    assert_eq!(client.post("/v1/answers", &[], "{}").await.status, 415);
}

#[tokio::test]
async fn the_model_is_given_what_the_caller_may_read_and_nothing_else() {
    let model = writes("Deploy in the blue green way [1].");
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let turns =
        json!([{"role": "user", "content": "Tell me about deployment"}, {"role": "assistant", "content": "Yes?"}]);
    let request = json!({"question": "How do we deploy?", "messages": turns, "style": "bullets", "length": "long"});
    let reply = client.answer_as("bob", request).await.json;
    assert_eq!((reply["extractive"].as_bool(), &reply["usage"]["cost_micros"]), (Some(false), &json!(7)));
    let told = model.told();
    assert_eq!(told.len(), 1, "no model is asked before the sources");
    assert!(told[0].contains("<source id=\"1\">\nTitle: ") && told[0].contains("blue green"), "{}", told[0]);
    assert!(told[0].contains("Title: Deploy runbook\nEdited: 2026-03-03\n"), "{}", told[0]);
    // What stands above a page and who wrote it is not told: a kept answer could say it to others.
    assert!(!told[0].contains("Engineering") && !told[0].contains("bob"), "{}", told[0]);
    assert!(!told[0].to_lowercase().contains("lanternfish") && !told[0].contains("Globex"), "{}", told[0]);
    let asked = model.asked.lock().unwrap();
    assert_eq!(
        asked[0].messages.iter().map(|message| message.role).collect::<Vec<_>>(),
        [Role::System, Role::User, Role::Assistant, Role::User]
    );
    assert_eq!((asked[0].account.workspace.as_str(), asked[0].account.user.as_str()), ("acme", "bob"));
}

#[tokio::test]
async fn a_model_that_finds_nothing_or_invents_everything_did_not_find_it() {
    for text in ["NOT_FOUND", " NOT_FOUND.", "Penguins dance on ice at dawn [1]. Nobody knows."] {
        let reply =
            client(text).answer_as("bob", json!({"question": "Wie lange dauert das und was ist ein rollback?"})).await;
        assert_eq!(reply.json["not_found"], true, "{text}: {}", reply.json);
        assert_eq!(reply.json["answer"], "In dem, was Sie sehen können, wurde keine Antwort gefunden.");
        assert_eq!(reply.json["citations"], json!([]));
    }
}

#[tokio::test]
async fn an_answer_in_another_language_than_its_sources_is_shown_and_not_called_supported() {
    let german = "Die alte Fassung ist nach sechzig Sekunden wieder da, und das merkt von allen nur der Dienst";
    let (asked, english) = ("Wie lange dauert ein Rollback, und wer merkt das?", "How long does a rollback take?");
    let says = |text: String| -> &'static str { String::leak(text) };
    let reply = client(says(format!("{german} [1]."))).answer_as("bob", json!({"question": asked})).await.json;
    assert_eq!((&reply["not_found"], reply["sources"][0]["page"]["id"].as_str()), (&json!(false), Some("runbook")));
    assert_eq!(reply["answer"], format!("{german} [1]."));
    let sentence = &reply["sentences"][0];
    assert_eq!((&sentence["supported"], &sentence["citations"]), (&json!(false), &json!([])), "{reply}");
    assert_eq!(reply["citations"], json!([]), "no place says so");
    // What names no source, or a source that is none, is still not found, and so is what nobody asked for in that language.
    for (text, question) in
        [(format!("{german}."), asked), (format!("{german} [99]."), asked), (format!("{german} [1]."), english)]
    {
        let reply = client(says(text.clone())).answer_as("bob", json!({"question": question})).await.json;
        assert_eq!(reply["not_found"], true, "{text}: {reply}");
    }
}

#[tokio::test]
async fn a_place_that_words_do_not_lead_to_is_found_by_meaning() {
    let mut content = acme();
    let text = &["Penguins dance.", "Reset."];
    let spec = PageSpec { title: "Kappa", text, grants: &["workspace:view"], ..PageSpec::default() };
    content.page("acme", "kappa", spec);
    content.commit();
    // The model of tests goes by how often words are said, words themselves by how many different ones are shared.
    let says = "Reset reset reset reset reset, before lunch, noon, dusk, dawn, sleep, work [1].";
    for embedded_max in [16, 0] {
        let mut config = Config::default();
        config.answer.embedded_max = embedded_max;
        let client = Client::writing(content, config, Some(writes(says)));
        let reply = client.answer_as("bob", json!({"question": "kappa reset"})).await.json;
        let has_meaning = embedded_max > 0;
        assert_eq!(reply["not_found"], !has_meaning, "{reply}");
        let streamed = client.answer_as("bob", json!({"question": "kappa reset", "stream": true})).await;
        let events = streamed.events();
        let cited = events.iter().position(|(name, _)| name == "citation");
        assert_eq!(cited.is_some(), has_meaning);
        if let Some(cited) = cited {
            let citation = &reply["citations"][0];
            assert_eq!((&citation["block"], &citation["text"]), (&json!("kappa-1"), &json!("Reset.")), "{reply}");
            assert_eq!(reply["sentences"][0]["supported"], true);
            assert_eq!(&events[cited].1["citation"], citation);
            assert!(cited < events.iter().position(|(name, _)| name == "usage").unwrap());
        }
        content = client.content;
    }
}

#[tokio::test]
async fn a_word_that_a_model_quotes_does_not_end_its_answer() {
    let says = "A rollback takes one minute [1]. NOT_FOUND is said twice.";
    let model = Arc::new(Scripted::new(move |_: &Request| {
        Script::Writes(says.split_inclusive(' ').map(str::to_owned).collect())
    }));
    let client = Client::writing(acme(), Config::default(), Some(model));
    let reply = client.answer_as("bob", json!({"question": "How long does a rollback take?"})).await.json;
    assert_eq!((reply["answer"].as_str(), &reply["not_found"]), (Some(says), &json!(false)), "{reply}");
    assert_eq!(reply["sentences"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_model_is_left_out_where_the_request_says_so() {
    let model = writes("Anything [1].");
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let request = json!({"question": "How long does a rollback take?", "extractive": true});
    assert_eq!(client.answer_as("bob", request).await.json["extractive"], true);
    assert!(model.told().is_empty());
}

#[tokio::test]
async fn a_follow_up_is_found_by_what_was_asked_before_or_by_a_rewritten_question() {
    let turns = json!([{"role": "user", "content": "One minute rollback of the telescope service"}, {"role": "assistant", "content": "Like this."}]);
    let follow_up = json!({"question": "Explain that.", "messages": turns});
    let reply = Client::new().answer_as("bob", follow_up.clone()).await.json;
    assert_eq!(reply["sources"][0]["page"]["id"], "runbook", "{reply}");
    let model = Arc::new(Scripted::new(|request: &Request| {
        Script::Writes(pieces(match request.task {
            Task::Rewrite => "What about the mirror coating?",
            _ => "NOT_FOUND",
        }))
    }));
    let mut config = Config::default();
    config.answer.rewrite = true;
    let client = Client::writing(acme(), config, Some(model.clone()));
    let reply = client.answer_as("bob", follow_up).await.json;
    assert_eq!(reply["sources"][0]["page"]["id"], "task-1", "{reply}");
    assert_eq!(
        model.asked.lock().unwrap().iter().map(|asked| asked.task).collect::<Vec<_>>(),
        [Task::Rewrite, Task::Answer]
    );
}

/// Tokens of what a model was asked, as it counts them.
fn tokens_asked(request: &Request) -> usize {
    request.messages.iter().map(|message| message.text.len().div_ceil(3) + 8).sum::<usize>() + 8
}

#[tokio::test]
async fn a_long_conversation_leaves_room_for_sources() {
    let model = writes("A rollback takes one minute [1].");
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let mut turns = vec![json!({"role": "user", "content": "words ".repeat(1_300)}); 8];
    turns.push(json!({"role": "user", "content": "What is a rollback?"}));
    turns.push(json!({"role": "assistant", "content": "Going back."}));
    let request = json!({"question": "How long does a rollback take?", "messages": turns});
    let reply = client.answer_as("bob", request).await.json;
    assert_eq!((&reply["not_found"], &reply["degraded"]), (&json!(false), &json!([])), "{reply}");
    let asked = model.asked.lock().unwrap();
    assert_eq!(asked[0].messages.len(), 4, "the newest turns that fit are told");
    assert_eq!(asked[0].messages[1].text, "What is a rollback?");
    assert!(tokens_asked(&asked[0]) <= 4_000);
}

/// The texts of the blocks that were taken of a page; nothing where it is no source.
fn taken(answer: &Value, page: &str) -> Option<Vec<String>> {
    let source = answer["sources"].as_array().unwrap().iter().find(|source| source["page"]["id"] == page)?;
    let blocks = source["blocks"].as_array().unwrap().iter();
    Some(blocks.map(|block| block["text"].as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_short_page_does_not_hide_a_longer_one_that_holds_it() {
    let mut content = acme();
    let root = PageSpec { grants: &["workspace:view"], ..PageSpec::default() };
    let short: &[&str] = &["To reset the kappa press the red button."];
    content.page("acme", "short", PageSpec { title: "Kappa reset", text: short, ..root });
    let long: &[&str] =
        &["To reset the kappa press the red button. Then wait for the green lamp, and tell the night shift of it."];
    content.page("acme", "long", PageSpec { title: "Kappa", text: long, ..root });
    content.commit();
    let client = Client::writing(content, Config::default(), None);
    let answer = client.answer_as("bob", json!({"question": "How do I reset the kappa?"})).await.json;
    assert!(taken(&answer, "short").is_some() && taken(&answer, "long").is_some(), "{answer}");
}

#[tokio::test]
async fn what_is_shown_on_several_pages_is_quoted_once() {
    const SYNCED: &str = "To reset the kappa press the red button and wait for the green lamp.";
    let mut content = acme();
    let root = PageSpec { grants: &["workspace:view"], ..PageSpec::default() };
    let north: &[&str] = &[SYNCED, "The kappa of the north dome stands behind the stairs."];
    content.page("acme", "north", PageSpec { title: "Kappa reset, north", text: north, ..root });
    let south: &[&str] = &["The kappa of the south dome hangs under the roof.", SYNCED];
    content.page("acme", "south", PageSpec { title: "Kappa reset, south", text: south, ..root });
    content.commit();
    let client = Client::writing(content, Config::default(), None);
    let answer = client.answer_as("bob", json!({"question": "How do I reset the kappa?", "length": "long"})).await.json;
    let (north, south) = (taken(&answer, "north").unwrap(), taken(&answer, "south").unwrap());
    let is_synced = |text: &&String| text.as_str() == SYNCED;
    assert_eq!(north.iter().chain(&south).filter(is_synced).count(), 1, "{answer}");
    assert_eq!(north.len() + south.len(), 3, "{answer}");
    assert_eq!(answer["answer"].as_str().unwrap().matches("press the red button").count(), 1, "{answer}");
}

#[tokio::test]
async fn titles_and_what_delimits_sources_are_counted() {
    let mut content = acme();
    let title: &'static str = String::leak("Deploy ".repeat(200));
    for number in 0..8 {
        let text: &'static [&'static str] = Vec::leak(vec![&*String::leak(format!("Deploy part {number} by night."))]);
        let page: &'static str = String::leak(format!("part-{number}"));
        content.page("acme", page, PageSpec { title, text, grants: &["workspace:view"], ..PageSpec::default() });
    }
    content.commit();
    let model = writes("Deploy by night [1].");
    let client = Client::writing(content, Config::default(), Some(model.clone()));
    let reply = client.answer_as("bob", json!({"question": "How do we deploy a part?"})).await.json;
    assert!(reply["sources"].as_array().unwrap().len() >= 4, "{reply}");
    let pages: Vec<String> = (0..8).map(|number| format!("part-{number}")).collect();
    let made = client.generate_as("bob", json!({"task": "explain", "pages": pages})).await.json;
    assert_eq!((&made["cut"], made["sources"].as_array().unwrap().len()), (&json!(false), 8), "{made}");
    for asked in &*model.asked.lock().unwrap() {
        assert!(tokens_asked(asked) <= 4_000, "{}", tokens_asked(asked));
    }
}

#[tokio::test]
async fn filters_and_the_scope_of_the_question_narrow_the_sources() {
    let client = Client::new();
    for request in [
        json!({"question": "in:tasks what about deploy and mirror coating"}),
        json!({"question": "what about deploy and mirror coating", "filters": {"in": ["tasks"]}}),
    ] {
        let reply = client.answer_as("bob", request).await.json;
        let pages: Vec<&str> =
            reply["sources"].as_array().unwrap().iter().map(|of| of["page"]["id"].as_str().unwrap()).collect();
        assert_eq!(pages, ["task-1"]);
    }
}

#[tokio::test]
async fn what_breaks_a_bound_is_named() {
    let client = Client::new();
    let turns = |count| json!(vec![json!({"role": "user", "content": "x"}); count]);
    for (request, field) in [
        (json!({"question": "  "}), "question"),
        (json!({"question": "x".repeat(1001)}), "question"),
        (json!({"question": "x", "messages": turns(21)}), "messages"),
        (json!({"question": "x", "messages": [{"role": "user", "content": "x".repeat(8001)}]}), "messages"),
        (json!({"question": "x", "timeout_ms": 1}), "timeout_ms"),
        (json!({"question": "x", "model": "y"}), "body"),
        (json!({}), "body"),
    ] {
        let reply = client.answer_as("bob", request).await;
        assert_eq!((reply.status.as_u16(), &reply.json["errors"][0]["field"]), (400, &json!(field)), "{}", reply.json);
    }
}

#[tokio::test]
async fn more_answers_than_allowed_are_shed_until_one_ends() {
    let content = acme();
    let mut config = Config::default();
    config.answer.answers_max = 1;
    let engine = Engine::new(content.index(), Some(content.embedder()), config).unwrap();
    let bob = caller("acme", "bob");
    let request = || AnswerRequest { question: "How long does a rollback take?".into(), ..AnswerRequest::default() };
    let first = engine.ask(&bob, request(), String::new()).await.unwrap();
    assert!(matches!(engine.ask(&bob, request(), String::new()).await, Err(query::error::QueryError::Overloaded)));
    drop(first);
    engine.ask(&bob, request(), String::new()).await.unwrap();
}

/// One caller could have all texts that are written side by side.
#[tokio::test]
async fn one_caller_or_workspace_leaves_texts_to_others() {
    let mut config = Config::default();
    (config.answer.answers_max, config.answer.caller_answers_max, config.answer.workspace_answers_max) = (4, 1, 2);
    config.answer.resume.streams_max = 0;
    let client = Client::writing(acme(), config, Some(Arc::new(Endless(Arc::default()))));
    let question = "How long does a rollback take?";
    let streamed = |user: &str| {
        let request = HttpRequest::post("/v1/answers")
            .header("authorization", format!("Bearer {}", token("acme", user, "")))
            .header("content-type", "application/json");
        let body = json!({"question": question, "stream": true});
        client.begin(request.body(Body::from(body.to_string())).unwrap())
    };
    let of_bob = streamed("bob").await;
    assert_eq!(of_bob.status(), 200);
    let messages = json!([{"role": "user", "content": question}]);
    let asks = [
        ("/v1/answers", json!({"question": question})),
        ("/v1/generate", json!({"task": "summarise", "pages": ["runbook"]})),
        ("/v1/chat/completions", json!({"model": "tessera", "messages": messages})),
    ];
    for (path, request) in &asks {
        let refused = client.post_as("bob", path, request.clone()).await;
        assert_eq!(refused.status, 429, "{path}: {}", refused.json);
        assert_eq!(refused.headers["retry-after"], "1");
        assert!(refused.json.to_string().contains("for this caller"), "{path}: {}", refused.json);
    }
    let of_ada = streamed("ada").await;
    assert_eq!(of_ada.status(), 200, "another one has a place");
    let refused = client.answer_as("gus", json!({"question": question})).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "too_many_requests"));
    assert!(refused.json["detail"].as_str().unwrap().contains("for this workspace"), "{}", refused.json);
    let counted = client.get("/metrics", &[("authorization", &format!("Bearer {ADMIN_KEY}"))]).await;
    let counted = String::from_utf8(counted.body.to_vec()).unwrap();
    for line in [
        r#"tessera_query_shed_total{bound="caller_answers"} 3"#,
        r#"tessera_query_shed_total{bound="workspace_answers"} 1"#,
    ] {
        assert!(counted.lines().any(|other| other == line), "{line}: {counted}");
    }
    drop(of_bob);
    while streamed("bob").await.status() != 200 {
        tokio::task::yield_now().await;
    }
}

/// The events that go out when access changes before the one with this number is asked for.
async fn with_change(at: usize, streaming: bool, change: impl Fn(&mut Content)) -> Vec<AnswerEvent> {
    let mut content = acme();
    let text = "A rollback takes one minute [1]. Deploy in the blue green way [1]. Nothing else is known.";
    let engine =
        Engine::with_writer(content.index(), Some(content.embedder()), Some(writes(text)), Config::default()).unwrap();
    let request = AnswerRequest {
        question: "How long does a rollback take?".into(),
        stream: streaming,
        ..AnswerRequest::default()
    };
    let mut answering = engine.ask(&caller("acme", "bob"), request, String::new()).await.unwrap();
    let mut events = Vec::new();
    loop {
        if events.len() == at {
            change(&mut content);
        }
        let Some(event) = answering.next().await else { return events };
        events.push(event);
    }
}

#[tokio::test]
async fn a_source_that_is_lost_ends_the_stream_at_once() {
    let all = with_change(usize::MAX, true, |_| {}).await.len();
    let runbook = PageSpec { title: "Deploy runbook", parent: Some("secret"), ..PageSpec::default() };
    let changes: [&dyn Fn(&mut Content); 3] = [
        &|content| content.member("acme", "bob", "removed"),
        &|content| content.page("acme", "runbook", runbook),
        &|content| content.page("acme", "runbook", PageSpec { trashed: true, parent: Some("engineering"), ..runbook }),
    ];
    for change in changes {
        for at in 0..all {
            let events = with_change(at, true, change).await;
            let (last, before) = events.split_last().unwrap();
            let AnswerEvent::Error(error) = last else { panic!("{at}: {last:?}") };
            assert_eq!((error.code, before.len()), (AnswerErrorCode::AccessChanged, at), "not one event more");
        }
    }
    let elsewhere = PageSpec { title: "Other", restricted: true, ..PageSpec::default() };
    let events = with_change(2, true, |content| content.page("acme", "other", elsewhere)).await;
    assert_eq!(events.len(), all, "a change elsewhere ends nothing");
}
