//! Page filters: which pages `type:`, `author:`, `in:`, `tag:`, `before:` and `after:` leave over.
//!
//! Evaluated over the heads in memory, for pages that the mask allows alone: it narrows what a caller may see and says
//! nothing about the rest. Within one field any wanted value fits and no excluded one may; days all hold; every field
//! must fit. `in:` a page that the caller cannot read fits nothing, like one that does not exist.

use access::{Caller, Mask, PageOrdinal, Purpose};
use index::catalog::WorkspaceState;
use index::records::PageHead;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use roaring::RoaringBitmap;
use schemas::api::search::Filters;
use schemas::ids::{PageId, UserId};
use schemas::page::PageKind;

use crate::parse::{Filter, ParsedQuery};

/// The filters of a request, those in its query included.
#[derive(Clone, Debug, Default)]
pub struct PageFilters {
    wanted: Values,
    excluded: Values,
    /// First moment that is too late.
    before: Option<Timestamp>,
    /// First moment that is late enough.
    after: Option<Timestamp>,
    /// Excluded spans, as `[from, until)`.
    outside: Vec<(Option<Timestamp>, Option<Timestamp>)>,
}

#[derive(Clone, Debug, Default)]
struct Values {
    kinds: Vec<PageKind>,
    authors: Vec<String>,
    within: Vec<String>,
    /// In lower case.
    tags: Vec<String>,
}

impl PageFilters {
    /// The filters of a request.
    pub fn of(query: &ParsedQuery, filters: &Filters) -> Self {
        let mut all = Self::default();
        for (filter, excluded) in query.filters() {
            all.add(filter, excluded);
        }
        let texts = |values: &[schemas::api::search::FilterText]| -> Vec<String> {
            values.iter().map(|value| value.as_str().to_owned()).collect()
        };
        all.wanted.kinds.extend(&filters.kinds);
        all.wanted.authors.extend(texts(&filters.authors));
        all.wanted.within.extend(texts(&filters.within));
        all.wanted.tags.extend(filters.tags.iter().map(|tag| tag.as_str().to_lowercase()));
        filters.before.iter().for_each(|day| all.add(&Filter::Before(*day), false));
        filters.after.iter().for_each(|day| all.add(&Filter::After(*day), false));
        all
    }

    fn add(&mut self, filter: &Filter, excluded: bool) {
        let values = if excluded { &mut self.excluded } else { &mut self.wanted };
        match filter {
            Filter::Type(kind) => values.kinds.push(*kind),
            Filter::Author(user) => values.authors.push(user.clone()),
            Filter::In(page) => values.within.push(page.clone()),
            Filter::Tag(tag) => values.tags.push(tag.to_lowercase()),
            Filter::Before(day) if excluded => self.outside.push((None, Some(day_start(*day)))),
            Filter::After(day) if excluded => self.outside.push((Some(day_start(*day)), None)),
            Filter::Before(day) => {
                let day = day_start(*day);
                self.before = Some(self.before.map_or(day, |before| before.min(day)));
            }
            Filter::After(day) => self.after = self.after.max(Some(day_start(*day))),
        }
    }

    /// True when every page fits.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
            && self.excluded.is_empty()
            && self.before.is_none()
            && self.after.is_none()
            && self.outside.is_empty()
    }

    /// Narrows a mask to the pages that fit. Costs a look at each page that it allows.
    pub fn narrow(&self, mask: Mask, state: &WorkspaceState, caller: &Caller) -> Mask {
        if self.is_empty() {
            return mask;
        }
        let mut pages: RoaringBitmap = if self.wanted.within.is_empty() {
            mask.allowed().clone()
        } else {
            mask.allowed() & subtrees(&self.wanted.within, state, caller)
        };
        pages -= subtrees(&self.excluded.within, state, caller);
        let fits = |&page: &u32| state.head(PageOrdinal(page)).is_some_and(|head| self.fits(head, state));
        let fitting = RoaringBitmap::from_sorted_iter(pages.iter().filter(fits));
        mask.narrow(&fitting.unwrap_or_default())
    }

    /// Whether a page fits, apart from where it is.
    fn fits(&self, head: &PageHead, state: &WorkspaceState) -> bool {
        let author = head.created_by.as_ref().filter(|user| state.may_name(user)).map(UserId::as_str);
        let by = |authors: &[String]| author.is_some_and(|author| authors.iter().any(|named| named == author));
        let tagged = |tags: &[String]| head.tags.iter().any(|tag| tags.contains(&tag.to_lowercase()));
        let Values { kinds, authors, tags, .. } = &self.wanted;
        let wanted = (kinds.is_empty() || kinds.contains(&head.kind))
            && (authors.is_empty() || by(authors))
            && (tags.is_empty() || tagged(tags));
        let Values { kinds, authors, tags, .. } = &self.excluded;
        wanted && !kinds.contains(&head.kind) && !by(authors) && !tagged(tags) && self.fits_days(edited_at(head))
    }

    fn fits_days(&self, edited_at: Option<Timestamp>) -> bool {
        let Some(at) = edited_at else {
            return self.before.is_none() && self.after.is_none();
        };
        let inside = |from: Option<Timestamp>, until: Option<Timestamp>| {
            from.is_none_or(|from| from <= at) && until.is_none_or(|until| at < until)
        };
        inside(self.after, self.before) && !self.outside.iter().any(|&(from, until)| inside(from, until))
    }
}

impl Values {
    fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.authors.is_empty() && self.within.is_empty() && self.tags.is_empty()
    }
}

/// When a page was changed last, as far as anyone said.
pub(crate) fn edited_at(head: &PageHead) -> Option<Timestamp> {
    head.edited_at.or(head.created_at)
}

/// The moment a day begins in UTC; days beyond what timestamps reach begin at the last or first of them.
fn day_start(day: Date) -> Timestamp {
    let beyond = if day.year() > 0 { Timestamp::MAX } else { Timestamp::MIN };
    day.to_zoned(TimeZone::UTC).map_or(beyond, |start| start.timestamp())
}

/// The named pages and all below them, as far as the caller can read the named ones.
fn subtrees(named: &[String], state: &WorkspaceState, caller: &Caller) -> RoaringBitmap {
    if named.is_empty() {
        return RoaringBitmap::new();
    }
    let readable = state.access.mask(caller, Purpose::Read);
    let trash = state.access.mask(caller, Purpose::Trash);
    let ordinals = named.iter().filter_map(|id| state.access.ordinal_of(&PageId::new(id).ok()?));
    let visible = ordinals.filter(|&page| readable.allows(page) || trash.allows(page));
    visible.map(|page| state.access.subtree(page)).fold(RoaringBitmap::new(), |all, below| all | below)
}
