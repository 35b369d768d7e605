//! `/v1/usage`: what language models took.

use serde::{Deserialize, Serialize};

use super::ListObject;
use crate::ids::WorkspaceId;

/// Most days that are summed up at once.
pub const USAGE_DAYS_MAX: i32 = 366;

/// What a workspace took of language models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageResponse {
    /// Always `list`.
    pub object: ListObject,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// First day, of UTC.
    #[schema(value_type = String, format = Date)]
    pub from: jiff::civil::Date,
    /// Last day.
    #[schema(value_type = String, format = Date)]
    pub to: jiff::civil::Date,
    /// What each user took of each model on each day, in the order of these.
    pub results: Vec<UsageLine>,
    /// All of it together.
    pub total: UsageTotals,
    /// Always null: the list has no second page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// Always false.
    pub has_more: bool,
    /// The request, as logs name it.
    pub request_id: String,
}

/// What one user took of one model on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageLine {
    /// The day, of UTC.
    #[schema(value_type = String, format = Date)]
    pub day: jiff::civil::Date,
    /// The user; empty for users who were erased, or not told apart any more because it was long ago.
    pub user: String,
    /// The model.
    pub model: String,
    /// What it was.
    #[serde(flatten)]
    pub totals: UsageTotals,
}

/// Sums of tokens and costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageTotals {
    /// Calls, those that failed too.
    pub calls: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// What they cost, in millionths of the currency of the price table.
    pub cost_micros: u64,
}
