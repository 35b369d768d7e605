//! The same in Markdown: the tables, without drawings and hits.

use std::fmt::Write;

use super::{digits, p_value, persona_mean};
use crate::evaluation::{CollectionResult, Evaluation};

/// The whole report.
pub fn markdown(evaluation: &Evaluation) -> String {
    let mut text = format!("# Search quality\n\nTessera {}, {}", evaluation.release, evaluation.made_at);
    match (&evaluation.server, &evaluation.model_id) {
        (Some(server), _) => _ = write!(text, ", server {server}"),
        (None, Some(model)) => _ = write!(text, ", model {model}"),
        (None, None) => text.push_str(", words alone"),
    }
    _ = writeln!(text, ". {}.", evaluation.machine);
    evaluation.collections.iter().for_each(|found| collection(&mut text, found));
    text
}

fn collection(text: &mut String, collection: &CollectionResult) {
    let metrics = &collection.metrics;
    _ = writeln!(
        text,
        "\n## {}\n\n{} queries, {} judgments, asked as {} for {} hits.\n",
        collection.id(),
        collection.queries.len(),
        collection.judgments,
        cell(&collection.asked_as),
        collection.depth
    );
    text.push_str("| system |");
    for metric in metrics {
        _ = write!(text, " {metric} |");
    }
    text.push_str(" against the first | p50 ms | p95 ms |\n| --- |");
    text.push_str(&" ---: |".repeat(metrics.len()));
    text.push_str(" --- | ---: | ---: |\n");
    for (at, system) in collection.systems.iter().enumerate() {
        _ = write!(text, "| {} |", cell(&system.configuration.name));
        for metric in metrics {
            _ = write!(text, " {} |", digits(system.scores.get(metric)));
        }
        let compared = collection.comparisons.first().and_then(|first| first.systems.get(at.checked_sub(1)?));
        match compared {
            Some(comparison) => {
                _ = write!(
                    text,
                    " {:+.3} [{:+.3}, {:+.3}], {} |",
                    comparison.difference(),
                    comparison.interval.low,
                    comparison.interval.high,
                    p_value(comparison.p_holm)
                );
            }
            None => text.push_str(" baseline |"),
        }
        match system.latency {
            Some(latency) => _ = writeln!(text, " {:.1} | {:.1} |", latency.p50_ms, latency.p95_ms),
            None => text.push_str(" – | – |\n"),
        }
    }
    let Some(metric) = metrics.first().filter(|_| !collection.personas.is_empty()) else { return };
    _ = writeln!(
        text,
        "\n| persona | documents | queries | {metric} | unfiltered | lost to filtering | leaks |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for persona in &collection.personas {
        _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&persona.persona),
            persona.documents,
            persona.queries,
            persona_mean(persona, &persona.means, metric),
            persona_mean(persona, &persona.means_unfiltered, metric),
            persona.recall_lost,
            persona.leaks
        );
    }
}

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}
