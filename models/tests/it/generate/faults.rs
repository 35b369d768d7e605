//! What a provider may do wrong, and what comes of it: another provider's text, or an error of the right kind; never silence.

use models::generate::{Outcome, StopReason, Usage};

use super::*;

#[tokio::test]
async fn a_text_comes_as_it_is_written_with_what_it_took() {
    let reply = Reply::stream().text("The key").text(" is under the mat.").stop("stop").usage(21, 7).done();
    let provider = Provider::start([reply]).await;
    let mut first = endpoint("first", &provider);
    (first.key_env, first.prompt_price, first.completion_price) = ("KEY".to_owned(), 2.5, 10.0);
    let bench = Bench::new(config(vec![first]));

    let generation = bench.ask().await.unwrap();
    assert_eq!(generation.model, "model-first");
    let (text, end) = read(generation).await.1.unwrap();
    assert_eq!(text, "The key is under the mat.");
    let usage = Usage { prompt_tokens: 21, completion_tokens: 7, cost_micros: 123 };
    assert_eq!(end, End { reason: StopReason::Complete, usage });

    let asked = &provider.asked()[0];
    assert!(asked.head.starts_with("post /v1/chat/completions http/1.1"), "{}", asked.head);
    assert!(asked.head.contains("authorization: bearer sk-hidden"), "{}", asked.head);
    let expected = serde_json::json!({
        "model": "model-first",
        "messages": [
            {"role": "system", "content": "Answer from the sources."},
            {"role": "user", "content": "Where is the key?"},
        ],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 100,
        "temperature": 0.5,
    });
    assert_eq!(asked.body, expected);
    let calls = bench.calls();
    assert_eq!((calls.len(), calls[0].outcome, calls[0].cost_micros), (1, Outcome::Complete, 123));
}

#[tokio::test]
async fn what_a_provider_does_not_tell_is_counted_here() {
    let provider = Provider::start([Reply::stream().text("It is gone.").stop("length").done()]).await;
    let mut first = endpoint("first", &provider);
    first.tells_usage = false;
    let bench = Bench::new(config(vec![first]));
    let (_, end) = bench.text().await.unwrap();
    assert_eq!(end.reason, StopReason::Length);
    assert!(end.usage.prompt_tokens >= 10 && end.usage.completion_tokens >= 3, "{end:?}");
    assert!(provider.asked()[0].body.get("stream_options").is_none());
}

