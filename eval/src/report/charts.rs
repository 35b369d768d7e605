//! Drawings as inline SVG. Values of metrics are from 0 to 1, and so are their axes.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::escape::Escaped;
use crate::compare::Comparison;
use crate::evaluation::{CollectionResult, SystemResult};
use crate::metrics::{Metric, mean};
use crate::statistics::{Effort, bootstrap_interval};

/// Queries that are named where several lie on one point.
const NAMED: usize = 4;
/// Longest text of a query beside a point, in characters.
const NAME_CHARS: usize = 80;

/// The class that gives a system its colour.
pub(super) fn colour(at: usize) -> String {
    format!("s{}", at % 6)
}

/// A bar for each system, with the interval in which its mean lies.
pub(super) fn bars(systems: &[SystemResult], metric: &Metric) -> String {
    const LABEL: f64 = 130.0;
    const WIDTH: f64 = 210.0;
    const ROW: f64 = 28.0;
    let height = ROW * systems.len() as f64 + 24.0;
    let x = |value: f64| LABEL + WIDTH * value.clamp(0.0, 1.0);
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{metric} by system\">",
        LABEL + WIDTH + 56.0
    );
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (at, bottom) = (x(tick), height - 18.0);
        _ = write!(svg, "<line class=\"grid\" x1=\"{at}\" x2=\"{at}\" y1=\"0\" y2=\"{bottom}\"/>");
        _ = write!(svg, "<text class=\"tick\" x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>", height - 4.0);
    }
    for (at, system) in systems.iter().enumerate() {
        let Some(scores) = system.scores.get(metric) else { continue };
        let (value, top) = (mean(scores), ROW * at as f64 + 6.0);
        let values: Vec<f64> = scores.values().copied().collect();
        let interval = bootstrap_interval(&values, &Effort { resamples: 1_000, ..Effort::default() });
        let (low, high, middle) = (x(interval.low), x(interval.high), top + 8.0);
        _ = write!(
            svg,
            "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect class=\"bar {}\" x=\"{LABEL}\" y=\"{top}\" width=\"{:.1}\" height=\"16\" rx=\"2\"/>\
             <path class=\"whisker\" d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {}v8M{high:.1} {}v8\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{}\">{value:.3}</text>",
            LABEL - 8.0,
            top + 12.0,
            Escaped(&short(&system.configuration.name, 18)),
            colour(at),
            x(value) - LABEL,
            middle - 4.0,
            middle - 4.0,
            high + 6.0,
            top + 12.0,
        );
    }
    svg + "</svg>"
}

/// Every query as a point: what the baseline scores to the right, what the system scores upwards. Above the diagonal the
/// system is better. Queries on one point make it larger.
pub(super) fn scatter(collection: &CollectionResult, comparison: &Comparison, baseline: &str, at: usize) -> String {
    const SIDE: f64 = 250.0;
    const LEFT: f64 = 36.0;
    let place = |value: f64| value.clamp(0.0, 1.0) * SIDE;
    let mut points: BTreeMap<(u32, u32), Vec<&str>> = BTreeMap::new();
    for delta in &comparison.deltas {
        let rounded = |value: f64| (value * 50.0).round() as u32;
        points.entry((rounded(delta.baseline), rounded(delta.system))).or_default().push(&delta.query);
    }
    let mut svg = format!(
        "<svg class=\"chart square\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"queries\">\
         <rect class=\"field\" x=\"{LEFT}\" y=\"4\" width=\"{SIDE}\" height=\"{SIDE}\"/>\
         <path class=\"diagonal\" d=\"M{LEFT} {}L{} 4\"/>",
        LEFT + SIDE + 8.0,
        SIDE + 42.0,
        SIDE + 4.0,
        LEFT + SIDE
    );
    for tick in [0.0, 0.5, 1.0] {
        let (right, down) = (LEFT + place(tick), 4.0 + SIDE - place(tick));
        _ = write!(
            svg,
            "<text class=\"tick\" x=\"{right}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>\
             <text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{tick}</text>",
            SIDE + 18.0,
            LEFT - 5.0,
            down + 4.0
        );
    }
    for ((right, up), queries) in points {
        let (x, y) = (LEFT + place(f64::from(right) / 50.0), 4.0 + SIDE - place(f64::from(up) / 50.0));
        let radius = (2.5 * (queries.len() as f64).sqrt()).min(14.0);
        let mut named: Vec<String> = queries
            .iter()
            .take(NAMED)
            .map(|query| short(collection.queries.get(*query).map_or(*query, String::as_str), NAME_CHARS))
            .collect();
        if queries.len() > NAMED {
            named.push(format!("and {} more", queries.len() - NAMED));
        }
        let values = format!("{:.2} → {:.2}", f64::from(right) / 50.0, f64::from(up) / 50.0);
        _ = write!(
            svg,
            "<circle class=\"point {}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"><title>{values}\n{}</title></circle>",
            colour(at),
            named.iter().map(|name| Escaped(name).to_string()).collect::<Vec<_>>().join("\n")
        );
    }
    _ = write!(
        svg,
        "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text class=\"label\" transform=\"translate(10 {}) rotate(-90)\" text-anchor=\"middle\">{}</text></svg>",
        LEFT + SIDE / 2.0,
        SIDE + 36.0,
        Escaped(&short(baseline, 30)),
        4.0 + SIDE / 2.0,
        Escaped(&short(&comparison.system, 30))
    );
    svg
}

