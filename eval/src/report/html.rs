//! The page: an overview, then a section for each split of each collection.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::charts::{bars, colour, quality_and_latency, scatter, short};
use super::drill_down::{drill_down, name};
use super::escape::Escaped;
use super::{digits, p_value, persona_mean};
use crate::compare::{Comparison, Delta};
use crate::evaluation::{CollectionResult, Evaluation, JudgedHit, PersonaResult, SystemResult};
use crate::metrics::{Metric, mean};

const STYLE: &str = include_str!("style.css");
/// Queries that lose most, for each system.
const REGRESSIONS: usize = 10;
/// Documents of a ranking beside them.
const RANKED: usize = 5;
/// Characters of the model's id, which is a hash.
const MODEL_CHARS: usize = 13;
/// Differences that chance makes no seldomer than this are drawn in grey.
const ALPHA: f64 = 0.05;

/// The whole page.
pub fn html(evaluation: &Evaluation) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Search quality</title><style>{STYLE}</style></head><body><main>"
    );
    head(&mut page, evaluation);
    for (at, collection) in evaluation.collections.iter().enumerate() {
        section(&mut page, collection, at);
    }
    page + "</main></body></html>\n"
}

fn head(page: &mut String, evaluation: &Evaluation) {
    let model = match (&evaluation.server, &evaluation.model_id) {
        (Some(server), _) => format!("server {server}"),
        (None, Some(model)) => format!("model {}", short(model, MODEL_CHARS)),
        (None, None) => "words alone".to_owned(),
    };
    _ = write!(
        page,
        "<h1>Search quality</h1><p class=\"soft\">Tessera {} · {} · {} · {}</p><nav>",
        Escaped(&evaluation.release),
        evaluation.made_at.strftime("%Y-%m-%d %H:%M UTC"),
        Escaped(&model),
        Escaped(&evaluation.machine)
    );
    for (at, collection) in evaluation.collections.iter().enumerate() {
        _ = write!(page, "<a href=\"#c{at}\">{}</a>", Escaped(&collection.id()));
    }
    page.push_str("</nav><section><h2>Overview</h2>");
    let mut names: Vec<&str> = Vec::new();
    for system in evaluation.collections.iter().flat_map(|collection| &collection.systems) {
        if !names.contains(&system.configuration.name.as_str()) {
            names.push(&system.configuration.name);
        }
    }
    page.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>Collection</th><th class=\"number\">Queries</th><th>Metric</th>",
    );
    for (at, name) in names.iter().enumerate() {
        _ = write!(page, "<th class=\"number\"><span class=\"dot {}\"></span>{}</th>", colour(at), Escaped(name));
    }
    page.push_str("</tr></thead><tbody>");
    for (at, collection) in evaluation.collections.iter().enumerate() {
        let Some(metric) = collection.metrics.first().copied() else { continue };
        let best =
            collection.systems.iter().filter_map(|system| system.scores.get(&metric).map(mean)).fold(0.0, f64::max);
        _ = write!(
            page,
            "<tr><td><a href=\"#c{at}\">{}</a></td><td class=\"number\">{}</td><td>{metric}</td>",
            Escaped(&collection.id()),
            collection.queries.len()
        );
        for name in &names {
            let system = collection.systems.iter().find(|system| system.configuration.name == *name);
            let scores = system.and_then(|system| system.scores.get(&metric));
            let is_best = scores.is_some_and(|scores| mean(scores) >= best && best > 0.0);
            _ = write!(page, "<td class=\"number{}\">{}</td>", if is_best { " best" } else { "" }, digits(scores));
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div></section>");
}

fn section(page: &mut String, collection: &CollectionResult, at: usize) {
    let metrics = &collection.metrics;
    let Some((metric, baseline)) = metrics.first().zip(collection.systems.first()) else { return };
    _ = write!(page, "<section id=\"c{at}\"><h2>{}</h2><p class=\"soft\">", Escaped(&collection.id()));
    _ = write!(
        page,
        "{} queries, {} judgments, asked as {} for {} hits",
        collection.queries.len(),
        collection.judgments,
        Escaped(&collection.asked_as),
        collection.depth
    );
    if let Some(index) = &collection.index {
        let built = index.build_seconds.map(|seconds| format!(", built in {seconds:.0} s")).unwrap_or_default();
        _ = write!(
            page,
            " · {} documents, {} passages, {} vectors, {:.1} MB{built}",
            index.documents,
            index.passages,
            index.vectors,
            index.bytes_on_disk as f64 / 1e6
        );
    }
    page.push_str("</p>");
    systems_table(page, collection, metrics);
    page.push_str("<div class=\"row\">");
    for metric in metrics {
        _ = write!(
            page,
            "<figure><figcaption>{metric}, mean and 95 % interval</figcaption>{}</figure>",
            bars(&collection.systems, metric)
        );
    }
    if let Some(chart) = quality_and_latency(&collection.systems, metric) {
        _ = write!(page, "<figure><figcaption>{metric} and the time of an answer</figcaption>{chart}</figure>");
    }
    page.push_str("</div>");
    let compared: &[Comparison] =
        collection.comparisons.first().map(|comparison| &comparison.systems[..]).unwrap_or_default();
    if !compared.is_empty() {
        _ = write!(page, "<h3>Query by query, {metric}</h3><div class=\"row\">");
        for (at, comparison) in compared.iter().enumerate() {
            let chart = scatter(collection, comparison, &baseline.configuration.name, at + 1);
            _ = write!(
                page,
                "<figure><figcaption>{} better, {} worse, {} equal</figcaption>{chart}</figure>",
                comparison.wins,
                comparison.losses,
                comparison.deltas.len() - comparison.wins - comparison.losses
            );
        }
        page.push_str("</div>");
        for (comparison, system) in compared.iter().zip(&collection.systems[1..]) {
            regressions(page, collection, comparison, baseline, system);
        }
    }
    personas(page, &collection.personas, metric);
    drill_down(page, collection, metric);
    page.push_str("</section>");
}

fn systems_table(page: &mut String, collection: &CollectionResult, metrics: &[Metric]) {
    page.push_str("<div class=\"scroll\"><table><thead><tr><th>System</th>");
    for metric in metrics {
        _ = write!(page, "<th class=\"number\">{metric}</th>");
    }
    page.push_str("<th>Against the first</th><th class=\"number\">p50 ms</th><th class=\"number\">p95 ms</th></tr></thead><tbody>");
    for (at, system) in collection.systems.iter().enumerate() {
        let name = Escaped(&system.configuration.name);
        _ = write!(page, "<tr><td><span class=\"dot {}\"></span>{name}</td>", colour(at));
        for metric in metrics {
            let value = |system: &SystemResult| system.scores.get(metric).map_or(0.0, mean);
            let is_best = collection.systems.iter().all(|other| value(other) <= value(system));
            let class = if is_best && collection.systems.len() > 1 { " best" } else { "" };
            _ = write!(page, "<td class=\"number{class}\">{}</td>", digits(system.scores.get(metric)));
        }
        let compared = collection.comparisons.first().and_then(|first| first.systems.get(at.checked_sub(1)?));
        match compared {
            Some(comparison) => _ = write!(page, "<td>{}</td>", difference(comparison)),
            None => page.push_str("<td class=\"soft\">baseline</td>"),
        }
        match system.latency {
            Some(latency) => {
                _ = write!(
                    page,
                    "<td class=\"number\">{:.1}</td><td class=\"number\">{:.1}</td>",
                    latency.p50_ms, latency.p95_ms
                );
            }
            None => page.push_str("<td class=\"number\">–</td><td class=\"number\">–</td>"),
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
}

fn difference(comparison: &Comparison) -> String {
    let is_certain = comparison.p_holm <= ALPHA;
    let class = match comparison.difference() {
        gain if is_certain && gain > 0.0 => "better",
        loss if is_certain && loss < 0.0 => "worse",
        _ => "soft",
    };
    format!(
        "<span class=\"{class}\">{:+.3}</span> <span class=\"soft small\">[{:+.3}, {:+.3}], {} after Holm</span>",
        comparison.difference(),
        comparison.interval.low,
        comparison.interval.high,
        p_value(comparison.p_holm)
    )
}

fn regressions(
    page: &mut String,
    collection: &CollectionResult,
    comparison: &Comparison,
    baseline: &SystemResult,
    system: &SystemResult,
) {
    let is_kept = |delta: &&Delta| system.hits.contains_key(&delta.query);
    let worst: Vec<&Delta> = comparison.regressions(REGRESSIONS).iter().filter(is_kept).collect();
    if worst.is_empty() {
        return;
    }
    let (before, after) = (Escaped(&baseline.configuration.name), Escaped(&system.configuration.name));
    _ = write!(
        page,
        "<h3>What {after} loses most against {before}</h3><div class=\"scroll\"><table class=\"small\"><thead><tr><th>Query</th>\
         <th class=\"number\">{before}</th><th class=\"number\">{after}</th><th>Ranking of {before}</th><th>Ranking of {after}</th></tr></thead><tbody>"
    );
    for delta in worst {
        let text = collection.queries.get(&delta.query).map_or(delta.query.as_str(), String::as_str);
        _ = write!(
            page,
            "<tr><td>{}<div class=\"soft\">{}</div></td><td class=\"number\">{:.2}</td><td class=\"number worse\">{:.2}</td><td>{}</td><td>{}</td></tr>",
            Escaped(&short(text, 200)),
            Escaped(&delta.query),
            delta.baseline,
            delta.system,
            ranking(baseline.hits.get(&delta.query)),
            ranking(system.hits.get(&delta.query))
        );
    }
    page.push_str("</tbody></table></div>");
}

fn ranking(hits: Option<&Vec<JudgedHit>>) -> String {
    let Some(hits) = hits.filter(|hits| !hits.is_empty()) else {
        return "<span class=\"soft\">nothing</span>".to_owned();
    };
    let mut list = "<ol class=\"ranking\">".to_owned();
    for hit in hits.iter().take(RANKED) {
        let grade = hit.grade.filter(|grade| *grade > 0);
        let shown = grade.map(|grade| format!(" <span class=\"grade\">{grade}</span>")).unwrap_or_default();
        _ = write!(list, "<li>{}{shown}</li>", Escaped(&short(&name(hit), 60)));
    }
    list + "</ol>"
}

fn personas(page: &mut String, personas: &[PersonaResult], metric: &Metric) {
    if personas.is_empty() {
        return;
    }
    _ = write!(
        page,
        "<h3>As other people</h3><p class=\"soft small\">Judged by what each may see. “Unfiltered” is the ranking of the first \
         person without what this one may not see.</p><div class=\"scroll\"><table><thead><tr><th>Persona</th>\
         <th class=\"number\">Documents</th><th class=\"number\">Queries</th><th class=\"number\">{metric}</th>\
         <th class=\"number\">Unfiltered</th><th class=\"number\">Lost to filtering</th><th class=\"number\">Leaks</th></tr></thead><tbody>"
    );
    for persona in personas {
        let value = |means: &BTreeMap<Metric, f64>| persona_mean(persona, means, metric);
        let alarm = |count: usize| if count > 0 { "number worse best" } else { "number" };
        _ = write!(
            page,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"{}\">{}</td><td class=\"{}\">{}</td></tr>",
            Escaped(&persona.persona),
            persona.documents,
            persona.queries,
            value(&persona.means),
            value(&persona.means_unfiltered),
            alarm(persona.recall_lost),
            persona.recall_lost,
            alarm(persona.leaks),
            persona.leaks
        );
    }
    page.push_str("</tbody></table></div>");
}
