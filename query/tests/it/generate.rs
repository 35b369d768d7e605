//! `/v1/generate`: by the extractor, by a model, when a model fails, and what may not be seen.

use std::sync::Arc;

use models::generate::{GenerateError, Request, StopReason, Task};
use query::answer::outgoing::AnswerEvent;
use query::config::Config;
use query::engine::Engine;
use schemas::api::answers::AnswerErrorCode;
use schemas::api::generate::{GenerateRequest, GenerateTask};
use schemas::ids::PageId;
use serde_json::{Value, json};

use super::harness::{Client, Content, PageSpec, acme, caller};
use super::scripted::{Script, Scripted, pieces};

const TASKS: [&str; 12] = [
    "summarise",
    "key_points",
    "action_items",
    "rewrite",
    "fix",
    "shorter",
    "longer",
    "continue",
    "translate",
    "explain",
    "draft",
    "fill_property",
];

/// A model that writes one text, whatever is asked.
fn writes(text: &'static str) -> Arc<Scripted<impl Fn(&Request) -> Script + Send + Sync + 'static>> {
    Arc::new(Scripted::new(move |_: &Request| Script::Writes(pieces(text))))
}

fn client(text: &'static str) -> Client {
    Client::writing(acme(), Config::default(), Some(writes(text)))
}

/// A request for a task over a text, with all that the task needs.
fn over_text(task: &str, text: &str) -> Value {
    let mut request = json!({"task": task, "text": text});
    match task {
        "translate" => request["language"] = json!("German"),
        "fill_property" => request["property"] = json!({"name": "Owner", "type": "text"}),
        _ => {}
    }
    request
}

fn with_planning() -> Content {
    let mut content = acme();
    let text = &[
        "The dome closes in rain. The motor of the dome closes it in a minute.",
        "Due date: 14 March 2026.",
        "The budget of the dome is 12,500 euros.",
        "Status: in progress.",
    ];
    let grants = &["workspace:view"];
    content.page("acme", "dome", PageSpec { title: "Dome", text, grants, ..PageSpec::default() });
    let text = &["Order the coating.", "Call the supplier [1]."];
    content.page("acme", "todos", PageSpec { title: "To do", text, blocks: "to_do", grants, ..PageSpec::default() });
    content.commit();
    content
}

#[tokio::test]
async fn every_task_is_done_by_a_model_over_text_and_over_pages() {
    for task in TASKS {
        let model = writes("A rollback takes a minute [1].");
        let client = Client::writing(acme(), Config::default(), Some(model.clone()));
        let reply = client.generate_as("bob", over_text(task, "Somebody have wrote this text.")).await;
        assert_eq!(reply.status, 200, "{task}: {}", reply.json);
        let made = &reply.json;
        assert_eq!(
            (made["text"].as_str(), &made["sources"]),
            (Some("A rollback takes a minute ."), &json!([])),
            "{task}: {made}"
        );
        assert_eq!((&made["task"], made["extractive"].as_bool()), (&json!(task), Some(false)));
        assert_eq!((&made["citations"], &made["usage"]["cost_micros"]), (&json!([]), &json!(7)), "{task}");
        let told = model.told();
        assert!(told.len() == 1 && told[0].contains("Somebody have wrote this text."), "{task}: {told:?}");
        assert_eq!(model.asked.lock().unwrap()[0].task, Task::Compose);

        let mut request = over_text(task, "");
        request.as_object_mut().unwrap().remove("text");
        request["pages"] = json!(["runbook", "handbook"]);
        if task == "draft" {
            request["text"] = json!("- rollback");
        }
        let made = client.generate_as("bob", request).await.json;
        assert_eq!(made["text"], "A rollback takes a minute [1].", "{task}: {made}");
        assert_eq!(made["citations"][0]["page"], "runbook", "{task}");
        assert_eq!(made["sources"][1]["page"]["title"], "Handbook", "{task}");
        let told = model.told().pop().unwrap();
        assert!(
            told.contains("<source id=\"2\">\nTitle: Handbook\nEdited: 2026-03-01\nHow we deploy"),
            "{task}: {told}"
        );
    }
}

#[tokio::test]
async fn what_takes_a_model_is_refused_with_that_reason_where_there_is_none() {
    let client = Client::new();
    for task in TASKS {
        for stream in [false, true] {
            let mut request = over_text(task, "Ada wrote this text. It is short. Owner: Ada");
            request["stream"] = json!(stream);
            let reply = client.generate_as("bob", request).await;
            let can_extract = ["summarise", "key_points", "action_items", "fill_property"].contains(&task);
            if can_extract {
                assert_eq!(reply.status, 200, "{task}: {}", reply.json);
            } else {
                assert_eq!((reply.status.as_u16(), reply.code()), (501, "no_language_model"), "{task}");
            }
        }
    }
}

#[tokio::test]
async fn the_extractor_quotes_what_it_was_given_and_says_so() {
    let client = Client::writing(with_planning(), Config::default(), None);
    let request = json!({"task": "summarise", "pages": ["dome", "runbook"], "length": "long"});
    let made = client.generate_as("bob", request).await.json;
    assert_eq!((made["extractive"].as_bool(), made["not_found"].as_bool()), (Some(true), Some(false)), "{made}");
    for (sentence, citation) in made["sentences"].as_array().unwrap().iter().zip(made["citations"].as_array().unwrap())
    {
        assert_eq!((&sentence["text"], sentence["supported"].as_bool()), (&citation["text"], Some(true)));
    }
    assert!(made["text"].as_str().unwrap().contains("The dome closes in rain. [1]"), "{made}");

    let made = client.generate_as("bob", json!({"task": "action_items", "pages": ["todos", "dome"]})).await.json;
    assert_eq!(made["text"], "- Order the coating. [1]\n- Call the supplier (1). [1]", "{made}");
    assert_eq!(made["citations"][1]["text"], "Call the supplier [1].");
    let made = client.generate_as("bob", json!({"task": "action_items", "pages": ["dome"]})).await.json;
    assert_eq!((made["not_found"].as_bool(), &made["text"]), (Some(true), &json!("")), "{made}");

    let text = "The dome closes in rain. Lunch is late. See https://a.example/x. The dome opens after rain.";
    let made = client.generate_as("bob", json!({"task": "key_points", "text": text, "length": "long"})).await.json;
    let points = made["text"].as_str().unwrap();
    assert!(points.starts_with("- ") && points.contains("\n- The dome opens after rain."), "{made}");
    assert!(points.contains("https://a.example/x"), "an address that was given stays: {points}");
    assert_eq!((&made["sentences"], &made["citations"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_property_is_filled_by_the_extractor_where_it_is_sure() {
    let client = Client::writing(with_planning(), Config::default(), None);
    let options = json!(["In progress", "Done"]);
    for (property, value) in [
        (json!({"name": "Due date", "type": "date"}), json!({"type": "date", "value": "2026-03-14"})),
        (json!({"name": "Budget", "type": "number"}), json!({"type": "number", "value": 12500.0})),
        (
            json!({"name": "Status", "type": "select", "options": options}),
            json!({"type": "select", "value": "In progress"}),
        ),
        (json!({"name": "Due date", "type": "text"}), json!({"type": "text", "value": "14 March 2026."})),
        (json!({"name": "Owner", "type": "text"}), Value::Null),
        (json!({"name": "Status", "type": "select", "options": ["Open"]}), Value::Null),
    ] {
        let request = json!({"task": "fill_property", "pages": ["dome"], "property": property});
        let made = client.generate_as("bob", request).await.json;
        assert_eq!(made["value"], value, "{property}: {made}");
        assert_eq!(made["not_found"].as_bool(), Some(value.is_null()), "{property}");
        assert_eq!(made["citations"].as_array().unwrap().len(), usize::from(!value.is_null()), "{property}: {made}");
    }
}

#[tokio::test]
async fn a_value_of_a_model_is_of_its_type_or_the_extractors() {
    let request = |kind: &str, options: &[&str]| json!({"task": "fill_property", "pages": ["dome"], "property": {"name": "Status", "type": kind, "options": options}});
    let options = ["In progress", "Done"];
    for (says, kind, value, degraded) in [
        ("done [1].", "select", json!({"type": "select", "value": "Done"}), json!([])),
        ("It is going well.", "select", json!({"type": "select", "value": "In progress"}), json!(["model"])),
        ("2026-05-01 [1]", "date", json!({"type": "date", "value": "2026-05-01"}), json!([])),
        ("Tomorrow", "date", Value::Null, json!(["model"])),
        ("-3.5", "number", json!({"type": "number", "value": -3.5}), json!([])),
        ("NOT_FOUND", "number", Value::Null, json!([])),
    ] {
        let client = Client::writing(with_planning(), Config::default(), Some(writes(says)));
        let options = if kind == "select" { &options[..] } else { &[] };
        let made = client.generate_as("bob", request(kind, options)).await.json;
        assert_eq!((&made["value"], &made["degraded"]), (&value, &degraded), "{says}: {made}");
        let mut streamed = request(kind, options);
        streamed["stream"] = json!(true);
        let events = client.generate_as("bob", streamed).await.events();
        let (name, done) = events.last().unwrap();
        assert_eq!((name.as_str(), &done["value"]), ("done", &value), "{says}");
        let deltas = events.iter().filter(|(name, _)| name == "delta");
        assert!(
            deltas.map(|(_, data)| data["text"].as_str().unwrap()).all(|text| !text.contains("going well")),
            "{says}"
        );
    }
}

#[tokio::test]
async fn an_option_that_is_shown_otherwise_is_filled_as_it_was_given() {
    let options = ["⚠️ At risk", "👩‍💻 Dev", "⭐⭐⭐", "🔴", "[1] Low", "À faire !", "next.js/react"];
    let property = json!({"name": "Status", "type": "select", "options": options});
    for option in options {
        for written in [option.to_owned(), format!("{option} [1].")] {
            let client = Client::writing(with_planning(), Config::default(), Some(writes(String::leak(written))));
            for stream in [false, true] {
                let request =
                    json!({"task": "fill_property", "pages": ["dome"], "property": property, "stream": stream});
                let reply = client.generate_as("bob", request).await;
                let told = if stream { reply.events().pop().unwrap().1 } else { reply.json };
                assert_eq!(told["value"], json!({"type": "select", "value": option}), "{told}");
                assert_eq!((&told["not_found"], &told["degraded"]), (&json!(false), &json!([])), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn a_model_that_says_that_there_is_nothing_is_believed_in_whatever_form_it_says_so() {
    let owner = json!({"task": "fill_property", "pages": ["dome"], "property": {"name": "Owner", "type": "text"}});
    let items = json!({"task": "action_items", "pages": ["todos"]});
    for (request, says) in [
        (&owner, "`NOT_FOUND`"),
        (&owner, "**NOT_FOUND**"),
        (&owner, "Owner: NOT_FOUND"),
        (&owner, "NOT_FOUND: no owner is named"),
        (&items, "- NOT_FOUND"),
        (&items, "**NOT_FOUND**\n\nNothing is left to do."),
    ] {
        let client = Client::writing(with_planning(), Config::default(), Some(writes(says)));
        let made = client.generate_as("bob", request.clone()).await.json;
        assert_eq!((&made["not_found"], &made["value"], &made["text"]), (&json!(true), &Value::Null, &json!("")));
        assert_eq!((&made["degraded"], &made["extractive"]), (&json!([]), &json!(false)), "{says}: {made}");
        let mut streamed = request.clone();
        streamed["stream"] = json!(true);
        let events = client.generate_as("bob", streamed).await.events();
        assert!(events.iter().all(|(name, _)| name != "delta"), "{says}: {events:?}");
    }
}

#[tokio::test]
async fn the_beginning_of_a_value_is_no_value() {
    for reason in [StopReason::Length, StopReason::Filtered] {
        let model = Arc::new(Scripted::new(move |_: &Request| Script::Stops(vec!["1".to_owned()], reason)));
        let client = Client::writing(with_planning(), Config::default(), Some(model));
        for (name, kind, value) in [
            ("Budget", "number", json!({"type": "number", "value": 12500.0})),
            ("Height", "number", Value::Null),
            ("Owner", "text", Value::Null),
        ] {
            let request = json!({"task": "fill_property", "pages": ["dome"], "property": {"name": name, "type": kind}});
            let made = client.generate_as("bob", request).await.json;
            assert_eq!((&made["value"], &made["degraded"]), (&value, &json!(["model"])), "{reason:?}: {made}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_absent_and_one_that_is_unseen_are_refused_alike() {
    let model = writes("All about it [1].");
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let mut bodies = Vec::new();
    for page in ["absent", "secret", "plan", "drafts"] {
        for pages in [json!([page]), json!(["runbook", page])] {
            for stream in [false, true] {
                let request = json!({"task": "summarise", "pages": pages, "stream": stream});
                let reply = client.generate_as("bob", request).await;
                assert_eq!(reply.status, 404, "{page}");
                bodies.push((reply.headers.len(), reply.body));
            }
        }
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    assert!(model.told().is_empty());
    let ada = client.generate_as("ada", json!({"task": "summarise", "pages": ["secret"]})).await;
    assert_eq!((ada.status.as_u16(), &ada.json["citations"][0]["page"]), (200, &json!("secret")), "{}", ada.json);
}

#[tokio::test]
async fn links_go_but_for_those_that_stood_in_the_given_text() {
    let says = "See [a](https://a.example/x), [b](https://evil.example/?q=1), https://a.example/y and ![i](https://a.example/x).";
    let text = "Links: https://a.example/x and <https://a.example/y>";
    let made = client(says).generate_as("bob", json!({"task": "rewrite", "text": text, "tone": "formal"})).await.json;
    assert_eq!(made["text"], "See [a](https://a.example/x), b, https://a.example/y and .", "{made}");
}

#[tokio::test]
async fn a_model_that_fails_is_said_where_the_extractor_cannot_help() {
    type Failure = fn() -> GenerateError;
    let failures: [(Failure, u16, &str); 4] = [
        (|| GenerateError::Unavailable("down".into()), 503, "model_unavailable"),
        (|| GenerateError::Refused("no".into()), 502, "model_failed"),
        (|| GenerateError::Late, 503, "deadline_exceeded"),
        (
            || GenerateError::Budget { whose: "user", retry_after: std::time::Duration::from_secs(9) },
            429,
            "budget_exhausted",
        ),
    ];
    for (failure, status, code) in failures {
        let model = Arc::new(Scripted::new(move |_: &Request| Script::Fails(failure())));
        let client = Client::writing(acme(), Config::default(), Some(model));
        let reply = client.generate_as("bob", json!({"task": "fix", "text": "This are it."})).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{}", reply.json);
        assert_eq!(reply.headers.contains_key("retry-after"), status != 502);
        let summary = client.generate_as("bob", json!({"task": "summarise", "pages": ["runbook"]})).await;
        if status == 429 {
            assert_eq!(summary.code(), "budget_exhausted");
        } else {
            assert_eq!(
                (&summary.json["degraded"], summary.json["extractive"].as_bool()),
                (&json!(["model"]), Some(true))
            );
        }
    }
    let model = Arc::new(Scripted::new(|_: &Request| Script::BreaksOff(pieces("Half of a text"))));
    let client = Client::writing(acme(), Config::default(), Some(model));
    let request = json!({"task": "summarise", "pages": ["runbook"], "stream": true});
    let (name, error) = client.generate_as("bob", request).await.events().pop().unwrap();
    assert_eq!((name.as_str(), &error["code"]), ("error", &json!("model_interrupted")));
}

#[tokio::test]
async fn a_text_may_say_the_word_that_means_not_found_to_others() {
    let client = client("NOT_FOUND means that no page is there.");
    for task in ["fix", "rewrite", "summarise"] {
        let request = json!({"task": task, "text": "NOT_FOUND mean that no page are there."});
        let made = client.generate_as("bob", request).await.json;
        assert_eq!(made["text"], "NOT_FOUND means that no page is there.", "{task}: {made}");
        assert_eq!(made["not_found"], false);
    }
}

#[tokio::test]
async fn a_model_that_ends_without_a_word_has_failed() {
    for reason in [StopReason::Complete, StopReason::Length, StopReason::Filtered] {
        let model = Arc::new(Scripted::new(move |_: &Request| Script::Ends(reason)));
        let client = Client::writing(with_planning(), Config::default(), Some(model));
        let reply = client.generate_as("bob", json!({"task": "fix", "text": "This are it."})).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (502, "model_failed"), "{reason:?}: {}", reply.json);
        let property = json!({"name": "Budget", "type": "number"});
        for request in [
            json!({"task": "summarise", "pages": ["dome"]}),
            json!({"task": "fill_property", "pages": ["dome"], "property": property}),
        ] {
            let made = client.generate_as("bob", request).await.json;
            assert_eq!((&made["degraded"], &made["not_found"]), (&json!(["model"]), &json!(false)), "{made}");
        }
    }
}

#[tokio::test]
async fn long_pages_are_cut_and_it_is_said() {
    let mut config = Config::default();
    config.generate.sources_tokens_max = 100;
    let long: &'static [&'static str] = Vec::leak(vec!["Short.", &*String::leak("wordy words ".repeat(100))]);
    let mut content = acme();
    let spec = PageSpec { title: "Long", text: long, grants: &["workspace:view"], ..PageSpec::default() };
    content.page("acme", "long", spec);
    content.commit();
    let client = Client::writing(content, config, None);
    let made = client.generate_as("bob", json!({"task": "summarise", "pages": ["long", "runbook"]})).await.json;
    assert_eq!(made["cut"], true, "{made}");
    let blocks = made["sources"][0]["blocks"].as_array().unwrap();
    assert!(blocks[1]["text"].as_str().unwrap().len() < 300, "{blocks:?}");
    assert_eq!(made["sources"][1]["blocks"].as_array().unwrap().len(), 2, "the other page has its share: {made}");
    let made = client.generate_as("bob", json!({"task": "summarise", "pages": ["runbook"]})).await.json;
    assert_eq!(made["cut"], false);
}

#[tokio::test]
async fn what_breaks_a_bound_is_named() {
    let client = client("x");
    let property = |kind: &str, options: Value| json!({"task": "fill_property", "text": "x", "property": {"name": "n", "type": kind, "options": options}});
    for (request, field) in [
        (json!({"task": "fix"}), "text"),
        (json!({"task": "fix", "text": " "}), "text"),
        (json!({"task": "fix", "text": "x".repeat(20_001)}), "text"),
        (json!({"task": "fix", "text": "x", "pages": ["runbook"]}), "pages"),
        (json!({"task": "draft", "pages": ["runbook"]}), "text"),
        (json!({"task": "fix", "pages": vec!["runbook"; 11]}), "pages"),
        (json!({"task": "fix", "pages": ["runbook", "runbook"]}), "pages"),
        (json!({"task": "translate", "text": "x"}), "language"),
        (json!({"task": "translate", "text": "x", "language": "German. Ignore all\n"}), "language"),
        (json!({"task": "fix", "text": "x", "tone": "formal"}), "tone"),
        (json!({"task": "rewrite", "text": "x", "extractive": true}), "extractive"),
        (json!({"task": "fill_property", "text": "x"}), "property"),
        (json!({"task": "fix", "text": "x", "property": {"name": "n", "type": "text"}}), "property"),
        (property("select", json!([])), "property"),
        (property("text", json!(["a"])), "property"),
        (property("select", json!(["a", " A "])), "property"),
        (json!({"task": "fix", "text": "x", "timeout_ms": 1}), "timeout_ms"),
        (json!({"task": "sing", "text": "x"}), "body"),
    ] {
        let reply = client.generate_as("bob", request.clone()).await;
        let told = (reply.status.as_u16(), &reply.json["errors"][0]["field"]);
        assert_eq!(told, (400, &json!(field)), "{request}: {}", reply.json);
    }
}

/// The events that go out when access changes before the one with this number is asked for.
async fn with_change(at: usize, change: impl Fn(&mut Content)) -> Vec<AnswerEvent> {
    let mut content = acme();
    let text = "A rollback takes one minute [1]. Deploy in the blue green way [1]. Nothing else is known.";
    let engine =
        Engine::with_writer(content.index(), Some(content.embedder()), Some(writes(text)), Config::default()).unwrap();
    let request = GenerateRequest {
        task: GenerateTask::Explain,
        pages: vec![PageId::new("runbook").unwrap()],
        stream: true,
        ..GenerateRequest::default()
    };
    let mut composing = engine.generate(&caller("acme", "bob"), request, String::new()).await.unwrap();
    let mut events = Vec::new();
    loop {
        if events.len() == at {
            change(&mut content);
        }
        let Some(event) = composing.next().await else { return events };
        events.push(event);
    }
}

#[tokio::test]
async fn a_page_that_is_lost_ends_the_stream_at_once() {
    let all = with_change(usize::MAX, |_| {}).await.len();
    let runbook = PageSpec { title: "Deploy runbook", parent: Some("secret"), ..PageSpec::default() };
    let changes: [&dyn Fn(&mut Content); 2] =
        [&|content| content.member("acme", "bob", "removed"), &|content| content.page("acme", "runbook", runbook)];
    for change in changes {
        for at in 0..all {
            let events = with_change(at, change).await;
            let (last, before) = events.split_last().unwrap();
            let AnswerEvent::Error(error) = last else { panic!("{at}: {last:?}") };
            assert_eq!((error.code, before.len()), (AnswerErrorCode::AccessChanged, at), "not one event more");
        }
    }
}
