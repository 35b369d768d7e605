//! Language models behind scripted providers on loopback: what is written, what goes wrong, what it costs.

mod accounts;
mod faults;
mod provider;
mod routing;
mod services;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::stream::StreamExt as _;
use jiff::Timestamp;
use models::generate::{
    Account, Clock, Config, End, EndpointConfig, Entry, Generate as _, GenerateError, Generation, Message, Meter,
    Piece, Providers, Request, Role, Secret, Task,
};
use provider::{Provider, Reply};
use tempfile::TempDir;

/// A clock that can be set forward.
struct TestClock {
    began: Instant,
    ahead: Mutex<Duration>,
}

impl TestClock {
    fn set_forward(&self, by: Duration) {
        *self.ahead.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        "2026-11-28T12:00:00Z".parse::<Timestamp>().unwrap() + self.began.elapsed() + *self.ahead.lock().unwrap()
    }

    fn instant(&self) -> Instant {
        Instant::now() + *self.ahead.lock().unwrap()
    }
}

/// Providers over a ledger in a folder of their own.
struct Bench {
    providers: Arc<Providers>,
    clock: Arc<TestClock>,
    dir: TempDir,
}

/// What most tests need: nothing waits long.
fn config(endpoints: Vec<EndpointConfig>) -> Config {
    Config {
        first_text_ms_max: 5_000,
        silence_ms_max: 5_000,
        queue_ms_max: 5_000,
        breaker: models::generate::BreakerConfig { failures: 100, cool_down_ms: 60_000 },
        endpoints,
        ..Config::default()
    }
}

/// An endpoint for all tasks. In a list the first one is asked first, and the others are its fallbacks.
fn endpoint(name: &str, provider: &Provider) -> EndpointConfig {
    let weight = u32::from(name == "first");
    toml::from_str(&format!(
        "name = \"{name}\"\nbase_url = \"{}\"\nmodel = \"model-{name}\"\nweight = {weight}",
        provider.base_url
    ))
    .unwrap()
}

impl Bench {
    fn new(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock { began: Instant::now(), ahead: Mutex::default() });
        let keyed = config.endpoints.iter().filter(|endpoint| !endpoint.key_env.is_empty());
        let keys: HashMap<String, Secret> =
            keyed.map(|endpoint| (endpoint.name.clone(), Secret::from("sk-hidden"))).collect();
        let providers = Providers::open(config, keys, dir.path(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self { providers: Arc::new(providers), clock, dir }
    }

    async fn ask(&self) -> Result<Generation, GenerateError> {
        self.providers.generate(request()).await
    }

    /// The whole text, and how it ended.
    async fn text(&self) -> Result<(String, End), GenerateError> {
        read(self.ask().await?).await.1
    }

    /// The calls in the file of the ledger.
    fn calls(&self) -> Vec<Entry> {
        assert!(self.providers.ledger().flush(Duration::from_mins(1)), "the ledger is written");
        let text = std::fs::read_to_string(self.dir.path().join("usage.ndjson")).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// All that is written, and how it ended.
async fn read(mut generation: Generation) -> (String, Result<(String, End), GenerateError>) {
    let mut text = String::new();
    while let Some(piece) = generation.pieces.next().await {
        match piece {
            Ok(Piece::Text(piece)) => text.push_str(&piece),
            Ok(Piece::End(end)) => {
                assert!(generation.pieces.next().await.is_none(), "nothing follows the end");
                return (text.clone(), Ok((text, end)));
            }
            Err(error) => {
                assert!(generation.pieces.next().await.is_none(), "nothing follows an error");
                return (text, Err(error));
            }
        }
    }
    panic!("a stream ends with an end or an error");
}

fn request() -> Request {
    Request {
        task: Task::Answer,
        messages: vec![
            Message { role: Role::System, text: "Answer from the sources.".to_owned() },
            Message { role: Role::User, text: "Where is the key?".to_owned() },
        ],
        tokens_max: 100,
        temperature: Some(0.5),
        deadline: Instant::now() + Duration::from_mins(1),
        account: Account { workspace: "acme".to_owned(), user: "ada".to_owned() },
        meter: Meter::default(),
    }
}
