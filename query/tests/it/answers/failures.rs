//! When a model fails, breaks off, says nothing, or has no budget left.

use super::*;

#[tokio::test]
async fn when_the_model_fails_the_extractor_answers_and_says_so() {
    let scripts: [fn() -> Script; 7] = [
        || Script::Fails(GenerateError::Unavailable("down".into())),
        || Script::BreaksOff(Vec::new()),
        || Script::BreaksOff(pieces("Half an answ")),
        // A tool that nobody offered was called, all tokens went into thinking, the text was held back.
        || Script::Ends(StopReason::Complete),
        || Script::Ends(StopReason::Length),
        || Script::Ends(StopReason::Filtered),
        || Script::Writes(pieces("  \n ")),
    ];
    for script in scripts {
        let client =
            Client::writing(acme(), Config::default(), Some(Arc::new(Scripted::new(move |_: &Request| script()))));
        let reply = client.answer_as("bob", json!({"question": "How long does a rollback take?"})).await.json;
        assert_eq!(reply["answer"], "A rollback takes one minute. [1]", "{reply}");
        assert_eq!((&reply["degraded"], reply["extractive"].as_bool()), (&json!(["model"]), Some(true)));
    }
}

#[tokio::test]
async fn usage_is_what_all_calls_took_however_they_ended() {
    let mut config = Config::default();
    config.answer.rewrite = true;
    let turns = json!([{"role": "user", "content": "What is a rollback?"}]);
    let scripts: [fn() -> Script; 4] = [
        || Script::Writes(vec!["NOT_FOUND".to_owned()]),
        || Script::BreaksOff(vec!["A rollback".to_owned()]),
        || Script::Ends(StopReason::Length),
        || Script::Writes(vec!["A rollback takes one minute [1].".to_owned()]),
    ];
    for (script, written) in scripts.into_iter().zip([1, 1, 0, 1]) {
        let model = Arc::new(Scripted::new(move |request: &Request| match request.task {
            Task::Rewrite => Script::Writes(pieces("How long?")),
            _ => script(),
        }));
        let client = Client::writing(acme(), config.clone(), Some(model.clone()));
        let request = json!({"question": "How long does it take?", "messages": turns});
        let usage = client.answer_as("bob", request).await.json["usage"].take();
        assert_eq!(model.told().len(), 2);
        assert_eq!(usage, json!({"prompt_tokens": 200, "completion_tokens": 3 + written, "cost_micros": 14}));
        let made = client.generate_as("bob", json!({"task": "summarise", "pages": ["runbook"]})).await.json;
        assert_eq!(made["usage"]["cost_micros"], 7, "{made}");
    }
}

#[tokio::test]
async fn a_model_that_ends_without_a_word_is_no_answer_in_a_stream_either() {
    let model = Arc::new(Scripted::new(|_: &Request| Script::Ends(StopReason::Filtered)));
    let client = Client::writing(acme(), Config::default(), Some(model));
    let reply = client.answer_as("bob", json!({"question": "How long does a rollback take?", "stream": true})).await;
    let (_, done) = reply.events().pop().unwrap();
    assert_eq!((&done["not_found"], &done["degraded"]), (&json!(false), &json!(["model"])), "{done}");
    let messages = json!([{"role": "user", "content": "How long does a rollback take?"}]);
    let chat = client.chat_as("bob", json!({"model": "tessera", "messages": messages})).await.json;
    assert!(chat["choices"][0]["message"]["content"].as_str().unwrap().starts_with("A rollback takes"), "{chat}");
}

/// A model whose budget is used up for two hours and a bit.
fn spent() -> Arc<Scripted<impl Fn(&Request) -> Script + Send + Sync + 'static>> {
    let spent = || GenerateError::Budget { whose: "workspace", retry_after: Duration::from_millis(7_200_001) };
    Arc::new(Scripted::new(move |_: &Request| Script::Fails(spent())))
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_said_with_the_time_until_it_is_renewed() {
    let question = json!({"question": "How long does a rollback take?"});
    let client = Client::writing(acme(), Config::default(), Some(spent()));
    let reply = client.answer_as("bob", question.clone()).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (429, "budget_exhausted"), "{}", reply.json);
    assert_eq!(reply.headers["retry-after"], "7201");
    assert!(reply.json["detail"].as_str().unwrap().contains("workspace"), "{}", reply.json);
    let stream = json!({"question": "How long does a rollback take?", "stream": true});
    let events = client.answer_as("bob", stream).await.events();
    let expected = json!({"code": "budget_exhausted", "retryable": true, "retry_after_seconds": 7201});
    assert_eq!(events.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["sources", "error"]);
    assert_eq!(events[1].1, expected);
    // Nobody asks a model where the request leaves it out.
    let extractive = json!({"question": "How long does a rollback take?", "extractive": true});
    assert_eq!(client.answer_as("bob", extractive).await.status, 200);

    let mut config = Config::default();
    config.answer.on_budget = OnBudget::Extract;
    let client = Client::writing(acme(), config, Some(spent()));
    let reply = client.answer_as("bob", question).await.json;
    assert_eq!((&reply["degraded"], reply["extractive"].as_bool()), (&json!(["model"]), Some(true)));
}

#[tokio::test]
async fn a_budget_known_to_be_used_up_is_said_before_a_stream_begins() {
    let model = Arc::new(Scripted::poor(|_: &Request| Script::Writes(Vec::new())));
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let reply = client.answer_as("bob", json!({"question": "How long?", "stream": true})).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (429, "budget_exhausted"), "{}", reply.json);
    assert!(model.told().is_empty());
}

#[tokio::test]
async fn a_question_that_cannot_be_afforded_is_not_made_to_stand_alone_either() {
    let model = Arc::new(Scripted::poor(|_: &Request| Script::Writes(pieces("What is a rollback?"))));
    let mut config = Config::default();
    config.answer.rewrite = true;
    let client = Client::writing(acme(), config, Some(model.clone()));
    let turns = json!([{"role": "user", "content": "What is a rollback?"}]);
    let reply = client.answer_as("bob", json!({"question": "How long does it take?", "messages": turns})).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (429, "budget_exhausted"), "{}", reply.json);
    assert!(model.told().is_empty(), "nothing is spent on what is turned away");
}

/// A conversation that asks for fewer tokens than an answer may have was turned away for want of those.
#[tokio::test]
async fn a_chat_takes_no_more_of_a_budget_than_it_asks_for() {
    let says = |_: &Request| Script::Writes(pieces("A rollback takes one minute [1]."));
    let mut config = Config::default();
    config.answer.cache.entries_max = 0;
    let client = Client::writing(acme(), config, Some(Arc::new(Scripted::dear(50, says))));
    let messages = json!([{"role": "user", "content": "How long does a rollback take?"}]);
    for (tokens_max, status) in [(json!(50), 200), (json!(51), 429), (json!(null), 429)] {
        let request = json!({"model": "tessera", "messages": messages, "max_tokens": tokens_max});
        let reply = client.chat_as("ada", request).await;
        assert_eq!(reply.status, status, "{tokens_max}: {}", reply.json);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so() {
    let model = Arc::new(Scripted::new(|_: &Request| Script::BreaksOff(pieces("Half of an answ"))));
    let client = Client::writing(acme(), Config::default(), Some(model));
    let reply = client.answer_as("bob", json!({"question": "How long does a rollback take?", "stream": true})).await;
    let (name, error) = reply.events().pop().unwrap();
    assert_eq!((name.as_str(), &error), ("error", &json!({"code": "model_interrupted", "retryable": true})));
}
