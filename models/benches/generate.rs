//! What a language model's text costs on its way through: the time that we add to its first piece, and memory for each text
//! under way. The goal is less than 50 ms at the 99th percentile with 100 texts side by side on two cores.
//!
//! The provider is this program again, as another process on loopback: it waits 200 ms, writes a first piece that says how long
//! it took itself, from the end of the request to the write, and 20 more pieces, one each 20 ms. What is left of the time from
//! the call to its answer is ours: connecting, sending, reading, routing, budgets, the ledger on disk, and the scheduler's. The
//! same is done with reqwest alone, for comparison. No random numbers. Run by `cargo bench -p models --bench generate`.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::stream::StreamExt as _;
use models::generate::{
    Account, BudgetConfig, Config, Generate as _, Generation, Message, Meter, Piece, Providers, Request, Role,
    SystemClock, Task,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const SIDE_BY_SIDE: usize = 100;
const ROUNDS: usize = 20;
const OPEN: usize = 1_000;
const FIRST_AFTER: Duration = Duration::from_millis(200);
const PIECES: usize = 20;
const PIECE_EVERY: Duration = Duration::from_millis(20);
/// The question whose text stays open.
const HANG: &str = "hang";

fn main() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("no runtime")?;
    if std::env::args().any(|argument| argument == "--provider") {
        return runtime.block_on(provide());
    }
    let mut provider = Command::new(std::env::current_exe()?)
        .arg("--provider")
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .context("the provider does not start")?;
    let mut base_url = String::new();
    BufReader::new(provider.stdout.take().context("it has an output")?).read_line(&mut base_url)?;
    let measured = runtime.block_on(measure(base_url.trim()));
    provider.kill()?;
    provider.wait()?;
    measured
}

async fn measure(base_url: &str) -> Result<()> {
    println!("machine: {}", machine());
    println!("{SIDE_BY_SIDE} texts side by side, {ROUNDS} rounds; what is added to the first piece, in ms:");
    println!("{:<12} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p95", "p99", "most");
    let dir = tempfile::tempdir()?;
    let providers = Arc::new(open(base_url, dir.path())?);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut with_us, mut without) = (JoinSet::new(), JoinSet::new());
        for _ in 0..SIDE_BY_SIDE {
            let providers = Arc::clone(&providers);
            with_us.spawn(async move { through(&providers).await });
        }
        let of_us = all(with_us).await?;
        for _ in 0..SIDE_BY_SIDE {
            without.spawn(directly(http.clone(), format!("{base_url}/chat/completions")));
        }
        let of_bare = all(without).await?;
        // The first round makes the connections.
        if round > 0 {
            ours.extend(of_us);
            bare.extend(of_bare);
        }
    }
    for (name, mut times) in [("ours", ours), ("reqwest", bare)] {
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!("{name:<12} {:>8.2} {:>8.2} {:>8.2} {:>8.2}", at(50), at(95), at(99), at(100));
    }
    memory(&providers).await
}

/// Providers with all that is on the way: a budget, a ledger on disk.
fn open(base_url: &str, dir: &std::path::Path) -> Result<Providers> {
    let endpoint = format!("name = \"main\"\nbase_url = \"{base_url}\"\nmodel = \"any\"\nconcurrency = 10000");
    let config = Config {
        budgets: BudgetConfig { user_tokens_per_month: 1_000_000_000, ..BudgetConfig::default() },
        endpoints: vec![toml::from_str(&endpoint)?],
        ..Config::default()
    };
    Ok(Providers::open(config, HashMap::new(), dir, Arc::new(SystemClock))?)
}

fn request(question: &str) -> Request {
    let sources = "The key lies under the third stone, as everyone in the office knows. ".repeat(100);
    Request {
        task: Task::Answer,
        messages: vec![
            Message { role: Role::System, text: sources },
            Message { role: Role::User, text: question.to_owned() },
        ],
        tokens_max: 500,
        temperature: None,
        deadline: Instant::now() + Duration::from_mins(2),
        account: Account { workspace: "acme".to_owned(), user: "ada".to_owned() },
        meter: Meter::default(),
    }
}

