//! Facets: how many of the matching pages share a kind, author, tag or place.
//!
//! Counted over pages that a gate lets out, with values that the caller may know: no erased person is named, and no root
//! page that the caller cannot read. Many pages are counted in portions, so that no gate holds the workspace still for
//! long. Invariant: choosing a value as a filter gives as many pages as it counts.

use std::collections::{BTreeMap, HashMap};

use access::PageOrdinal;
use schemas::api::search::{Facet, FacetCount};
use schemas::ids::UserId;
use schemas::page::PageKind;

use crate::gate::{Gate, Permit};

/// Pages to count through one gate: a few milliseconds.
pub(crate) const PORTION: usize = 4_096;

/// Counts so far.
#[derive(Debug)]
pub(crate) struct Counts<'a> {
    facets: &'a [Facet],
    kinds: HashMap<PageKind, u64>,
    authors: HashMap<UserId, u64>,
    tags: HashMap<String, u64>,
    roots: HashMap<PageOrdinal, u64>,
}

impl<'a> Counts<'a> {
    /// Nothing counted yet.
    pub(crate) fn new(facets: &'a [Facet]) -> Self {
        Self { facets, kinds: HashMap::new(), authors: HashMap::new(), tags: HashMap::new(), roots: HashMap::new() }
    }

    /// Counts the pages that the gate lets out; at most [`PORTION`] at a time.
    pub(crate) fn add(&mut self, gate: &Gate<'_>, pages: &[u32]) {
        debug_assert!(pages.len() <= PORTION, "a gate is held for a moment only");
        for permit in pages.iter().filter_map(|&page| gate.look(PageOrdinal(page))) {
            for facet in self.facets {
                match facet {
                    Facet::Type => *self.kinds.entry(permit.head().kind).or_default() += 1,
                    Facet::Author => {
                        if let Some(author) = permit.author() {
                            *self.authors.entry(author.clone()).or_default() += 1;
                        }
                    }
                    Facet::Tag => self.add_tags(permit),
                    Facet::In => *self.roots.entry(permit.root()).or_default() += 1,
                }
            }
        }
    }

    /// A filter compares tags in lower case, and counts a page once.
    fn add_tags(&mut self, permit: Permit<'_>) {
        let mut tags: Vec<String> = permit.head().tags.iter().map(|tag| tag.to_lowercase()).collect();
        tags.sort_unstable();
        tags.dedup();
        for tag in tags {
            *self.tags.entry(tag).or_default() += 1;
        }
    }

    /// The counts of each facet, largest first, then by value; at most `values_max` of each.
    pub(crate) fn finish(self, gate: &Gate<'_>, values_max: usize) -> BTreeMap<Facet, Vec<FacetCount>> {
        let Self { facets, kinds, authors, tags, roots } = self;
        let plain = |value: String, count| FacetCount { value, label: None, count };
        let rooted = |(page, count)| {
            let root = gate.crumb(page)?;
            Some(FacetCount { value: root.id.as_str().to_owned(), label: Some(root.title), count })
        };
        let counted = facets.iter().map(|&facet| {
            let counts: Vec<FacetCount> = match facet {
                Facet::Type => kinds.iter().map(|(kind, count)| plain(kind.as_str().to_owned(), *count)).collect(),
                Facet::Author => authors.iter().map(|(user, count)| plain(user.as_str().to_owned(), *count)).collect(),
                Facet::Tag => tags.iter().map(|(tag, count)| plain(tag.clone(), *count)).collect(),
                Facet::In => roots.iter().filter_map(|(page, count)| rooted((*page, *count))).collect(),
            };
            (facet, largest(counts, values_max))
        });
        counted.collect()
    }
}

fn largest(mut counts: Vec<FacetCount>, values_max: usize) -> Vec<FacetCount> {
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    counts.truncate(values_max);
    counts
}
