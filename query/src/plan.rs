//! A request, checked and made ready: what to look for, where, and how much of it to give.
//!
//! Pure. Invariant: a plan is within every bound, so later stages check none.

use access::{Caller, Purpose, Subject};
use schemas::api::Consistency;
use schemas::api::search::{
    FILTER_VALUES_MAX, Facet, FusionMethod, LIMIT_MAX, Mode, QUERY_CHARS_MAX, SearchRequest, TIMEOUT_MS_MAX,
    TIMEOUT_MS_MIN,
};

use crate::config::Config;
use crate::cursor::{Cursor, RequestHash};
use crate::error::QueryError;
use crate::feedback::ListId;
use crate::filter::PageFilters;
use crate::parse::ParsedQuery;
use crate::trace;

/// A search that can be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to look for.
    pub query: ParsedQuery,
    /// Which pages to consider.
    pub filters: PageFilters,
    /// What the pages are wanted for.
    pub purpose: Purpose,
    /// Which retrievers to use.
    pub mode: Mode,
    /// How to merge them.
    pub fusion: FusionMethod,
    /// The share of meaning.
    pub semantic_weight: f32,
    /// Whether the last word stands for all that begin with it.
    pub prefix: bool,
    /// Pages to leave out at the top: they were listed before.
    pub offset: usize,
    /// The state under which those were listed.
    pub listed_under: Option<Consistency>,
    /// The list that is gone on with, where feedback on it is recorded.
    pub list: Option<ListId>,
    /// Most pages to list.
    pub limit: usize,
    /// What to count, each once.
    pub facets: Vec<Facet>,
    /// Whether to say how scores came about.
    pub score_details: bool,
    /// What must have been read at least.
    pub at_least: Consistency,
    /// What cursors of this request are bound to.
    pub hash: RequestHash,
}

impl Plan {
    /// Checks a request.
    pub fn of(caller: &Caller, request: &SearchRequest, config: &Config) -> Result<Self, QueryError> {
        let _parsing = trace::part("parse").entered();
        check(request)?;
        let hash = request_hash(caller, request);
        let read = |cursor: &String| Cursor::decode(cursor, &hash).ok_or(QueryError::InvalidCursor);
        let cursor = request.cursor.as_ref().map(read).transpose()?;
        let query = ParsedQuery::parse(&request.query);
        let mut facets = request.facets.clone();
        facets.sort_unstable();
        facets.dedup();
        Ok(Self {
            filters: PageFilters::of(&query, &request.filters),
            query,
            purpose: if request.include_trashed { Purpose::Trash } else { Purpose::Discover },
            mode: request.mode,
            fusion: request.fusion.map_or(config.fusion, |fusion| fusion.method),
            semantic_weight: request.fusion.and_then(|f| f.semantic_weight).unwrap_or(config.semantic_weight),
            prefix: request.prefix,
            offset: cursor.map_or(0, |cursor| cursor.offset as usize),
            listed_under: cursor.map(|cursor| cursor.consistency),
            list: cursor.and_then(|cursor| cursor.list),
            limit: request.limit as usize,
            facets,
            score_details: request.score_details,
            at_least: request.at_least.unwrap_or_default(),
            hash,
        })
    }
}

fn check(request: &SearchRequest) -> Result<(), QueryError> {
    let rule = |holds: bool, field, reason: &dyn Fn() -> String| {
        if holds { Ok(()) } else { Err(QueryError::InvalidRequest { field, reason: reason() }) }
    };
    let chars = request.query.chars().count();
    rule(chars <= QUERY_CHARS_MAX, "query", &|| {
        format!("must have at most {QUERY_CHARS_MAX} characters, it has {chars}")
    })?;
    let limit = request.limit;
    rule((1..=LIMIT_MAX).contains(&limit), "limit", &|| format!("must be from 1 to {LIMIT_MAX}, it is {limit}"))?;
    let timeouts = TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX;
    let in_time = request.timeout_ms.is_none_or(|ms| timeouts.contains(&ms));
    rule(in_time, "timeout_ms", &|| format!("must be from {TIMEOUT_MS_MIN} to {TIMEOUT_MS_MAX}"))?;
    rule(request.facets.len() <= 4, "facets", &|| "must have at most 4 items".to_owned())?;
    let filters = &request.filters;
    for (field, values) in [
        ("filters.type", filters.kinds.len()),
        ("filters.author", filters.authors.len()),
        ("filters.in", filters.within.len()),
        ("filters.tag", filters.tags.len()),
    ] {
        rule(values <= FILTER_VALUES_MAX, field, &|| format!("must have at most {FILTER_VALUES_MAX} values"))?;
    }
    let weight = request.fusion.and_then(|fusion| fusion.semantic_weight).unwrap_or(0.0);
    rule((0.0..=1.0).contains(&weight), "fusion.semantic_weight", &|| "must be from 0 to 1".to_owned())
}

