//! `tessera eval questions`: which questions kept answers take for the same, by bounds, and how often they are wrong.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use eval::questions::{Kind, Pairs, compare};
use eval::workspace::Built;

use super::{Bar, collections, options, split_of, start_embedder};
use crate::config::Config;

/// Cosines and covers that are tried.
const COSINES: [f32; 7] = [0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99];
const COVERS: [f32; 6] = [0.7, 0.8, 0.85, 0.9, 0.95, 0.999];

/// Which questions.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folders of collections.
    #[arg(required = true)]
    datasets: Vec<PathBuf>,
    /// Split of the judgments [default: test, else the first].
    #[arg(long)]
    split: Option<String>,
    /// Print the pairs that are wrongly taken for the same by the bounds in use.
    #[arg(long)]
    wrong: bool,
    /// Where workspaces are kept from run to run.
    #[arg(long, value_name = "DIR", default_value = ".cache/eval")]
    cache: PathBuf,
}

/// Compares, and prints.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let embedder = start_embedder(config)?;
    let near_cosine = config.query.answer.cache.near_cosine;
    let mut out = std::io::stdout().lock();
    for dataset in collections(&arguments.datasets)? {
        let split = split_of(&dataset, arguments.split.as_deref())?;
        let bar = Bar::new();
        let mut watch = |step: eval::progress::Step<'_>| bar.show(&dataset.name, step);
        let built = Built::open(&dataset, &options(config, &arguments.cache), &mut watch)?;
        let pairs = compare(&built, &embedder, &dataset, dataset.split(&split)?, &mut watch)?;
        drop(bar);
        print(&mut out, &format!("{} {split}", dataset.name), &pairs)?;
        if arguments.wrong {
            print_wrong(&mut out, &pairs, near_cosine)?;
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, name: &str, pairs: &BTreeMap<Kind, Pairs>) -> anyhow::Result<()> {
    writeln!(out, "{name}")?;
    write!(out, "{:>7}{:>7}", "cosine", "cover")?;
    for kind in pairs.keys() {
        write!(out, "{:>12}", format!("{kind:?}"))?;
    }
    writeln!(out)?;
    write!(out, "{:>14}", "pairs")?;
    for of in pairs.values() {
        write!(out, "{:>12}", of.count)?;
    }
    writeln!(out)?;
    for near_cover in COVERS {
        for near_cosine in COSINES {
            write!(out, "{near_cosine:>7}{near_cover:>7}")?;
            for of in pairs.values() {
                write!(out, "{:>12}", of.hits(near_cosine, near_cover))?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

fn print_wrong(out: &mut impl Write, pairs: &BTreeMap<Kind, Pairs>, near_cosine: f32) -> anyhow::Result<()> {
    for (kind, of) in pairs.iter().filter(|(kind, _)| !kind.is_same()) {
        for (near, one, other) in &of.candidates {
            if near.same || near.is_within(near_cosine, query::answer::cache::NEAR_COVER) {
                writeln!(out, "{kind:?} {:.3} {:.3}\n  {one}\n  {other}", near.cosine, near.cover)?;
            }
        }
    }
    Ok(())
}
