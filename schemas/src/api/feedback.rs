//! `/v1/feedback`: what people did with the hits of a search.

use serde::{Deserialize, Deserializer, Serialize};

use super::WholeNumber;
use crate::ids::PageId;

/// Most events in one request.
pub const FEEDBACK_EVENTS_MAX: usize = 100;
/// Letters and digits of a tracking id.
pub const TRACKING_ID_CHARS: usize = 64;
/// Largest place in a list.
pub const FEEDBACK_RANK_MAX: u32 = 10_000;
/// Longest time on a page, in milliseconds: a day.
pub const DWELL_MS_MAX: u32 = 86_400_000;

/// What people did with the hits of one search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedbackRequest {
    /// The `tracking_id` of the response that showed the hits. One of another caller, an old one and one that never was
    /// are answered alike.
    #[schema(max_length = 64)]
    pub tracking_id: String,
    /// What was done. Sending an event again changes nothing.
    #[schema(min_items = 1, max_items = 100)]
    pub events: Vec<FeedbackEvent>,
}

/// One thing that was done with one hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedbackEvent {
    /// What was done.
    #[serde(rename = "type")]
    pub kind: FeedbackKind,
    /// The page of the hit. It must have been shown under the tracking id, and the caller must still be able to read it.
    pub page: PageId,
    /// Where the hit stood, counted from 1 over all pages of the list, if the product shows it elsewhere than the
    /// response did.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub rank: Option<u32>,
    /// How long the page was looked at, in milliseconds. For `dwell` alone, which must say it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole_or_null")]
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub dwell_ms: Option<u32>,
    /// When it was done; now, when absent or in the future. Kept to the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<jiff::Timestamp>,
}

fn whole_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Option::<WholeNumber>::deserialize(deserializer)?.map(WholeNumber::within).transpose()
}

/// What can be done with a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedbackKind {
    /// It was clicked.
    Click,
    /// Its page was opened otherwise, as in a new tab or from a preview.
    Open,
    /// Its page was left again after some time.
    Dwell,
    /// It was said to help.
    Helpful,
    /// It was said not to help.
    NotHelpful,
}

/// The answer to feedback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedbackResponse {
    /// Events that were taken, those sent before included.
    pub accepted: u64,
    /// The request, as logs name it.
    pub request_id: String,
}
