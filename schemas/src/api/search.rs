//! `/v1/search`.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Consistency, Crumb, ListObject, PageSummary, WholeNumber};
use crate::ids::BlockId;
use crate::page::PageKind;

/// Most hits in one response.
pub const LIMIT_MAX: u32 = 100;
/// Hits in one response when the request does not say.
pub const LIMIT_DEFAULT: u32 = 20;
/// Longest query, in characters.
pub const QUERY_CHARS_MAX: usize = 1_000;
/// Longest cursor, in characters.
pub const CURSOR_CHARS_MAX: usize = 200;
/// Most values of one filter.
pub const FILTER_VALUES_MAX: usize = 100;
/// Longest value of a filter, in characters.
pub const FILTER_CHARS_MAX: usize = 200;
/// Shortest deadline a request may ask for, in milliseconds.
pub const TIMEOUT_MS_MIN: u32 = 100;
/// Longest deadline a request may ask for, in milliseconds; the server may be configured to allow less.
pub const TIMEOUT_MS_MAX: u32 = 60_000;

/// What to search for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchRequest {
    /// The query in the query language: words, `"phrases"`, `-exclusions`, `title:` `type:` `author:` `in:` `tag:`
    /// `before:` `after:`. When it holds no words, the pages that pass the filters come newest first.
    #[schema(max_length = 1000)]
    pub query: String,
    /// Which pages to consider, beside what the query itself says.
    #[serde(deserialize_with = "object")]
    #[schema(required = false)]
    pub filters: Filters,
    /// Which counts to give beside the hits.
    #[schema(max_items = 4)]
    pub facets: Vec<Facet>,
    /// Most hits to give.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 100)]
    pub limit: u32,
    /// Where to go on: the `next_cursor` of the response before. The rest of the request must be the same.
    #[schema(max_length = 200)]
    pub cursor: Option<String>,
    /// Which retrievers to use.
    #[schema(required = false)]
    pub mode: Mode,
    /// How to merge the two retrievers; the server's own choice when absent.
    #[serde(deserialize_with = "object_or_null")]
    #[schema(required = false)]
    pub fusion: Option<Fusion>,
    /// Whether each hit says how its score came about.
    pub score_details: bool,
    /// What the answering process must have read at least ("read your writes"). It waits for it until the deadline.
    #[serde(deserialize_with = "object_or_null")]
    #[schema(required = false)]
    pub at_least: Option<Consistency>,
    /// How long the answer may take, in milliseconds. A retriever that is late is left out.
    #[serde(deserialize_with = "whole_or_null")]
    #[schema(minimum = 100, maximum = 60_000)]
    pub timeout_ms: Option<u32>,
    /// Whether the last word is still being typed, so that it stands for all words that begin with it.
    pub prefix: bool,
    /// Whether to look through the trash instead: the pages in it that the caller can edit.
    pub include_trashed: bool,
}

impl Default for SearchRequest {
    fn default() -> Self {
        Self {
            query: String::new(),
            filters: Filters::default(),
            facets: Vec::new(),
            limit: LIMIT_DEFAULT,
            cursor: None,
            mode: Mode::default(),
            fusion: None,
            score_details: false,
            at_least: None,
            timeout_ms: None,
            prefix: false,
            include_trashed: false,
        }
    }
}

/// Reads an object alone: serde would take an array of the fields' values for one.
pub(super) fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let fields = serde_json::Map::deserialize(deserializer)?;
    serde_json::from_value(fields.into()).map_err(serde::de::Error::custom)
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    WholeNumber::deserialize(deserializer)?.within()
}

pub(super) fn whole_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Option::<WholeNumber>::deserialize(deserializer)?.map(WholeNumber::within).transpose()
}

pub(super) fn object_or_null<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let fields = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(deserializer)?;
    fields.map(|fields| serde_json::from_value(fields.into()).map_err(serde::de::Error::custom)).transpose()
}