async fn all(mut tasks: JoinSet<Result<f64>>) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    while let Some(time) = tasks.join_next().await {
        times.push(time??);
    }
    Ok(times)
}

/// Milliseconds from a call to its first piece, less those that the provider took; the text is read to its end.
async fn through(providers: &Providers) -> Result<f64> {
    let request = request("Where is the key?");
    let called = Instant::now();
    let mut generation = providers.generate(request).await?;
    let taken = called.elapsed();
    let mut first = None;
    while let Some(piece) = generation.pieces.next().await {
        if let Piece::Text(text) = piece? {
            first.get_or_insert(text);
        }
    }
    less_own(taken, &first.context("a text has a piece")?)
}

/// The same with reqwest alone.
async fn directly(http: reqwest::Client, url: String) -> Result<f64> {
    let messages = request("Where is the key?").messages;
    let messages: Vec<_> = messages.iter().map(|message| serde_json::json!({"content": message.text})).collect();
    let body = serde_json::to_vec(&serde_json::json!({"stream": true, "messages": messages}))?;
    let called = Instant::now();
    let mut response = http.post(url).body(body).send().await?;
    let bytes = response.chunk().await?.context("a text has a piece")?;
    let taken = called.elapsed();
    let event = std::str::from_utf8(&bytes)?.lines().find_map(|line| line.strip_prefix("data: "));
    let event: serde_json::Value = serde_json::from_str(event.context("the first line is an event")?)?;
    while response.chunk().await?.is_some() {}
    less_own(taken, event["choices"][0]["delta"]["content"].as_str().unwrap_or_default())
}

fn less_own(taken: Duration, own_micros: &str) -> Result<f64> {
    let own: f64 = own_micros.trim().parse().context("the first piece tells the provider's own time")?;
    Ok(taken.as_secs_f64() * 1e3 - own / 1e3)
}

/// Memory for each text that is open and stands still.
async fn memory(providers: &Arc<Providers>) -> Result<()> {
    let before = resident_bytes()?;
    let mut opening = JoinSet::new();
    for _ in 0..OPEN {
        let providers = Arc::clone(providers);
        opening.spawn(async move { providers.generate(request(HANG)).await });
    }
    let mut open: Vec<Generation> = Vec::new();
    while let Some(generation) = opening.join_next().await {
        open.push(generation??);
    }
    let bytes = resident_bytes()?.saturating_sub(before) / OPEN as u64;
    println!("{} texts open at once: {bytes} bytes of resident memory each", open.len());
    Ok(())
}

fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel tells it")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn machine() -> String {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
    format!("{model}, {} cores", std::thread::available_parallelism().map_or(1, usize::from))
}

/// The provider, until it is killed.
async fn provide() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/v1", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Whoever asked may go away at any time.
            let _ = answer(connection).await;
        });
    }
}

/// Answers the requests of a connection, one after the other.
async fn answer(mut connection: TcpStream) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let length = loop {
            let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(head) = head {
                let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
                let body = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                let length = head + 4 + body.parse::<usize>()?;
                if bytes.len() >= length {
                    break length;
                }
            }
            if connection.read_buf(&mut bytes).await? == 0 {
                bail!("the connection is closed");
            }
        };
        let received = Instant::now();
        let is_held = String::from_utf8_lossy(&bytes[..length]).contains(&format!("\"{HANG}\""));
        bytes.drain(..length);
        tokio::time::sleep(FIRST_AFTER).await;
        let own = received.elapsed().as_micros();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let first = chunk(&format!(r#"{{"choices":[{{"delta":{{"content":"{own} "}}}}]}}"#));
        connection.write_all(format!("{head}{first}").as_bytes()).await?;
        if is_held {
            connection.read_buf(&mut bytes).await?;
            bail!("the reader went away");
        }
        for _ in 0..PIECES {
            tokio::time::sleep(PIECE_EVERY).await;
            connection.write_all(chunk(r#"{"choices":[{"delta":{"content":" and more"}}]}"#).as_bytes()).await?;
        }
        let last = chunk(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        );
        connection.write_all(format!("{last}{}0\r\n\r\n", chunk("[DONE]")).as_bytes()).await?;
    }
}

fn chunk(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}
