//! `/v1/suggest` and `/v1/similar`.

use serde::{Deserialize, Serialize};

use super::search::Degraded;
use super::{Consistency, Crumb, ListObject, PageSummary};

/// Titles and words that begin as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SuggestResponse {
    /// Always `list`.
    pub object: ListObject,
    /// Pages first, then words.
    pub results: Vec<Suggestion>,
    /// Always null: suggestions have no second page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// Always false.
    pub has_more: bool,
    /// What had been read when this was answered.
    pub consistency: Consistency,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The request, as logs name it.
    pub request_id: String,
}

/// One suggestion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Suggestion {
    /// A page whose title fits.
    Page {
        /// The page.
        page: PageSummary,
        /// The pages above it that the caller can read, from the root down.
        breadcrumb: Vec<Crumb>,
    },
    /// A word that stands in pages the caller can find.
    Term {
        /// The word.
        text: String,
    },
}

/// Pages that are about the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SimilarResponse {
    /// Always `list`.
    pub object: ListObject,
    /// The pages, most similar first.
    pub results: Vec<SimilarPage>,
    /// Always null: the list has no second page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// Always false.
    pub has_more: bool,
    /// `semantic` when meaning could not be compared and words were instead.
    pub degraded: Vec<Degraded>,
    /// What had been read when this was answered.
    pub consistency: Consistency,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The request, as logs name it.
    pub request_id: String,
}

/// One page that is about the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SimilarPage {
    /// The page.
    pub page: PageSummary,
    /// The pages above it that the caller can read, from the root down.
    pub breadcrumb: Vec<Crumb>,
    /// How similar it is. Comparable within one response only.
    pub score: f32,
}
