//! Writes real embeddings for the measurement of recall: `passages.f32` and `queries.f32`, little-endian rows.
//!
//! `cargo run --release -p models --example embeddings -- FOLDER`, from the root of the repository, where the default model lies
//! in `.cache/models`. Corpus: pieces of about 64 tokens of `handbook-18f`, in order, [`PASSAGES_MAX`] at most; queries: every
//! fourth of `handbook-sourcegraph/anchor-queries`, [`QUERIES_MAX`] at most; both below `../shared/data`, or the folder that
//! `TESSERA_DATA_DIR` names. No random numbers.

#![expect(clippy::print_stdout, reason = "an example says what it did")]

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use models::embed::{Config, Embedder, TokenCounter};

const PASSAGES_MAX: usize = 4_000;
const QUERIES_MAX: usize = 200;
const PASSAGE_TOKENS: usize = 64;

fn main() -> Result<()> {
    let data = std::env::var_os("TESSERA_DATA_DIR").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    if !data.is_dir() {
        println!("SKIPPED: there is no {} to embed", data.display());
        return Ok(());
    }
    let folder = PathBuf::from(std::env::args_os().nth(1).context("name the folder to write to")?);
    std::fs::create_dir_all(&folder)?;
    let embedder = Embedder::start(Config::default())?;
    let passages = passages(&data, &embedder.token_counter())?;
    let vectors = embedder.embed_passages(passages)?;
    write(&folder.join("passages.f32"), vectors.iter().map(Vec::as_slice))?;
    let mut queries = Vec::new();
    for line in lines(&data.join("handbook-sourcegraph/anchor-queries/queries.jsonl"))?.step_by(4).take(QUERIES_MAX) {
        let query: serde_json::Value = serde_json::from_str(&line?)?;
        let text = query["text"].as_str().context("a query has text")?;
        queries.push(embedder.embed_query(text, Instant::now() + Duration::from_mins(1))?);
    }
    write(&folder.join("queries.f32"), queries.iter().map(|query| &**query))?;
    println!("{} passages and {} queries embedded into {}", vectors.len(), queries.len(), folder.display());
    Ok(())
}

fn lines(path: &Path) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let reader: Box<dyn BufRead> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(BufReader::new(GzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    Ok(reader.lines())
}

fn passages(data: &Path, counter: &TokenCounter) -> Result<Vec<String>> {
    let mut passages = Vec::new();
    for line in lines(&data.join("handbook-18f/pages.jsonl.gz"))? {
        let page: serde_json::Value = serde_json::from_str(&line?)?;
        let mut passage = String::new();
        for line in page["markdown"].as_str().context("a page has markdown")?.lines() {
            passage.push_str(line);
            passage.push('\n');
            if counter.count(&passage) >= PASSAGE_TOKENS {
                passages.push(std::mem::take(&mut passage));
            }
        }
    }
    passages.truncate(PASSAGES_MAX);
    Ok(passages)
}

fn write<'a>(path: &Path, rows: impl Iterator<Item = &'a [f32]>) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for value in rows.flatten() {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(out.flush()?)
}
