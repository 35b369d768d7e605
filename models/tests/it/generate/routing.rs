//! Which endpoint is asked: by task, weight and health, within its limits and the time there is.

use models::embed::Embedders;
use models::generate::{BreakerConfig, Outcome, Routing};
use tokio::sync::oneshot;

use super::*;

/// How often each provider was asked.
fn times(providers: &[Provider]) -> Vec<usize> {
    providers.iter().map(|provider| provider.asked().len()).collect()
}

#[tokio::test]
async fn each_task_goes_to_its_endpoints_by_weight() {
    let providers = [
        Provider::start([Reply::whole("one", 1, 1)]).await,
        Provider::start([Reply::whole("two", 1, 1)]).await,
        Provider::start([Reply::whole("three", 1, 1)]).await,
    ];
    let mut endpoints: Vec<_> =
        ["one", "two", "three"].into_iter().zip(&providers).map(|(name, provider)| endpoint(name, provider)).collect();
    (endpoints[0].weight, endpoints[1].weight) = (3, 1);
    endpoints[2].tasks = vec![Task::Rewrite];
    endpoints[2].prompt_tokens_max = 500;
    endpoints[1].prompt_tokens_max = 1_000;
    let bench = Bench::new(config(endpoints));
    for _ in 0..8 {
        bench.text().await.unwrap();
    }
    assert_eq!(times(&providers), [6, 2, 0]);
    let mut request = request();
    request.task = Task::Rewrite;
    for _ in 0..8 {
        read(bench.providers.generate(request.clone()).await.unwrap()).await.1.unwrap();
    }
    assert_eq!(times(&providers), [12, 4, 0], "one without a weight is a last resort");

    let providers = &bench.providers;
    assert_eq!(providers.models(Task::Answer), ["model-one", "model-two"]);
    assert_eq!(providers.models(Task::Rewrite), ["model-one", "model-two", "model-three"]);
    assert_eq!((providers.prompt_tokens_max(Task::Answer), providers.prompt_tokens_max(Task::Rewrite)), (1_000, 500));
}

#[tokio::test]
async fn the_fastest_is_asked_first() {
    let providers = [
        Provider::start([Reply::stream().pause(300).text("slow").stop("stop").usage(1, 1).done()]).await,
        Provider::start([Reply::whole("fast", 1, 1)]).await,
    ];
    let mut config = config(vec![endpoint("slow", &providers[0]), endpoint("fast", &providers[1])]);
    config.routing = Routing::Fastest;
    config.endpoints.iter_mut().for_each(|endpoint| endpoint.weight = 1);
    let bench = Bench::new(config);
    for _ in 0..6 {
        bench.text().await.unwrap();
    }
    assert_eq!(times(&providers), [1, 5], "each is tried once, then the fastest");
}

#[tokio::test]
async fn one_that_fails_is_not_the_fastest() {
    for reply in [Reply::stream().hang(), Reply::status("500 Internal Server Error", "", "{}")] {
        let providers = [Provider::start([reply]).await, Provider::start([Reply::whole("sound", 1, 1)]).await];
        let mut config = config(vec![endpoint("first", &providers[0]), endpoint("sound", &providers[1])]);
        (config.routing, config.first_text_ms_max) = (Routing::Fastest, 200);
        config.endpoints.iter_mut().for_each(|endpoint| endpoint.weight = 1);
        let bench = Bench::new(config);
        for _ in 0..8 {
            bench.text().await.unwrap();
        }
        assert_eq!(times(&providers), [1, 8], "asked again after it failed");
    }
}

#[tokio::test]
async fn a_task_without_an_endpoint_and_a_prompt_too_long_are_told_apart() {
    let provider = Provider::start([Reply::whole("one", 1, 1)]).await;
    let mut first = endpoint("first", &provider);
    (first.tasks, first.prompt_tokens_max) = (vec![Task::Answer], 256);
    let bench = Bench::new(config(vec![first]));
    let mut request = request();
    request.task = Task::Compose;
    let error = bench.providers.generate(request.clone()).await.err().unwrap();
    assert!(matches!(error, GenerateError::NotConfigured), "{error}");
    (request.task, request.messages[1].text) = (Task::Answer, "word ".repeat(300));
    let error = bench.providers.generate(request).await.err().unwrap();
    assert!(matches!(error, GenerateError::Refused(_)), "{error}");
    assert!(provider.asked().is_empty() && bench.calls().is_empty());
}

