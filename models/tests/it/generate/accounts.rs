//! What texts cost: budgets that cannot be overspent, and a ledger that adds up whatever happens.

use models::generate::{BudgetConfig, Outcome, Totals};

use super::*;

/// What the lines of the ledger add up to.
fn added_up(calls: &[Entry]) -> Totals {
    let mut all = Totals::default();
    for call in calls {
        let Entry { prompt_tokens, completion_tokens, cost_micros, .. } = *call;
        all.add(&Totals { calls: 1, prompt_tokens, completion_tokens, cost_micros });
    }
    all
}

/// What the sums of the ledger add up to.
fn summed_up(bench: &Bench) -> Totals {
    let mut all = Totals::default();
    bench.providers.ledger().all().iter().for_each(|sum| all.add(&sum.totals));
    all
}

fn budgets(workspace_tokens_per_day: u64, user_tokens_per_day: u64) -> BudgetConfig {
    BudgetConfig { workspace_tokens_per_day, user_tokens_per_day, ..BudgetConfig::default() }
}

#[tokio::test]
async fn a_used_up_budget_stops_spending_until_it_is_renewed() {
    let provider = Provider::start([Reply::whole("one", 400, 100)]).await;
    let mut config = config(vec![endpoint("first", &provider)]);
    config.budgets = budgets(1_050, 0);
    let bench = Bench::new(config);
    bench.text().await.unwrap();
    bench.text().await.unwrap();
    let error = bench.ask().await.err().unwrap();
    let GenerateError::Budget { whose, retry_after } = error else { panic!("{error}") };
    assert_eq!(whose, "workspace");
    assert!((11 * 3_600..=12 * 3_600).contains(&retry_after.as_secs()), "until midnight: {retry_after:?}");
    assert_eq!(provider.asked().len(), 2);
    bench.clock.set_forward(retry_after);
    bench.text().await.unwrap();
}

