//! Pages and queries: public documentation, or words drawn in its place.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, index::sample};
use serde::Deserialize;

use crate::Result;

const PASSAGE_WORDS: usize = 180;
/// Words from which a passage ends in the middle of a paragraph, at a line.
const PASSAGE_WORDS_MAX: usize = 300;
const QUERIES: usize = 500;
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) texts: Vec<String>,
}

pub(crate) struct Corpus {
    pub(crate) pages: Vec<Page>,
    pub(crate) queries: Vec<String>,
}

#[derive(Deserialize)]
struct PageLine {
    title: String,
    markdown: String,
}

#[derive(Deserialize)]
struct QueryLine {
    text: String,
}

impl Corpus {
    pub(crate) fn read(folder: &Path, pages_len: usize, rng: &mut SmallRng) -> Result<Self> {
        let mut decoder = zstd::Decoder::new(fs::File::open(folder.join("pages.jsonl.zst"))?)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        let lines: Vec<String> = BufReader::new(decoder).lines().collect::<std::result::Result<_, _>>()?;
        let mut drawn = sample(rng, lines.len(), pages_len.min(lines.len())).into_vec();
        // Neighbours stay neighbours, so that a section is about one subject.
        drawn.sort_unstable();
        let mut pages = Vec::with_capacity(drawn.len());
        for at in drawn {
            let PageLine { title, markdown } = serde_json::from_str(&lines[at])?;
            pages.push(Page { title, texts: cut(body(&markdown)) });
        }
        let queries = fs::read_to_string(folder.join("anchor-queries/queries.jsonl"))?;
        let queries: Vec<&str> = queries.lines().collect();
        let drawn = queries.choose_multiple(rng, QUERIES);
        let texts = drawn.map(|line| Ok(serde_json::from_str::<QueryLine>(line)?.text));
        Ok(Self { pages, queries: texts.collect::<Result<_>>()? })
    }

    /// Words of a few thousand, the frequent ones far more often than the rest.
    pub(crate) fn draw(pages_len: usize, rng: &mut SmallRng) -> Self {
        let word = |rng: &mut SmallRng| format!("word{}", (20_000.0_f64.powf(rng.random::<f64>())) as u32);
        let text = |rng: &mut SmallRng, len| (0..len).map(|_| word(rng)).collect::<Vec<_>>().join(" ");
        let page = |rng: &mut SmallRng| Page {
            title: text(rng, 4),
            texts: (0..rng.random_range(1..6)).map(|_| text(rng, PASSAGE_WORDS)).collect(),
        };
        let pages = (0..pages_len).map(|_| page(rng)).collect();
        Self { pages, queries: (0..QUERIES).map(|_| text(rng, 3)).collect() }
    }
}

/// A page without its front matter.
fn body(markdown: &str) -> &str {
    let Some(rest) = markdown.strip_prefix("---\n") else { return markdown };
    rest.split_once("\n---\n").map_or(markdown, |(_, body)| body)
}

fn cut(text: &str) -> Vec<String> {
    let mut passages = Vec::new();
    let (mut passage, mut words) = (String::new(), 0);
    for line in text.lines() {
        let is_end = if line.trim().is_empty() { words >= PASSAGE_WORDS } else { words >= PASSAGE_WORDS_MAX };
        if is_end {
            passages.push(std::mem::take(&mut passage));
            words = 0;
        }
        words += line.split_whitespace().count();
        passage.push_str(line);
        passage.push('\n');
    }
    if words > 0 || passages.is_empty() {
        passages.push(passage);
    }
    passages
}
