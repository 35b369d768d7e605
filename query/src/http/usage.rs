//! `/v1/usage`: what language models took, from the ledger. For administrators of a workspace, and of that workspace alone.

use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use models::generate::{Ledger, Totals};
use schemas::api::ListObject;
use schemas::api::usage::{USAGE_DAYS_MAX, UsageAllowance, UsageBudget, UsageLine, UsageResponse, UsageTotals};
use serde::Deserialize;

use super::App;
use super::auth::Identity;
use super::extract::{ApiQuery, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::problem::ApiError;
use crate::audit::act::{Kind, What};

/// Days that are summed up when the request names none.
const DAYS_DEFAULT: i32 = 30;

/// Which days.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageParams {
    /// First day, of UTC; 29 days before the last one.
    #[param(value_type = Option<String>, format = Date, pattern = r"^\d{4}-\d{2}-\d{2}$")]
    from: Option<Date>,
    /// Last day, of UTC; today.
    #[param(value_type = Option<String>, format = Date, pattern = r"^\d{4}-\d{2}-\d{2}$")]
    to: Option<Date>,
}

/// Says what a workspace took of language models, by day, user and model. For administrators.
#[utoipa::path(
    get, path = "/v1/usage", tag = "operate",
    params(UsageParams, CallerHeaders),
    responses((status = 200, description = "What it took.", body = UsageResponse), Always),
)]
pub(super) async fn usage(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(UsageParams { from, to }): ApiQuery<UsageParams>,
) -> Result<Json<UsageResponse>, ApiError> {
    let workspace = identity.administered()?.clone();
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let to = to.unwrap_or(today);
    let from = from.unwrap_or_else(|| to.saturating_sub((DAYS_DEFAULT - 1).days()));
    let too_long = from.saturating_add(USAGE_DAYS_MAX.days()) <= to;
    if from > to || too_long {
        return Err(ApiError::field(
            "from",
            format!("must be at most {USAGE_DAYS_MAX} days up to `to`, and not after it"),
        ));
    }
    let what = What::new(Kind::UsageRead).within(&workspace);
    app.note(&identity, &request_id, what.noting("from", from.to_string()).noting("to", to.to_string()))?;
    // Where there never was a language model there is no ledger, and nothing was taken.
    let sums = app.usage().map(|ledger| ledger.usage(workspace.as_str(), from..=to)).unwrap_or_default();
    let mut total = Totals::default();
    for sum in &sums {
        total.add(&sum.totals);
    }
    let line = |sum: models::generate::Sum| UsageLine {
        day: sum.day,
        user: sum.user,
        model: sum.model,
        totals: shown(sum.totals),
    };
    let budget = budget(&app, workspace.as_str(), today);
    Ok(Json(UsageResponse {
        object: ListObject::List,
        workspace,
        budget,
        from,
        to,
        results: sums.into_iter().map(line).collect(),
        total: shown(total),
        next_cursor: None,
        has_more: false,
        request_id,
    }))
}

/// What the workspace may take, as far as that is bounded.
fn budget(app: &App, workspace: &str, today: Date) -> Option<UsageBudget> {
    let bounds = &app.0.budgets;
    let allowance = |tokens_max: u64, from: Date| {
        (tokens_max > 0).then(|| {
            let sums = app.usage().map(|ledger: &Ledger| ledger.usage(workspace, from..=today)).unwrap_or_default();
            let tokens = sums.iter().map(|sum| sum.totals.prompt_tokens + sum.totals.completion_tokens).sum();
            UsageAllowance { tokens_max, tokens }
        })
    };
    let day = allowance(bounds.workspace_tokens_per_day, today);
    let month = allowance(bounds.workspace_tokens_per_month, today.first_of_month());
    (day.is_some() || month.is_some()).then_some(UsageBudget { day, month })
}

fn shown(totals: Totals) -> UsageTotals {
    let Totals { calls, prompt_tokens, completion_tokens, cost_micros } = totals;
    UsageTotals { calls, prompt_tokens, completion_tokens, cost_micros }
}
