//! Facets: how many of the matching pages share a kind, author, tag or place.
//!
//! Counted over pages that the gate lets out now, with values that the caller may know: no erased person is named, and
//! no root page that the caller cannot read. Invariant: choosing a value as a filter gives as many pages as it counts.

use std::collections::{BTreeMap, HashMap};

use access::PageOrdinal;
use roaring::RoaringBitmap;
use schemas::api::search::{Facet, FacetCount};
use schemas::ids::PageId;

use crate::gate::Gate;

/// Counts the values of each facet, largest count first, then by value; at most `values_max` of each.
pub(crate) fn count(
    gate: &Gate<'_>,
    pages: &RoaringBitmap,
    facets: &[Facet],
    values_max: usize,
) -> BTreeMap<Facet, Vec<FacetCount>> {
    if facets.is_empty() {
        return BTreeMap::new();
    }
    let mut kinds: HashMap<&str, u64> = HashMap::new();
    let mut authors: HashMap<&str, u64> = HashMap::new();
    let mut tags: HashMap<String, u64> = HashMap::new();
    let mut roots: HashMap<PageId, (String, u64)> = HashMap::new();
    let wants = |facet| facets.contains(&facet);
    for permit in pages.iter().filter_map(|page| gate.look(PageOrdinal(page))) {
        let head = permit.head();
        *kinds.entry(head.kind.as_str()).or_default() += 1;
        if let Some(author) = permit.author().filter(|_| wants(Facet::Author)) {
            *authors.entry(author.as_str()).or_default() += 1;
        }
        if wants(Facet::Tag) {
            // A filter compares tags in lower case, and counts a page once.
            let mut of_page: Vec<String> = head.tags.iter().map(|tag| tag.to_lowercase()).collect();
            of_page.sort_unstable();
            of_page.dedup();
            for tag in of_page {
                *tags.entry(tag).or_default() += 1;
            }
        }
        if let Some(root) = wants(Facet::In).then(|| permit.root()).flatten() {
            roots.entry(root.id).or_insert((root.title, 0)).1 += 1;
        }
    }
    let plain = |value: &str, count| FacetCount { value: value.to_owned(), label: None, count };
    let rooted = |(id, (title, count)): (PageId, (String, u64))| FacetCount {
        value: id.as_str().to_owned(),
        label: Some(title),
        count,
    };
    let counted = facets.iter().map(|&facet| {
        let counts: Vec<FacetCount> = match facet {
            Facet::Type => kinds.iter().map(|(value, count)| plain(value, *count)).collect(),
            Facet::Author => authors.iter().map(|(value, count)| plain(value, *count)).collect(),
            Facet::Tag => tags.iter().map(|(value, count)| plain(value, *count)).collect(),
            Facet::In => std::mem::take(&mut roots).into_iter().map(rooted).collect(),
        };
        (facet, largest(counts, values_max))
    });
    counted.collect()
}

fn largest(mut counts: Vec<FacetCount>, values_max: usize) -> Vec<FacetCount> {
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    counts.truncate(values_max);
    counts
}