/// All that decides what is listed and in which order, the size of a page not included: it may change from one page of
/// the list to the next.
fn request_hash(caller: &Caller, request: &SearchRequest) -> RequestHash {
    let subject = match &caller.subject {
        Subject::User(user) => user.as_str(),
        // No id is empty.
        Subject::Anonymous => "",
    };
    let listed = SearchRequest {
        cursor: None,
        limit: 1,
        facets: Vec::new(),
        score_details: false,
        at_least: None,
        timeout_ms: None,
        ..request.clone()
    };
    let listed = serde_json::to_vec(&listed).expect("the fields of a request are text, numbers and lists of them");
    RequestHash::of([caller.workspace.as_str().as_bytes(), subject.as_bytes(), &listed])
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::api::search::Fusion;
    use schemas::ids::{UserId, WorkspaceId};

    fn caller(user: &str) -> Caller {
        let subject = Subject::User(UserId::new(user).unwrap());
        Caller { workspace: WorkspaceId::new("acme").unwrap(), subject }
    }

    #[track_caller]
    fn refused(request: &SearchRequest) -> &'static str {
        match Plan::of(&caller("ada"), request, &Config::default()) {
            Err(QueryError::InvalidRequest { field, .. }) => field,
            other => panic!("expected a refusal of a field, got {other:?}"),
        }
    }

    #[test]
    fn what_breaks_a_bound_is_named() {
        assert_eq!(refused(&SearchRequest { query: "é".repeat(1001), ..SearchRequest::default() }), "query");
        assert_eq!(refused(&SearchRequest { limit: 0, ..SearchRequest::default() }), "limit");
        assert_eq!(refused(&SearchRequest { limit: 101, ..SearchRequest::default() }), "limit");
        assert_eq!(refused(&SearchRequest { timeout_ms: Some(1), ..SearchRequest::default() }), "timeout_ms");
        let fusion = Some(Fusion { method: FusionMethod::Weighted, semantic_weight: Some(f32::NAN) });
        assert_eq!(refused(&SearchRequest { fusion, ..SearchRequest::default() }), "fusion.semantic_weight");
        let kinds = vec![schemas::page::PageKind::Page; 101];
        let filters = schemas::api::search::Filters { kinds, ..schemas::api::search::Filters::default() };
        assert_eq!(refused(&SearchRequest { filters, ..SearchRequest::default() }), "filters.type");
    }

    #[test]
    fn a_cursor_goes_on_with_another_limit_but_not_for_another_query_or_caller() {
        let request = SearchRequest { query: "deploy".into(), ..SearchRequest::default() };
        let plan = Plan::of(&caller("ada"), &request, &Config::default()).unwrap();
        let cursor = Cursor { offset: 20, consistency: Consistency::default(), list: None };
        let cursor = Some(cursor.encode(&plan.hash));
        let next = SearchRequest { cursor: cursor.clone(), limit: 5, ..request.clone() };
        assert_eq!(Plan::of(&caller("ada"), &next, &Config::default()).unwrap().offset, 20);
        assert!(matches!(Plan::of(&caller("bob"), &next, &Config::default()), Err(QueryError::InvalidCursor)));
        let other = SearchRequest { query: "deployed".into(), cursor, ..request };
        assert!(matches!(Plan::of(&caller("ada"), &other, &Config::default()), Err(QueryError::InvalidCursor)));
    }
}