#[tokio::test]
async fn a_provider_that_asks_for_it_is_left_alone_and_then_asked_again() {
    let busy = Reply::status("429 Too Many Requests", "retry-after-ms: 30\r\n", "{}");
    let provider = Provider::start([busy.clone(), busy, Reply::whole("At last", 1, 1)]).await;
    let bench = Bench::new(config(vec![endpoint("first", &provider)]));
    assert_eq!(bench.text().await.unwrap().0, "At last", "within the deadline");
    assert_eq!(provider.asked().len(), 3);

    let busy = Reply::status("429 Too Many Requests", "retry-after: 100\r\n", "{}");
    let provider = Provider::start([busy, Reply::whole("At last", 1, 1)]).await;
    let bench = Bench::new(config(vec![endpoint("first", &provider)]));
    for _ in 0..3 {
        let error = bench.ask().await.err().unwrap();
        let GenerateError::Busy { retry_after } = error else { panic!("{error}") };
        assert!((90..=100).contains(&retry_after.as_secs()), "{retry_after:?}");
    }
    assert_eq!(provider.asked().len(), 1, "nobody else asks it either");
    bench.clock.set_forward(Duration::from_secs(100));
    assert_eq!(bench.text().await.unwrap().0, "At last");
}

#[tokio::test]
async fn a_provider_that_keeps_failing_rests_and_is_tried_by_one() {
    let failed = || Reply::status("500 Internal Server Error", "", "{}");
    let trial = Reply::stream().pause(200).text("Back").stop("stop").usage(1, 1).done();
    let script = [failed(), failed(), failed(), failed(), trial, Reply::whole("Back", 1, 1)];
    let provider = Provider::start(script).await;
    let fallback = Provider::start([Reply::whole("From another", 1, 1)]).await;
    let mut config = config(vec![endpoint("first", &provider), endpoint("second", &fallback)]);
    config.breaker = BreakerConfig { failures: 3, cool_down_ms: 10_000 };
    let bench = Bench::new(config);
    for _ in 0..6 {
        assert_eq!(bench.text().await.unwrap().0, "From another");
    }
    assert_eq!(provider.asked().len(), 3, "after three failures it rests");
    let counted = bench.providers.metrics().text(&Embedders::default(), Some(&bench.providers));
    for line in [
        r#"tessera_models_breaker_open{endpoint="first"} 1"#,
        r#"tessera_models_breaker_open{endpoint="second"} 0"#,
        r#"tessera_models_calls_total{endpoint="first",outcome="unavailable"} 3"#,
        r#"tessera_models_calls_total{endpoint="second",outcome="complete"} 6"#,
    ] {
        assert!(counted.lines().any(|other| other == line), "{line}: {counted}");
    }
    bench.clock.set_forward(Duration::from_secs(10));
    for _ in 0..6 {
        assert_eq!(bench.text().await.unwrap().0, "From another");
    }
    assert_eq!(provider.asked().len(), 4, "one more, and it rests again");
    bench.clock.set_forward(Duration::from_secs(10));
    let (one, other) = tokio::join!(bench.text(), bench.text());
    let mut texts = [one.unwrap().0, other.unwrap().0];
    texts.sort();
    assert_eq!(texts, ["Back", "From another"], "one tries it, the others do not wait for that");
    assert_eq!(bench.text().await.unwrap().0, "Back");
}

/// Each text of it began, and that ended the row of failures that the one before had begun: it was asked for good.
#[tokio::test]
async fn a_provider_that_cuts_every_text_rests() {
    let provider = Provider::start([Reply::stream().text("The key is")]).await;
    let fallback = Provider::start([Reply::whole("From another", 1, 1)]).await;
    let mut config = config(vec![endpoint("first", &provider), endpoint("second", &fallback)]);
    config.breaker = BreakerConfig { failures: 3, cool_down_ms: 10_000 };
    let bench = Bench::new(config);
    for _ in 0..3 {
        assert!(matches!(bench.text().await, Err(GenerateError::Interrupted(_))));
    }
    for _ in 0..3 {
        assert_eq!(bench.text().await.unwrap().0, "From another");
    }
    bench.clock.set_forward(Duration::from_secs(10));
    assert!(matches!(bench.text().await, Err(GenerateError::Interrupted(_))));
    assert_eq!(bench.text().await.unwrap().0, "From another");
    assert_eq!(provider.asked().len(), 4, "one tried it, and it rests again");
}

#[tokio::test]
async fn one_that_cuts_its_texts_is_not_the_fastest() {
    let providers = [
        Provider::start([Reply::stream().text("The key is")]).await,
        Provider::start([Reply::stream().pause(20).text("sound").stop("stop").usage(1, 1).done()]).await,
    ];
    let mut config = config(vec![endpoint("first", &providers[0]), endpoint("sound", &providers[1])]);
    (config.routing, config.first_text_ms_max) = (Routing::Fastest, 600_000);
    config.endpoints.iter_mut().for_each(|endpoint| endpoint.weight = 1);
    let bench = Bench::new(config);
    assert!(matches!(bench.text().await, Err(GenerateError::Interrupted(_))));
    for _ in 0..6 {
        assert_eq!(bench.text().await.unwrap().0, "sound");
    }
    assert_eq!(times(&providers), [1, 6]);
}