/// Which retrievers to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Both, merged.
    #[default]
    Hybrid,
    /// By words alone.
    Lexical,
    /// By meaning alone.
    Semantic,
}

/// How the two retrievers are merged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fusion {
    /// The formula.
    #[serde(default)]
    #[schema(required = false)]
    pub method: FusionMethod,
    /// The share of meaning in the weighted sum, from 0 to 1. Has no effect on `rrf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub semantic_weight: Option<f32>,
}

/// The formula that merges the two retrievers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FusionMethod {
    /// A weighted sum of normalised scores.
    #[default]
    Weighted,
    /// Reciprocal rank fusion with k = 60.
    Rrf,
}

/// Which pages to consider: within one field any value fits, and every field given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filters {
    /// Kinds of pages.
    #[serde(rename = "type", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub kinds: Vec<PageKind>,
    /// Ids of the people who made the page.
    #[serde(rename = "author", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub authors: Vec<FilterText>,
    /// Ids of pages or teamspaces: the page itself or one above it.
    #[serde(rename = "in", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub within: Vec<FilterText>,
    /// Tags, whatever their case.
    #[serde(rename = "tag", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub tags: Vec<FilterText>,
    /// Changed last before this day began, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date, pattern = r"^\d{4}-\d{2}-\d{2}$")]
    pub before: Option<jiff::civil::Date>,
    /// Changed last on this day or later, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date, pattern = r"^\d{4}-\d{2}-\d{2}$")]
    pub after: Option<jiff::civil::Date>,
}

/// One value of a filter, 1 to 200 characters. An id that does not exist, or not for the caller, fits no page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 200)]
pub struct FilterText(String);

impl FilterText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FilterText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().count() {
            1..=FILTER_CHARS_MAX => Ok(Self(text)),
            chars => Err(format!("a filter's value has 1 to {FILTER_CHARS_MAX} characters, this one has {chars}")),
        }
    }
}

impl From<FilterText> for String {
    fn from(text: FilterText) -> Self {
        text.0
    }
}

/// What can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Facet {
    /// Kinds of pages.
    Type,
    /// People who made the page.
    Author,
    /// Tags.
    Tag,
    /// The teamspaces or pages at the root of the workspace that the pages are in.
    In,
}

/// How many matching pages share one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FacetCount {
    /// The value, as a filter of the same name takes it.
    pub value: String,
    /// How to show it, where that differs: the title of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Matching pages that the caller can find.
    pub count: u64,
}

/// What was left out or came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Degraded {
    /// Retrieval by words.
    Lexical,
    /// Retrieval by meaning.
    Semantic,
    /// The counts.
    Facets,
}

/// The answer to a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SearchResponse {
    /// Always `list`.
    pub object: ListObject,
    /// The hits, best first; one per page.
    pub results: Vec<Hit>,
    /// Where to go on; null at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// Whether there is more.
    pub has_more: bool,
    /// What was down or late and therefore left out; empty when all went well.
    pub degraded: Vec<Degraded>,
    /// True while passages that the caller can find are not searchable by meaning yet.
    pub semantic_pending: bool,
    /// What had been read when this was answered.
    pub consistency: Consistency,
    /// The counts that were asked for, largest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub facets: BTreeMap<Facet, Vec<FacetCount>>,
    /// True when words were taken for similar ones, since the exact ones found too little.
    pub typos_forgiven: bool,
    /// What `POST /v1/feedback` names this list by, on a server that records feedback. All pages of a list have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub tracking_id: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The request, as logs name it.
    pub request_id: String,
}

/// One page that answers the query, with the passage that answers it best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hit {
    /// The page.
    pub page: PageSummary,
    /// The block that the snippet begins in; absent when only the title fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockId>,
    /// The pages above it, from the root down, as far as the caller can read them.
    pub breadcrumb: Vec<Crumb>,
    /// The headings that the passage stands under, outermost first.
    pub headings: Vec<String>,
    /// An excerpt.
    pub snippet: Snippet,
    /// How well it fits. Comparable within one response only.
    pub score: f32,
    /// How the score came about, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_details: Option<ScoreDetails>,
}

