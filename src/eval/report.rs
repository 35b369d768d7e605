//! `tessera eval report`: the report of one evaluation or several, from their JSON.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use eval::evaluation::Evaluation;

/// What to report on.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Files `evaluation.json`; their collections are put into one report.
    #[arg(required = true)]
    evaluations: Vec<PathBuf>,
    /// Folder that the report goes to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// Writes it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut joined: Option<Evaluation> = None;
    for path in &arguments.evaluations {
        let evaluation = Evaluation::read(path)?;
        match &mut joined {
            None => joined = Some(evaluation),
            Some(joined) => joined.collections.extend(evaluation.collections),
        }
    }
    let evaluation = joined.context("name an evaluation")?;
    std::fs::create_dir_all(&arguments.out).with_context(|| format!("cannot make {}", arguments.out.display()))?;
    eval::report::write(&evaluation, &arguments.out)?;
    writeln!(std::io::stdout().lock(), "report: {}", arguments.out.join("report.html").display())?;
    Ok(())
}