/// The time for a first text was longer than that of the request: silence was taken for the end of that, and nobody else was asked.
#[tokio::test]
async fn one_that_is_silent_leaves_time_for_another() {
    let provider = Provider::start([Reply::stream().hang()]).await;
    let fallback = Provider::start([Reply::whole("From another", 1, 1)]).await;
    // How often the silent one is asked: a wait of a quarter of what a first text may take counts, a shorter one does not.
    for (first_text_ms_max, times) in [(4_000, 1), (600_000, 2)] {
        let before = provider.asked().len();
        let mut config = config(vec![endpoint("first", &provider), endpoint("second", &fallback)]);
        config.first_text_ms_max = first_text_ms_max;
        config.breaker = BreakerConfig { failures: 1, cool_down_ms: 600_000 };
        let bench = Bench::new(config);
        for _ in 0..2 {
            let mut request = request();
            request.deadline = Instant::now() + Duration::from_secs(3);
            let (text, _) = read(bench.providers.generate(request).await.unwrap()).await;
            assert_eq!(text, "From another");
        }
        assert_eq!(provider.asked().len() - before, times, "{first_text_ms_max}");
        assert_eq!(bench.calls()[0].outcome, Outcome::Silent);
    }
}

#[tokio::test]
async fn when_all_rest_that_is_said_at_once() {
    let provider = Provider::start([Reply::status("500 Internal Server Error", "", "{}")]).await;
    let mut config = config(vec![endpoint("first", &provider)]);
    config.breaker = BreakerConfig { failures: 1, cool_down_ms: 10_000 };
    let bench = Bench::new(config);
    for _ in 0..3 {
        let error = bench.ask().await.err().unwrap();
        assert!(matches!(error, GenerateError::Unavailable(_)), "{error}");
    }
    assert_eq!(provider.asked().len(), 1);
}

#[tokio::test]
async fn refused_requests_do_not_speak_against_a_provider() {
    let refused = Reply::status("400 Bad Request", "", "{}");
    let provider = Provider::start([refused.clone(), refused, Reply::whole("Fine", 1, 1)]).await;
    let mut config = config(vec![endpoint("first", &provider)]);
    config.breaker = BreakerConfig { failures: 1, cool_down_ms: 10_000 };
    let bench = Bench::new(config);
    for _ in 0..2 {
        assert!(matches!(bench.ask().await.err().unwrap(), GenerateError::Refused(_)));
    }
    assert_eq!(bench.text().await.unwrap().0, "Fine");
}

#[tokio::test]
async fn an_endpoint_writes_only_so_many_texts_at_once() {
    let provider = Provider::start([Reply::stream().text("Still").hang(), Reply::whole("Next", 1, 1)]).await;
    let mut first = endpoint("first", &provider);
    first.concurrency = 1;
    let mut config = config(vec![first]);
    config.queue_len_max = 1;
    let bench = Arc::new(Bench::new(config));
    let held = bench.ask().await.unwrap();

    let (waits, waited) = oneshot::channel();
    let waiting = Arc::clone(&bench);
    tokio::spawn(async move { waits.send(waiting.text().await.map(|(text, _)| text)) });
    // The one that waits has the only place to wait in.
    let error = loop {
        tokio::task::yield_now().await;
        let mut request = request();
        request.deadline = Instant::now() + Duration::from_millis(50);
        match bench.providers.generate(request).await {
            Err(GenerateError::Late) => {}
            other => break other.err().unwrap(),
        }
    };
    assert!(matches!(error, GenerateError::Busy { .. }), "{error}");
    assert_eq!(provider.asked().len(), 1);
    drop(held);
    assert_eq!(waited.await.unwrap().unwrap(), "Next");
    assert_eq!(
        bench.calls().iter().map(|call| call.outcome).collect::<Vec<_>>(),
        [Outcome::Dropped, Outcome::Complete]
    );
}

#[tokio::test]
async fn a_place_is_not_waited_for_forever() {
    let provider = Provider::start([Reply::stream().text("Still").hang()]).await;
    let mut first = endpoint("first", &provider);
    first.concurrency = 1;
    let mut config = config(vec![first]);
    config.queue_ms_max = 20;
    let bench = Bench::new(config);
    let _held = bench.ask().await.unwrap();
    assert!(matches!(bench.ask().await.err().unwrap(), GenerateError::Busy { .. }));
}

#[tokio::test]
async fn one_that_is_full_is_passed_over() {
    let providers = [
        Provider::start([Reply::stream().text("Still").hang()]).await,
        Provider::start([Reply::whole("Two", 1, 1)]).await,
    ];
    let mut first = endpoint("first", &providers[0]);
    first.concurrency = 1;
    let bench = Bench::new(config(vec![first, endpoint("second", &providers[1])]));
    let _held = bench.ask().await.unwrap();
    assert_eq!(bench.text().await.unwrap().0, "Two");
}