/// Quality upwards, time to the right: the median as a point, up to the 95th percentile as a line.
pub(super) fn quality_and_latency(systems: &[SystemResult], metric: &Metric) -> Option<String> {
    const WIDTH: f64 = 300.0;
    const HEIGHT: f64 = 200.0;
    const LEFT: f64 = 40.0;
    let timed: Vec<_> = systems
        .iter()
        .enumerate()
        .filter_map(|(at, system)| Some((at, system, system.latency?, mean(system.scores.get(metric)?))))
        .collect();
    let longest = timed.iter().map(|(_, _, latency, _)| latency.p95_ms).fold(0.0, f64::max);
    if longest <= 0.0 {
        return None;
    }
    let end = nice_end(longest);
    // Systems lie near each other, so the axis shows the part in which they do.
    let (low, high) =
        timed.iter().fold((1.0_f64, 0.0_f64), |(low, high), (.., value)| (low.min(*value), high.max(*value)));
    let bottom = ((low - 0.05) * 10.0).floor().clamp(0.0, 9.0) / 10.0;
    let top = ((high + 0.05) * 10.0).ceil().clamp(1.0, 10.0) / 10.0;
    let x = |ms: f64| LEFT + ms / end * WIDTH;
    let y = |value: f64| 6.0 + HEIGHT * (1.0 - (value - bottom) / (top - bottom));
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"quality and latency\">\
         <rect class=\"field\" x=\"{LEFT}\" y=\"6\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>",
        LEFT + WIDTH + 90.0,
        HEIGHT + 44.0
    );
    for step in 0..=4 {
        let (ms, value) = (end * f64::from(step) / 4.0, bottom + (top - bottom) * f64::from(step) / 4.0);
        _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{ms}</text>\
             <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.2}</text>\
             <line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            x(ms),
            HEIGHT + 20.0,
            LEFT - 5.0,
            y(value) + 4.0,
            LEFT + WIDTH,
            y(value),
            y(value)
        );
    }
    let mut labels: Vec<f64> = Vec::new();
    for (at, system, latency, value) in timed {
        let (p50, p95, up) = (x(latency.p50_ms), x(latency.p95_ms), y(value));
        let mut label = up + 4.0;
        while labels.iter().any(|other| (other - label).abs() < 13.0) {
            label += 13.0;
        }
        labels.push(label);
        _ = write!(
            svg,
            "<path class=\"whisker\" d=\"M{p50:.1} {up:.1}H{p95:.1}m0 -4v8\"/>\
             <circle class=\"point solid {}\" cx=\"{p50:.1}\" cy=\"{up:.1}\" r=\"5\"/>\
             <text class=\"label named {}\" x=\"{}\" y=\"{label:.1}\">{}</text>",
            colour(at),
            colour(at),
            LEFT + WIDTH + 8.0,
            Escaped(&short(&system.configuration.name, 18))
        );
    }
    _ = write!(
        svg,
        "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">ms: median, and up to 95 of 100</text></svg>",
        LEFT + WIDTH / 2.0,
        HEIGHT + 38.0
    );
    Some(svg)
}

/// A round number, not below the value, at which an axis can end.
fn nice_end(value: f64) -> f64 {
    let magnitude = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * magnitude).find(|end| *end >= value).unwrap_or(10.0 * magnitude)
}

/// The beginning of a text.
pub(super) fn short(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [(0.7, 0.8), (1.0, 1.0), (3.2, 4.0), (17.0, 20.0), (81.0, 100.0)] {
            assert!((nice_end(value) - end).abs() < 1e-9, "{value}: {}", nice_end(value));
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(short("übermäßig", 5), "über…");
        assert_eq!(short("kurz", 5), "kurz");
    }
}
