//! `/v1/evaluation`: what the latest evaluation of search found, as operators are shown it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The latest evaluation: means alone. The whole report is where it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EvaluationSummary {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: jiff::Timestamp,
    /// The release that was evaluated.
    pub release: String,
    /// Where it ran.
    pub machine: String,
    /// The embedding model; absent where only words were searched, or a server was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub model_id: Option<String>,
    /// Hits that were shown to personas who may not see them. Goal: 0.
    pub leaks: u64,
    /// What was found, by collection and split.
    pub collections: Vec<EvaluatedCollection>,
    /// The request, as logs name it.
    pub request_id: String,
}

/// What was found on one split of one collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EvaluatedCollection {
    /// The collection and its split.
    pub name: String,
    /// Queries that were asked.
    pub queries: u64,
    /// The metrics, that which matters most first.
    pub metrics: Vec<String>,
    /// What was compared, the baseline first.
    pub systems: Vec<EvaluatedSystem>,
}

/// What one configuration came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EvaluatedSystem {
    /// What it is called.
    pub name: String,
    /// The mean of each metric over the queries, 0 to 1.
    pub means: BTreeMap<String, f64>,
    /// 99 of 100 requests took no longer, in milliseconds; absent where that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub p99_ms: Option<f64>,
}
