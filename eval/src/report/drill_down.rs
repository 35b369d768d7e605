//! Single queries: what each system found, what the judgments say of it, and how its score came about.

use std::fmt::Write;

use schemas::api::search::ScoreDetails;

use super::charts::{colour, short};
use super::escape::{Escaped, Marked};
use crate::evaluation::{CollectionResult, JudgedHit, SystemResult};
use crate::metrics::Metric;

/// The queries whose hits were kept, each folded up with its hits by system.
pub(super) fn drill_down(page: &mut String, collection: &CollectionResult, metric: &Metric) {
    let mut shown: Vec<&String> = collection.relevant.keys().collect();
    if shown.is_empty() {
        return;
    }
    let value = |query: &str, system: &SystemResult| {
        system.scores.get(metric).and_then(|scores| scores.get(query)).copied().unwrap_or_default()
    };
    let first = &collection.systems[0];
    shown.sort_by(|one, other| value(one, first).total_cmp(&value(other, first)));
    _ = write!(
        page,
        "<h3>Queries worth a look</h3><p class=\"soft small\">Those that change most, then those that the first system answers \
         worst. {} of {}.</p>",
        shown.len(),
        collection.queries.len()
    );
    for query in shown {
        let text = collection.queries.get(query).map_or(query.as_str(), String::as_str);
        _ = write!(page, "<details><summary><span class=\"text\">{}</span>", Escaped(&short(text, 300)));
        for (at, system) in collection.systems.iter().enumerate() {
            let value = value(query, system);
            _ = write!(page, "<span class=\"small\"><span class=\"dot {}\"></span>{value:.2}</span>", colour(at));
        }
        page.push_str("</summary>");
        relevant(page, collection, query);
        page.push_str("<div class=\"columns\">");
        for (at, system) in collection.systems.iter().enumerate() {
            let name = Escaped(&system.configuration.name);
            _ = write!(page, "<div><p class=\"small\"><span class=\"dot {}\"></span>{name}</p>", colour(at));
            let hits = system.hits.get(query).map(Vec::as_slice).unwrap_or_default();
            if hits.is_empty() {
                page.push_str("<p class=\"soft\">nothing found</p>");
            }
            hits.iter().enumerate().for_each(|(rank, found)| hit(page, rank + 1, found));
            page.push_str("</div>");
        }
        page.push_str("</div></details>");
    }
}

fn relevant(page: &mut String, collection: &CollectionResult, query: &str) {
    const LISTED: usize = 10;
    let Some(judged) = collection.relevant.get(query) else { return };
    let named =
        judged.iter().take(LISTED).map(|(document, grade)| format!("{} ({grade})", Escaped(&short(document, 80))));
    let more = judged.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    _ = write!(
        page,
        "<p class=\"small soft\">{} · relevant: {}{more}</p>",
        Escaped(query),
        named.collect::<Vec<_>>().join(", ")
    );
}

fn hit(page: &mut String, rank: usize, hit: &JudgedHit) {
    let grade = match hit.grade {
        Some(grade) if grade > 0 => format!("<span class=\"grade\">{grade}</span>"),
        Some(grade) => format!("<span class=\"grade none\">{grade}</span>"),
        None => "<span class=\"grade none\">unjudged</span>".to_owned(),
    };
    let headings = hit.headings.iter().map(|heading| Escaped(heading).to_string()).collect::<Vec<_>>().join(" › ");
    _ = write!(
        page,
        "<div class=\"hit\"><div><span class=\"soft\">{rank}.</span> <span class=\"title\">{}</span> {grade}</div>\
         <div class=\"small soft\">{}</div><div class=\"snippet\">{}</div><div class=\"why\">{}</div></div>",
        Escaped(&name(hit)),
        headings,
        Marked(&hit.snippet),
        why(hit)
    );
}

/// How the score came about, in one line.
fn why(hit: &JudgedHit) -> String {
    let mut line = format!("{} · score {:.3}", Escaped(&hit.document), hit.score);
    let Some(ScoreDetails {
        bm25_score,
        cosine,
        lexical_rank,
        semantic_rank,
        fused_score,
        title_boost,
        proximity_boost,
        recency_boost,
        passages_boost,
        ..
    }) = hit.score_details
    else {
        return line;
    };
    _ = write!(line, " = {fused_score:.3} fused");
    for (name, value) in [
        ("title", title_boost),
        ("nearness", proximity_boost),
        ("recency", recency_boost),
        ("more passages", passages_boost),
    ] {
        if value != 0.0 {
            _ = write!(line, " {value:+.3} {name}");
        }
    }
    let rank = |rank: Option<u32>| rank.map_or_else(|| "–".to_owned(), |rank| format!("#{rank}"));
    if let Some(score) = bm25_score {
        _ = write!(line, " · BM25 {score:.2} ({})", rank(lexical_rank));
    }
    if let Some(cosine) = cosine {
        _ = write!(line, " · cosine {cosine:.3} ({})", rank(semantic_rank));
    }
    line
}

/// What a hit is called: its title, or else its document.
pub(super) fn name(hit: &JudgedHit) -> String {
    if hit.title.is_empty() { hit.document.clone() } else { hit.title.clone() }
}
