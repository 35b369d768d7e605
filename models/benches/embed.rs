//! Measures what the embedding path costs over the bare model: passages per CPU second through [`Embedder`], against ONNX
//! Runtime alone on the same graph, the same batches and inputs tokenised beforehand. The goal is a ratio of 0.95 or more.
//!
//! Corpus: passages of about 200 tokens from `handbook-18f/pages.jsonl.gz` in the folder that `TESSERA_DATA_DIR` names (default
//! `../shared/data`), evenly spaced; text of our own where it is absent. No random numbers. One thread computes; time is the
//! CPU time of all threads of the process, which other load on the machine moves less than the clock on the wall. Rounds
//! alternate between the two so that drift meets both. Run by `cargo bench -p models`.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use models::embed::{Config, Embedder, TokenCounter, onnx_bert, runtime};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use tokenizers::Tokenizer;

const PASSAGES: usize = 96;
const PASSAGE_TOKENS: usize = 200;
const ROUNDS: usize = 7;
const QUERIES: usize = 200;

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/models");
    let config = Config {
        library: folder.join("libonnxruntime.so"),
        model_dir: folder.join("all-MiniLM-L6-v2"),
        intra_threads: 1,
        ..Config::default()
    };
    if !config.library.is_file() {
        println!("SKIPPED: no model in {}; run scripts/fetch-models.sh", folder.display());
        return Ok(());
    }
    let embedder = Embedder::start(config.clone())?;
    let memory = memory()?;
    let (corpus, passages) = passages(&embedder.token_counter())?;
    let mut raw = RawModel::new(&config, &passages)?;
    println!("machine: {}", machine());
    println!("memory: {memory}");
    println!(
        "corpus: {corpus}, {} passages, mean {} tokens; {ROUNDS} rounds, 1 thread",
        passages.len(),
        raw.mean_tokens()
    );

    compare(&embedder, &mut raw, &passages)?;
    batch_bounds(&config, &passages)?;
    queries(&embedder, &passages)
}

/// The goal itself: our path against the bare session.
fn compare(embedder: &Embedder, raw: &mut RawModel, passages: &[String]) -> Result<()> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let texts = passages.to_vec();
        let our_rate = rate(passages.len(), || embedder.embed_passages(texts).map(drop).map_err(Into::into))?;
        let raw_rate = rate(passages.len(), || raw.run())?;
        // The first round warms caches and allocators.
        if round > 0 {
            ours.push(our_rate);
            bare.push(raw_rate);
        }
    }
    let ratio = median(&mut ours) / median(&mut bare);
    println!("\n{:<34} {:>8} {:>8} {:>8}", "passages per CPU second", "median", "lowest", "highest");
    for (name, rates) in [("embedder", &ours), ("ONNX Runtime alone", &bare)] {
        println!("{name:<34} {:>8.2} {:>8.2} {:>8.2}", rates[rates.len() / 2], rates[0], rates[rates.len() - 1]);
    }
    println!("ratio {ratio:.3} (goal 0.95 or more)");
    Ok(())
}

/// Why `batch_tokens_max` is what it is: the rate against the time that a query waits for the batch at hand.
fn batch_bounds(config: &Config, passages: &[String]) -> Result<()> {
    println!("\n{:<18} {:>24} {:>28}", "batch_tokens_max", "passages per CPU second", "CPU ms of the largest batch");
    for batch_tokens_max in [64, 256, 512, 1024, 4096] {
        let embedder = Embedder::start(Config { batch_tokens_max, ..config.clone() })?;
        let mut rates = Vec::new();
        for _ in 0..3 {
            let texts = passages.to_vec();
            rates.push(rate(passages.len(), || embedder.embed_passages(texts).map(drop).map_err(Into::into))?);
        }
        let rate = median(&mut rates);
        let largest = (batch_tokens_max / PASSAGE_TOKENS).clamp(1, config.batch_len_max);
        println!("{batch_tokens_max:<18} {rate:>24.2} {:>28.0}", largest as f64 / rate * 1000.0);
    }
    Ok(())
}