/// An excerpt of a passage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Snippet {
    /// The text, on one line.
    pub text: String,
    /// What fits the query: `[start, end)` in `text`, ascending, counted in `unit`.
    #[schema(value_type = Vec<Vec<u32>>)]
    pub highlights: Vec<[u32; 2]>,
    /// What the ranges count.
    pub unit: HighlightUnit,
}

/// What highlight ranges count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HighlightUnit {
    /// UTF-16 code units: what `String.prototype.slice` takes in a browser.
    #[default]
    Utf16CodeUnits,
}

/// How a score came about. Scales differ; see the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScoreDetails {
    /// BM25 of the passage, from 0; absent when no word fits or the retriever was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bm25_score: Option<f32>,
    /// Cosine of query and passage, -1 to 1; absent without a vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f32>,
    /// Rank among the lexical candidates, counted from 1; absent when it was not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical_rank: Option<u32>,
    /// Rank among the semantic candidates, counted from 1; absent when it was not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semantic_rank: Option<u32>,
    /// BM25 of the whole page as one text, from 0; absent when the lexical retriever was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_bm25_score: Option<f32>,
    /// Cosine of query and title, -1 to 1; absent for a title without a vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title_cosine: Option<f32>,
    /// After fusion, 0 to 1.
    pub fused_score: f32,
    /// What the title added.
    pub title_boost: f32,
    /// What the nearness of the words added.
    pub proximity_boost: f32,
    /// What the age of the page added.
    pub recency_boost: f32,
    /// What further passages of the page added.
    pub passages_boost: f32,
    /// What the pages that it is most like among the best added; less than zero where theirs are lower.
    pub neighbours_boost: f32,
    /// Passages of the page among the candidates.
    pub passages: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_object_is_a_search_with_the_defaults() {
        assert_eq!(serde_json::from_str::<SearchRequest>("{}").unwrap(), SearchRequest::default());
    }

    #[test]
    fn unknown_fields_are_refused_at_every_depth() {
        for json in [r#"{"q": "x"}"#, r#"{"filters": {"kind": ["page"]}}"#, r#"{"fusion": {"k": 60}}"#] {
            let error = serde_json::from_str::<SearchRequest>(json).unwrap_err();
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn an_array_is_not_taken_for_an_object() {
        for json in [r#"{"filters": []}"#, r#"{"fusion": ["rrf"]}"#, r#"{"at_least": [1, 2]}"#] {
            assert!(serde_json::from_str::<SearchRequest>(json).is_err(), "{json}");
        }
        let null = serde_json::from_str::<SearchRequest>(r#"{"fusion": null, "at_least": null}"#).unwrap();
        assert_eq!(null, SearchRequest::default());
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
        let request: SearchRequest = serde_json::from_str(r#"{"limit": 5.0, "at_least": {"index_seq": 2.0}}"#).unwrap();
        assert_eq!((request.limit, request.at_least.unwrap().index_seq), (5, 2));
        for json in [r#"{"limit": 5.5}"#, r#"{"limit": -1}"#, r#"{"limit": 4294967296}"#, r#"{"timeout_ms": 1e99}"#] {
            assert!(serde_json::from_str::<SearchRequest>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn filters_are_named_as_in_the_query_language() {
        let json = r#"{"filters": {"type": ["row"], "in": ["eng"], "tag": ["a b"], "author": ["ada"], "after": "2026-03-01"}}"#;
        let request: SearchRequest = serde_json::from_str(json).unwrap();
        assert_eq!(request.filters.kinds, [PageKind::Row]);
        assert_eq!(request.filters.after, Some(jiff::civil::date(2026, 3, 1)));
    }
}