#[tokio::test]
async fn calls_side_by_side_cannot_overspend() {
    // Each sets some 150 tokens aside, and takes 130 of them.
    let provider = Provider::start([Reply::whole("one", 30, 100)]).await;
    let mut config = config(vec![endpoint("first", &provider)]);
    config.budgets = budgets(0, 2_000);
    config.endpoints[0].concurrency = 100;
    let bench = Arc::new(Bench::new(config));
    let asking = (0..60).map(|_| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.text().await })
    });
    let mut refused = 0;
    for asked in asking.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            Ok(_) => {}
            Err(GenerateError::Budget { whose: "user", .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let spent = added_up(&bench.calls());
    assert!(refused > 0 && spent.calls + refused == 60, "{spent:?}");
    assert!(spent.prompt_tokens + spent.completion_tokens <= 2_000, "{spent:?}");
    assert!(spent.calls >= 5, "it is not refused what it has: {spent:?}");
}

#[tokio::test]
async fn budgets_and_sums_outlive_the_process() {
    let provider = Provider::start([Reply::whole("one", 400, 100)]).await;
    let mut config = config(vec![endpoint("first", &provider)]);
    config.budgets = budgets(0, 600);
    let bench = Bench::new(config.clone());
    bench.text().await.unwrap();
    let before = bench.providers.ledger().all();
    let Bench { providers, clock, dir } = bench;
    drop(providers);
    let reopened = Providers::open(config, HashMap::new(), dir.path(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    assert_eq!(reopened.ledger().all(), before);
    let error = reopened.generate(request()).await.err().unwrap();
    assert!(matches!(error, GenerateError::Budget { whose: "user", .. }), "{error}");
}

#[tokio::test]
async fn what_was_dropped_is_paid_for() {
    let provider = Provider::start([Reply::stream().text("The key is").hang()]).await;
    let bench = Bench::new(config(vec![endpoint("first", &provider)]));
    let mut generation = bench.ask().await.unwrap();
    let piece = generation.pieces.next().await.unwrap().unwrap();
    assert_eq!(piece, Piece::Text("The key is".to_owned()));
    drop(generation);
    // And one that is dropped before its first text.
    let provider_asked = provider.asked().len();
    let silent = Provider::start([Reply::stream().hang()]).await;
    let silent_bench = Bench::new(config(vec![endpoint("first", &silent)]));
    tokio::select! {
        _ = silent_bench.ask() => panic!("it is silent"),
        () = async { while silent.asked().is_empty() { tokio::task::yield_now().await } } => {}
    }
    assert_eq!(provider_asked, 1);
    for (bench, has_text) in [(&bench, true), (&silent_bench, false)] {
        let calls = bench.calls();
        assert_eq!((calls.len(), calls[0].outcome), (1, Outcome::Dropped));
        assert!(calls[0].prompt_tokens > 0);
        assert_eq!(calls[0].completion_tokens > 0, has_text);
        assert_eq!(calls[0].first_text_ms.is_some(), has_text);
    }
}

/// Three hundred texts, twenty at a time, from providers that fail in every way: each request that reached one has one line,
/// lines and sums agree, what was told at the end of texts is in them, and all of it is there again after a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_adds_up_under_faults() {
    let odd = [
        Reply::whole("Whole", 31, 7),
        Reply::status("500 Internal Server Error", "", "{}"),
        Reply::stream().text("Cut"),
        Reply::whole("Whole", 32, 9),
        Reply::status("429 Too Many Requests", "retry-after-ms: 1\r\n", "{}"),
        Reply::stream().event("{"),
        Reply::status("400 Bad Request", "", "{}"),
        Reply::stream().text("Whole").stop("stop").done(),
        Reply::with("200 OK", "content-type: text/plain\r\n"),
        Reply::stream().text("Long").hang(),
    ];
    let scripts = (0..3).map(|turn| {
        let mut script = odd.to_vec();
        script.rotate_left(turn * 3);
        script.iter().cycle().take(1_000).cloned().collect::<Vec<_>>()
    });
    let mut providers = Vec::new();
    for script in scripts {
        providers.push(Provider::start(script).await);
    }
    let names = ["first", "second", "third"];
    let mut endpoints: Vec<_> = names.into_iter().zip(&providers).map(|(name, one)| endpoint(name, one)).collect();
    for endpoint in &mut endpoints {
        (endpoint.weight, endpoint.prompt_price, endpoint.completion_price) = (1, 0.15, 0.6);
    }
    let mut settings = config(endpoints);
    (settings.silence_ms_max, settings.breaker.failures, settings.queue_len_max) = (50, 1_000, 1_000);
    settings.ledger.file_bytes_max = 64 << 10;
    let bench = Arc::new(Bench::new(settings.clone()));

    let workers = (0..20).map(|worker| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move {
            let mut told = Totals::default();
            for turn in 0..15 {
                let mut request = request();
                request.account.user = format!("user-{}", worker % 7);
                request.account.workspace = format!("workspace-{}", worker % 3);
                let Ok(mut generation) = bench.providers.generate(request).await else { continue };
                if turn % 5 == 4 {
                    continue;
                }
                while let Some(Ok(piece)) = generation.pieces.next().await {
                    let Piece::End(end) = piece else { continue };
                    told.add(&Totals::from(&end.usage));
                }
            }
            told
        })
    });
    let mut told = Totals::default();
    for worker in workers.collect::<Vec<_>>() {
        told.add(&worker.await.unwrap());
    }

    assert!(bench.providers.ledger().flush(Duration::from_mins(1)));
    let sums = bench.providers.ledger().all();
    let asked: usize = providers.iter().map(|provider| provider.asked().len()).sum();
    let all = summed_up(&bench);
    assert_eq!(all.calls, asked as u64, "a line for each request");
    let mut lines = Vec::new();
    for name in ["usage.1.ndjson", "usage.ndjson"] {
        let text = std::fs::read_to_string(bench.dir.path().join(name)).unwrap_or_default();
        lines.extend(text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()));
    }
    assert_eq!(added_up(&lines), all, "lines and sums agree over two files");
    assert!(bench.dir.path().join("usage.1.ndjson").exists(), "a new file was begun");
    let ended = |call: &&Entry| matches!(call.outcome, Outcome::Complete | Outcome::Length | Outcome::Filtered);
    let ended: Vec<Entry> = lines.iter().filter(ended).cloned().collect();
    assert_eq!(added_up(&ended), told, "what was told is what was written down");

    let bench = Arc::into_inner(bench).unwrap();
    let (dir, clock) = (bench.dir, bench.clock);
    drop(bench.providers);
    let reopened = Providers::open(settings, HashMap::new(), dir.path(), clock).unwrap();
    assert_eq!(reopened.ledger().all(), sums);
}

#[tokio::test]
async fn the_meter_of_a_request_has_what_the_ledger_has_of_it() {
    let silent = Provider::start([Reply::stream().hang()]).await;
    let cut = Provider::start([Reply::stream().text("The key is")]).await;
    let mut config = config(vec![endpoint("first", &silent), endpoint("second", &cut)]);
    config.first_text_ms_max = 100;
    config.endpoints.iter_mut().for_each(|endpoint| endpoint.completion_price = 10.0);
    let bench = Bench::new(config);
    let request = request();
    let meter = request.meter.clone();
    let (_, end) = read(bench.providers.generate(request).await.unwrap()).await;
    assert!(matches!(end, Err(GenerateError::Interrupted(_))), "{end:?}");
    let calls = bench.calls();
    let sum = |of: fn(&Entry) -> u64| calls.iter().map(of).sum::<u64>();
    let total = meter.total();
    assert_eq!((calls.len(), total.prompt_tokens), (2, sum(|call| call.prompt_tokens)));
    assert_eq!(total.completion_tokens, sum(|call| call.completion_tokens));
    assert_eq!(total.cost_micros, sum(|call| call.cost_micros));
    assert!(total.prompt_tokens > 0 && total.cost_micros > 0, "{total:?}");
}
