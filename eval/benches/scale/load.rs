//! A thousand callers at a server, over HTTP, at rates that do not wait for its answers.
//!
//! The server is the release binary over the one workspace, with the embedding model of its configuration, in a process of its
//! own on this machine; who asks runs beside it on the same cores. Requests are due at even times, each by another of the
//! callers: six in ten are searches, three complete what is typed, one opens a page. Texts are drawn from link texts and titles
//! of the corpus, two and two, so that few come twice. A time is counted from when its request was due, whether or not it could
//! be sent then, so that a server that stalls is not asked less. Rates grow by a quarter until the p99 of what was answered
//! passes the goal or something fails, twice: a rate that does not hold is offered once more, since the p99 of some hundred
//! requests is that of a few. Three times the last good one is offered then.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use models::embed::Embedder;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::{Client, StatusCode, Url};
use tokio::task::JoinSet;

use crate::build::{Shape, workspace_of};
use crate::process::{Memory, load};
use crate::search::queries;
use crate::{Plan, SEED, corpus, percentiles};

const CALLERS: usize = 1_000;
const WARM_PER_SECOND: f64 = 30.0;
const FIRST_PER_SECOND: f64 = 20.0;
const GROWTH: f64 = 1.25;
const STEPS_MAX: usize = 30;
/// How long a rate is kept up; the overload and warming up, twice as long.
const STEP: Duration = Duration::from_secs(20);
const P99_MS_MAX: f64 = 50.0;
const OVERLOAD: f64 = 3.0;
/// An answer that takes longer than this is of no use to somebody who types.
const USEFUL: Duration = Duration::from_secs(1);
/// Requests under way, above which those that are due are counted as failed without being sent.
const UNDER_WAY_MAX: usize = 8_000;
const PATIENCE: Duration = Duration::from_mins(1);
/// Pages that are opened.
const PAGES: usize = 5_000;
/// What a process is allowed by default.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// The id of the model that a server embeds queries by; none where it is not there.
pub(crate) fn model_id() -> Result<Option<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let defaults = models::embed::Config::default();
    let (library, model_dir) = (root.join(&defaults.library), root.join(&defaults.model_dir));
    if !library.is_file() || !model_dir.is_dir() {
        return Ok(None);
    }
    let embedder = Embedder::start(models::embed::Config { library, model_dir, ..defaults })?;
    Ok(Some(embedder.model_id().as_str().to_owned()))
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answered,
    /// Turned away, and told when to come again.
    Shed,
    /// Anything else.
    Failed,
}

/// What became of the requests of a while.
struct Offered {
    per_second: f64,
    seconds: f64,
    answered: Vec<Duration>,
    shed: Vec<Duration>,
    failed: usize,
}

impl Offered {
    /// Answers a second that came in time to be of use.
    fn useful(&self) -> f64 {
        self.answered.iter().filter(|took| **took <= USEFUL).count() as f64 / self.seconds
    }

    fn print(&self, memory: Memory) {
        let [p50, p95, p99] = percentiles(self.answered.clone());
        let [_, _, shed_p99] = percentiles(self.shed.clone());
        println!(
            "{:>9.0} {:>9.0} {:>8.1} {:>8.1} {:>8.1} {:>7} {:>9.1} {:>7} {:>10} {:>6}",
            self.per_second,
            self.useful(),
            p50,
            p95,
            p99,
            self.shed.len(),
            shed_p99,
            self.failed,
            memory.anon >> 20,
            load()
        );
    }
}

