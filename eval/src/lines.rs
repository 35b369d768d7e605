//! Text files read line by line, compressed or not, where an error names the file and the line.
//!
//! One line is in memory at a time. Blank lines are passed over.

use std::path::Path;

use anyhow::{Context, bail};
use indexer::import::input::{self, Line, Lines};

/// Gives each line of a file to `take`, without the white space around it.
///
/// Fails on a line longer than `bytes_max`, on one that is not UTF-8, and where `take` does.
pub(crate) fn each(
    path: &Path,
    bytes_max: usize,
    take: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let file = path.display();
    let reader = input::open(path).with_context(|| format!("cannot open {file}"))?;
    let mut lines = Lines::new(reader, bytes_max);
    loop {
        let number = lines.number + 1;
        let taken = match lines.next_line().with_context(|| format!("cannot read {file} past line {number}"))? {
            None => return Ok(()),
            Some(Line::TooLong) => Err(anyhow::anyhow!("it is longer than {bytes_max} bytes")),
            Some(Line::Text(line)) => std::str::from_utf8(line).context("it is not UTF-8").and_then(&mut *take),
        };
        if let Err(reason) = taken {
            bail!("{file}, line {}: {reason:#}", lines.number);
        }
    }
}