#[tokio::test]
async fn a_fault_before_the_first_text_is_made_good_by_the_next_provider() {
    let elsewhere = Provider::start([Reply::whole("Elsewhere", 1, 1)]).await;
    let redirect = format!("location: {}/chat/completions\r\n", elsewhere.base_url);
    let faults = [
        ("500", Reply::status("500 Internal Server Error", "", "oh no"), Outcome::Unavailable),
        ("503", Reply::status("503 Service Unavailable", "retry-after: 1\r\n", "{}"), Outcome::Unavailable),
        ("429", Reply::status("429 Too Many Requests", "retry-after: 9\r\n", "{}"), Outcome::Busy),
        ("400", Reply::status("400 Bad Request", "", r#"{"error":{"code":"too_long"}}"#), Outcome::Refused),
        (
            "no quota",
            Reply::status("429 Too Many Requests", "", r#"{"error":{"type":"insufficient_quota"}}"#),
            Outcome::Refused,
        ),
        ("401", Reply::status("401 Unauthorized", "", "{}"), Outcome::Refused),
        ("a redirect", Reply::status("307 Temporary Redirect", &redirect, ""), Outcome::Refused),
        ("wrong type", Reply::with("200 OK", "content-type: text/html\r\n").raw("<html>"), Outcome::Unavailable),
        ("no type", Reply::with("200 OK", "").event("{}"), Outcome::Unavailable),
        ("malformed", Reply::stream().event("{\"choices\":[{"), Outcome::Unavailable),
        ("no object", Reply::stream().event("[]"), Outcome::Unavailable),
        ("an error", Reply::stream().event(r#"{"error":{"message":"overloaded"}}"#), Outcome::Unavailable),
        ("nothing", Reply::stream(), Outcome::Unavailable),
        ("nothing but the end", Reply::stream().done(), Outcome::Unavailable),
        ("half a line", Reply::stream().raw("data: {\"choices\""), Outcome::Unavailable),
        ("no HTTP", Reply::with("", "").raw("what?"), Outcome::Unavailable),
        ("a long line", Reply::stream().raw(&format!("data: {}", "x".repeat(70_000))), Outcome::Unavailable),
        ("silence", Reply::stream().hang(), Outcome::Silent),
        ("no answer", Reply::none().hang(), Outcome::Silent),
    ];
    let fallback = Provider::start([Reply::whole("From another", 5, 2)]).await;
    for (what, reply, outcome) in faults {
        let is_silent = outcome == Outcome::Silent;
        let provider = Provider::start([reply]).await;
        let mut config = config(vec![endpoint("first", &provider), endpoint("second", &fallback)]);
        config.first_text_ms_max = if is_silent { 100 } else { 5_000 };
        let bench = Bench::new(config);
        let (text, _) = bench.text().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(text, "From another", "{what}");
        let outcomes: Vec<Outcome> = bench.calls().iter().map(|call| call.outcome).collect();
        assert_eq!(outcomes, [outcome, Outcome::Complete], "{what}");
    }
    assert!(elsewhere.asked().is_empty(), "redirects are not followed");
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_passed_over() {
    let gone = Provider::start([Reply::stream()]).await;
    let fallback = Provider::start([Reply::whole("From another", 5, 2)]).await;
    let config = config(vec![endpoint("first", &gone), endpoint("second", &fallback)]);
    drop(gone);
    tokio::task::yield_now().await;
    let bench = Bench::new(config);
    assert_eq!(bench.text().await.unwrap().0, "From another");
}

#[tokio::test]
async fn a_text_that_breaks_off_is_never_begun_again() {
    let begun = || Reply::stream().text("The key is");
    let faults = [
        ("cut", begun()),
        ("ended without a reason", begun().done()),
        ("malformed", begun().event("{")),
        ("an error", begun().event(r#"{"error":"overloaded"}"#)),
        ("silence", begun().hang()),
        ("too long", begun().text(&"x".repeat(2_000)).stop("stop").done()),
    ];
    let fallback = Provider::start([Reply::whole("From another", 5, 2)]).await;
    for (what, reply) in faults {
        let provider = Provider::start([reply]).await;
        let mut config = config(vec![endpoint("first", &provider), endpoint("second", &fallback)]);
        (config.silence_ms_max, config.text_bytes_max) = (if what == "silence" { 100 } else { 5_000 }, 1 << 10);
        let bench = Bench::new(config);
        let (text, end) = read(bench.ask().await.unwrap()).await;
        assert_eq!(text, "The key is", "{what}");
        assert!(matches!(end, Err(GenerateError::Interrupted(_))), "{what}: {end:?}");
        let calls = bench.calls();
        assert_eq!((calls.len(), calls[0].outcome), (1, Outcome::Interrupted), "{what}");
        assert!(calls[0].prompt_tokens > 0 && calls[0].completion_tokens > 0, "{what}: it is paid for");
    }
    assert!(fallback.asked().is_empty());
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_text() {
    // The end of the response comes a moment after the end of the text.
    let reply = Reply::stream().text("one").stop("stop").usage(1, 1).pause(10).done().kept_alive();
    let provider = Provider::start([reply]).await;
    let bench = Bench::new(config(vec![endpoint("first", &provider)]));
    for _ in 0..5 {
        bench.text().await.unwrap();
    }
    assert_eq!((provider.asked().len(), provider.connections()), (5, 1));
}

#[tokio::test]
async fn a_text_that_is_complete_is_not_harmed_by_what_follows() {
    let whole = || Reply::stream().text("Under the mat.").stop("stop");
    for reply in
        [whole(), whole().hang(), whole().event("{"), whole().text("More!").done(), whole().event(r#"{"error":1}"#)]
    {
        let provider = Provider::start([reply]).await;
        let bench = Bench::new(config(vec![endpoint("first", &provider)]));
        assert_eq!(bench.text().await.unwrap().0, "Under the mat.");
    }
}

#[tokio::test]
async fn an_end_without_a_text_is_an_end() {
    let calls = r#"{"choices":[{"index":0,"delta":{"content":null,"tool_calls":[{"index":0,"function":{"name":"fetch","arguments":"{}"}}]}}]}"#;
    for (reply, reason) in [
        (Reply::stream().stop("content_filter"), StopReason::Filtered),
        (Reply::stream().event(calls).event(calls).stop("tool_calls"), StopReason::Complete),
        (Reply::stream().stop("length"), StopReason::Length),
        (Reply::stream().text("").stop("stop"), StopReason::Complete),
    ] {
        let provider = Provider::start([reply.usage(3, 0).done()]).await;
        let bench = Bench::new(config(vec![endpoint("first", &provider)]));
        let (text, end) = bench.text().await.unwrap();
        assert_eq!((text.as_str(), end.reason), ("", reason));
        assert_eq!(bench.calls().len(), 1, "it is paid for, and nobody else is asked");
    }
}

#[tokio::test]
async fn what_no_provider_does_is_told_by_its_kind() {
    let refused = Reply::status("400 Bad Request", "", r#"{"error":{"code":"context_length_exceeded"}}"#);
    let failed = Reply::status("500 Internal Server Error", "", "{}");
    let busy = Reply::status("429 Too Many Requests", "retry-after: 600\r\n", "{}");
    let late = Reply::stream().hang();
    for (reply, kind) in [(refused, "refused"), (failed, "unavailable"), (busy, "busy"), (late, "late")] {
        let provider = Provider::start([reply]).await;
        let bench = Bench::new(config(vec![endpoint("first", &provider)]));
        let mut request = request();
        if kind == "late" {
            request.deadline = Instant::now() + Duration::from_millis(100);
        }
        let error = bench.providers.generate(request).await.err().unwrap();
        let is_expected = match &error {
            GenerateError::Refused(told) => kind == "refused" && told.contains("context_length_exceeded"),
            GenerateError::Unavailable(told) => kind == "unavailable" && told.contains("500"),
            GenerateError::Busy { retry_after } => kind == "busy" && retry_after.as_secs() > 590,
            GenerateError::Late => kind == "late",
            _ => false,
        };
        assert!(is_expected, "{kind}: {error:?}");
        let times = provider.asked().len();
        assert_eq!(times, if kind == "unavailable" { 4 } else { 1 }, "{kind}");
    }
}

#[tokio::test]
async fn a_text_ends_at_its_deadline() {
    let provider = Provider::start([Reply::stream().text("The key").hang()]).await;
    let bench = Bench::new(config(vec![endpoint("first", &provider)]));
    let mut request = request();
    request.deadline = Instant::now() + Duration::from_millis(300);
    let (text, end) = read(bench.providers.generate(request).await.unwrap()).await;
    assert_eq!(text, "The key");
    assert!(matches!(end, Err(GenerateError::Late)), "{end:?}");
    assert_eq!(bench.calls()[0].outcome, Outcome::Late);
}

/// The library below writes what it cannot read to the log, and what a server says of a failure.
#[tokio::test]
async fn nothing_that_was_written_or_asked_is_logged() {
    use std::io::Write;
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let kept = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || kept.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let replies = [
        Reply::status("500 Internal Server Error", "", "the secret word"),
        Reply::status("404 Not Found", "", "the secret word"),
        Reply::stream().event("{the secret word"),
        Reply::stream().raw("data: {\"secret\":1}\ndata: {\"secret\":2}\n\n"),
        Reply::stream().raw("data: {\"secret\":\r\"word\"}\n\n"),
        Reply::stream().text("the secret").event("{word"),
    ];
    for reply in replies {
        let provider = Provider::start([reply]).await;
        let mut first = endpoint("first", &provider);
        first.key_env = "KEY".to_owned();
        let mut config = config(vec![first]);
        config.attempts_max = 1;
        let bench = Bench::new(config);
        let mut request = request();
        request.messages[1].text = "a hidden question".to_owned();
        let error = match bench.providers.generate(request).await {
            Ok(generation) => read(generation).await.1.unwrap_err(),
            Err(error) => error,
        };
        tracing::error!(%error, "an error as it is logged");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("an error as it is logged"));
    let told: Vec<&str> = log.lines().filter(|line| line.contains("secret") || line.contains("hidden")).collect();
    assert!(told.is_empty(), "{told:#?}");
}