/// The server, with a folder of its own.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts the binary over the index, in development, for callers are believed there.
    fn start(plan: &Plan, binary: &Path) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new(binary)
            .args(["serve", "--dev", "--listen", &address, "--data-dir"])
            .arg(plan.dir_of(Shape::One))
            .env("TESSERA__LOG__FILTER", "error")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self { process, address })
    }

    async fn is_ready(&self, client: &Client) -> Result<()> {
        let started = Instant::now();
        let ready = format!("http://{}/readyz", self.address);
        while !client.get(&ready).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            ensure!(started.elapsed() < PATIENCE, "the server does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is asked for.
struct Asked {
    texts: Vec<String>,
    pages: Vec<String>,
    workspace: String,
}

impl Asked {
    fn read(plan: &Plan) -> Result<Self> {
        let (mut texts, mut pages) = (queries(plan)?, Vec::new());
        corpus::read(&plan.corpus_file(), plan.pages.min(PAGES), &mut |page| {
            let copy = page.copy(0)?;
            pages.push(copy.id.to_string());
            texts.extend(copy.record.title.value().cloned());
            Ok(())
        })?;
        Ok(Self { texts, pages, workspace: workspace_of(Shape::One, 0)?.to_string() })
    }

    /// The path and the parameters of the next request.
    fn next(&self, random: &mut SmallRng) -> (String, Vec<(&'static str, String)>) {
        let text = |random: &mut SmallRng| self.texts.choose(random).cloned().unwrap_or_default();
        match random.random_range(0..10) {
            0..6 => {
                let query = format!("{} {}", text(random), text(random));
                ("/v1/search".to_owned(), vec![("query", query.chars().take(200).collect())])
            }
            6..9 => {
                let typed: String = text(random).chars().take(random.random_range(2..8)).collect();
                ("/v1/suggest".to_owned(), vec![("query", typed)])
            }
            _ => (format!("/v1/pages/{}", self.pages.choose(random).map_or("", String::as_str)), Vec::new()),
        }
    }
}

pub(crate) fn print(plan: &Plan, binary: &Path) -> Result<()> {
    let asked = Arc::new(Asked::read(plan)?);
    let server = Server::start(plan, binary)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let client = Client::builder().no_proxy().pool_max_idle_per_host(CALLERS).timeout(PATIENCE).build()?;
    runtime.block_on(async {
        server.is_ready(&client).await?;
        println!("\n{CALLERS} callers over HTTP: six searches to three suggestions and a page; times from when a request was due");
        println!("  offered    useful      p50      p95      p99    shed  shed p99  failed  allocated   load");
        // Files are mapped, and what is asked for first is read from the disk.
        offer(&server, &client, &asked, WARM_PER_SECOND, 2 * STEP).await?;
        let (mut rate, mut good) = (FIRST_PER_SECOND, None);
        let mut is_second_try = false;
        for _ in 0..STEPS_MAX {
            let offered = offer(&server, &client, &asked, rate, STEP).await?;
            offered.print(Memory::of(server.process.id())?);
            if offered.is_good() {
                good = Some(offered);
                rate *= GROWTH;
                is_second_try = false;
            } else if std::mem::replace(&mut is_second_try, true) {
                break;
            }
        }
        let good = good.context("the first rate is too much already")?;
        let over = offer(&server, &client, &asked, good.per_second * OVERLOAD, 2 * STEP).await?;
        let memory = Memory::of(server.process.id())?;
        over.print(memory);
        let again = offer(&server, &client, &asked, good.per_second, STEP).await?;
        again.print(Memory::of(server.process.id())?);
        let row = crate::stream::row;
        println!();
        row("requests a second with p99 below 50 ms", &format!("{:.0}", good.per_second), "stated");
        let kept = over.useful() / good.useful();
        row("useful answers a second at three times that, to those at it", &format!("{kept:.2}"), ">= 0.8");
        row("failed then, neither answered nor turned away", &over.failed.to_string(), "0");
        let allocated = format!("{} of {}", memory.anon >> 20, MEMORY_BYTES_MAX >> 20);
        row("memory allocated then, MiB", &allocated, "below its bound");
        let [_, _, p99] = percentiles(again.answered.clone());
        row("p99 after it, ms", &format!("{p99:.1}"), "as before");
        Ok(())
    })
}

/// Sends requests at even times and waits for all.
async fn offer(
    server: &Server,
    client: &Client,
    asked: &Arc<Asked>,
    per_second: f64,
    lasting: Duration,
) -> Result<Offered> {
    let mut random = SmallRng::seed_from_u64(SEED ^ per_second.to_bits());
    let mut under_way = JoinSet::new();
    let mut offered =
        Offered { per_second, seconds: lasting.as_secs_f64(), answered: Vec::new(), shed: Vec::new(), failed: 0 };
    let started = Instant::now();
    let count = (lasting.as_secs_f64() * per_second) as usize;
    for number in 0..count {
        let due = started + Duration::from_secs_f64(number as f64 / per_second);
        tokio::time::sleep_until(due.into()).await;
        while let Some(ended) = under_way.try_join_next() {
            offered.count(ended?);
        }
        if under_way.len() >= UNDER_WAY_MAX {
            offered.failed += 1;
            continue;
        }
        let (path, parameters) = asked.next(&mut random);
        let request = client
            .get(Url::parse_with_params(&format!("http://{}{path}", server.address), &parameters)?)
            .header("tessera-workspace", &asked.workspace)
            .header("tessera-user", format!("person-{}", number % CALLERS));
        under_way.spawn(async move {
            let end = ending(request).await;
            (end, due.elapsed())
        });
    }
    while let Some(ended) = under_way.join_next().await {
        offered.count(ended?);
    }
    Ok(offered)
}

impl Offered {
    /// Whether all was answered, and soon enough.
    fn is_good(&self) -> bool {
        let [_, _, p99] = percentiles(self.answered.clone());
        p99 < P99_MS_MAX && self.failed == 0 && self.shed.is_empty()
    }

    fn count(&mut self, (end, took): (End, Duration)) {
        match end {
            End::Answered => self.answered.push(took),
            End::Shed => self.shed.push(took),
            End::Failed => self.failed += 1,
        }
    }
}

async fn ending(request: reqwest::RequestBuilder) -> End {
    let Ok(answer) = request.send().await else { return End::Failed };
    let (status, is_told) = (answer.status(), answer.headers().contains_key("retry-after"));
    // A body is part of the answer.
    let is_whole = answer.bytes().await.is_ok();
    match status {
        StatusCode::OK if is_whole => End::Answered,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS if is_told => End::Shed,
        _ => End::Failed,
    }
}