/// What a search waits for its query, the model being idle otherwise.
fn queries(embedder: &Embedder, passages: &[String]) -> Result<()> {
    let mut wall = Vec::new();
    let cpu = cpu_seconds()?;
    for number in 0..QUERIES {
        let passage = &passages[number % passages.len()];
        let query: Vec<&str> = passage.split_whitespace().skip(number / passages.len() * 8).take(8).collect();
        let start = Instant::now();
        embedder.embed_query(&query.join(" "), start + Duration::from_mins(1))?;
        wall.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let cpu = (cpu_seconds()? - cpu) * 1000.0 / QUERIES as f64;
    wall.sort_by(f64::total_cmp);
    let at = |percent: usize| wall[(wall.len() - 1) * percent / 100];
    println!("\nquery of 8 words: {cpu:.2} ms CPU; wall p50 {:.2}, p95 {:.2}, p99 {:.2} ms", at(50), at(95), at(99));
    Ok(())
}

/// ONNX Runtime with inputs made beforehand: nothing is left in the measured part but the session.
struct RawModel {
    session: Session,
    batches: Vec<RawBatch>,
    tokens: usize,
    passages: usize,
}

struct RawBatch {
    shape: [usize; 2],
    ids: Vec<i64>,
    mask: Vec<i64>,
}

impl RawModel {
    fn new(config: &Config, passages: &[String]) -> Result<Self> {
        let weights = fs::read(config.model_dir.join("model.safetensors"))?;
        let bert = fs::read(config.model_dir.join("config.json"))?;
        let graph = onnx_bert::build(&weights.into(), &bert, config.pooling)?;
        let environment = runtime::environment(&config.library)?;
        let session = Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(ort::Error::<()>::from)?
            .with_intra_threads(config.intra_threads)
            .map_err(ort::Error::<()>::from)?
            .with_intra_op_spinning(false)
            .map_err(ort::Error::<()>::from)?
            .commit_from_memory(&graph)?;

        let mut tokenizer = Tokenizer::from_file(config.model_dir.join("tokenizer.json"))
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        tokenizer.with_padding(None).with_truncation(None).map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut inputs = Vec::new();
        for passage in passages {
            let encoding = tokenizer.encode(passage.as_str(), true).map_err(|error| anyhow::anyhow!("{error}"))?;
            let ids: Vec<i64> = encoding.get_ids().iter().map(|&id| i64::from(id)).collect();
            inputs.push(ids[..ids.len().min(config.max_length_tokens)].to_vec());
        }
        inputs.sort_by_key(Vec::len);
        let tokens = inputs.iter().map(Vec::len).sum();

        let mut groups: Vec<Vec<Vec<i64>>> = Vec::new();
        for ids in inputs {
            let fits = |group: &Vec<Vec<i64>>| {
                group.len() < config.batch_len_max && (group.len() + 1) * ids.len() <= config.batch_tokens_max
            };
            match groups.last_mut().filter(|group| fits(group)) {
                Some(group) => group.push(ids),
                None => groups.push(vec![ids]),
            }
        }
        let batches = groups.iter().map(|group| RawBatch::new(group)).collect();
        Ok(Self { session, batches, tokens, passages: passages.len() })
    }

    fn mean_tokens(&self) -> usize {
        self.tokens / self.passages
    }

    fn run(&mut self) -> Result<()> {
        for RawBatch { shape, ids, mask } in &self.batches {
            let outputs = self.session.run(ort::inputs![
                "input_ids" => TensorRef::from_array_view((*shape, ids.as_slice()))?,
                "attention_mask" => TensorRef::from_array_view((*shape, mask.as_slice()))?,
            ])?;
            std::hint::black_box(outputs["sentence_embedding"].try_extract_tensor::<f32>()?);
        }
        Ok(())
    }
}

impl RawBatch {
    fn new(group: &[Vec<i64>]) -> Self {
        let longest = group.iter().map(Vec::len).max().unwrap_or(0);
        let mut batch = Self { shape: [group.len(), longest], ids: Vec::new(), mask: Vec::new() };
        for ids in group {
            let padding = longest - ids.len();
            batch.ids.extend(ids.iter().copied().chain(std::iter::repeat_n(0, padding)));
            batch.mask.extend(std::iter::repeat_n(1, ids.len()).chain(std::iter::repeat_n(0, padding)));
        }
        batch
    }
}

/// Name of the corpus and [`PASSAGES`] passages of it.
fn passages(counter: &TokenCounter) -> Result<(&'static str, Vec<String>)> {
    let folder = std::env::var_os("TESSERA_DATA_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let Ok(file) = fs::File::open(folder.join("handbook-18f/pages.jsonl.gz")) else {
        let sentence = "The team meets on Monday to plan the week, and writes down what it decided and why. ";
        let passages = (0..PASSAGES).map(|number| format!("Note {number}. {}", sentence.repeat(5 + number % 6)));
        return Ok(("our own sentences", passages.collect()));
    };
    let mut all = Vec::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let page: serde_json::Value = serde_json::from_str(&line?)?;
        let mut passage = String::new();
        for paragraph in page["markdown"].as_str().context("a page has markdown")?.split("\n\n") {
            passage.push_str(paragraph);
            passage.push('\n');
            if counter.count(&passage) >= PASSAGE_TOKENS {
                all.push(std::mem::take(&mut passage));
            }
        }
    }
    let step = (all.len() / PASSAGES).max(1);
    Ok(("handbook-18f", all.into_iter().step_by(step).take(PASSAGES).collect()))
}

/// Passages per second of CPU time.
fn rate(passages: usize, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = cpu_seconds()?;
    work()?;
    Ok(passages as f64 / (cpu_seconds()? - start))
}

/// CPU seconds of all threads of this process that are alive: every one that computes here is.
fn cpu_seconds() -> Result<f64> {
    let mut nanoseconds = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = schedstat.split(' ').next().context("schedstat has three fields")?;
        nanoseconds += on_cpu.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

/// What this process holds and the most it has held, as the kernel counts.
fn memory() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim();
    Ok(format!("{} after the model started, {} at most while it did", field("VmRSS:"), field("VmHWM:")))
}

/// Sorts the values and returns the middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn machine() -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
    format!("{model}, {} cores", std::thread::available_parallelism().map_or(1, usize::from))
}
