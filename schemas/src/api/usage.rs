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
    /// What the workspace may take today and this month, whatever days were asked for; absent where nothing bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub budget: Option<UsageBudget>,
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
    /// The day, of UTC; of days that are not told apart any more, the first of their month.
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

/// What a workspace may take of language models, and has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageBudget {
    /// Of today; absent where a day is not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub day: Option<UsageAllowance>,
    /// Of this month; absent where a month is not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub month: Option<UsageAllowance>,
}

/// Tokens, read and written together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageAllowance {
    /// How many may be taken.
    pub tokens_max: u64,
    /// How many were.
    pub tokens: u64,
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
