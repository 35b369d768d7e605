//! Lists without words: all pages that filters leave over, those that were changed last first.

use access::PageOrdinal;
use jiff::Timestamp;

use super::View;
use super::rank::{RankedPage, Ranking};
use crate::error::QueryError;
use crate::filter::edited_at;

/// Most pages that a list goes through, by cursors.
const LISTED_MAX: usize = 10_000;

/// The pages in the order of their last change, as far as the end of this page of the list and one more; equal ones by
/// their number. What they show is looked up only for those that are listed now.
pub(super) fn list(view: &View, offset: usize, limit: usize) -> Result<Ranking, QueryError> {
    let matching = view.mask.allowed().clone();
    let mut pages: Vec<(Option<Timestamp>, PageOrdinal)> = {
        let state = view.workspace.read();
        let dated = matching.iter().filter_map(|page| {
            let head = state.head(PageOrdinal(page)).filter(|head| !head.deleted)?;
            Some((edited_at(head), head.ordinal))
        });
        dated.collect()
    };
    let order = |a: &(Option<Timestamp>, PageOrdinal), b: &(Option<Timestamp>, PageOrdinal)| {
        b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1))
    };
    let wanted = (offset + limit + 1).min(LISTED_MAX);
    if pages.len() > wanted {
        pages.select_nth_unstable_by(wanted, order);
        pages.truncate(wanted);
    }
    pages.sort_unstable_by(order);
    let mut ranked = Vec::with_capacity(pages.len());
    for (at, (_, page)) in pages.into_iter().enumerate() {
        let failed = QueryError::index("list the passages of a page");
        let best = if (offset..offset + limit).contains(&at) {
            // They are written in order, so the lowest address is the beginning of the page.
            view.searcher.page_passages(&view.mask, page).map_err(failed)?.into_iter().min()
        } else {
            None
        };
        ranked.push(RankedPage { page, best, score: 0.0, details: None });
    }
    Ok(Ranking { pages: ranked, matching, ..Ranking::default() })
}
