//! Reports: what an evaluation found, as one page for people and as Markdown for a commit message or a ticket.
//!
//! The page needs nothing from elsewhere and runs no script; what is drawn is drawn here. Text of a collection is data: all of
//! it is escaped. Invariant: the size is bounded by the queries whose hits the evaluation kept, not by the collection.

mod charts;
mod drill_down;
mod escape;
mod html;
mod markdown;

use std::collections::BTreeMap;
use std::path::Path;

pub use html::html;
pub use markdown::markdown;

use crate::evaluation::{Evaluation, PersonaResult};
use crate::metrics::{Metric, Scores, mean};
use crate::workspace::write_whole;

/// Writes `report.html` and `report.md` into a folder.
pub fn write(evaluation: &Evaluation, folder: &Path) -> anyhow::Result<()> {
    write_whole(&folder.join("report.html"), html(evaluation).as_bytes())?;
    write_whole(&folder.join("report.md"), markdown(evaluation).as_bytes())
}

/// A mean to three digits.
fn digits(scores: Option<&Scores>) -> String {
    scores.map_or_else(|| "–".to_owned(), |scores| format!("{:.3}", mean(scores)))
}

/// The mean of a persona; none where the persona may see nothing that is relevant.
fn persona_mean(persona: &PersonaResult, means: &BTreeMap<Metric, f64>, metric: &Metric) -> String {
    let value = means.get(metric).filter(|_| persona.queries > 0);
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

/// A p-value as people write it.
fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}
