//! Bodies of the HTTP API: what a request may say and what a response holds.
//!
//! Shapes only: bounds that depend on configuration are checked where the request is handled. Requests refuse unknown
//! fields; responses may gain fields, so readers ignore those they do not know. Times are RFC 3339 in UTC.

pub mod answers;
pub mod conversations;
pub mod erasures;
pub mod evaluation;
pub mod events;
pub mod feedback;
pub mod generate;
pub mod openai;
pub mod operate;
pub mod pages;
pub mod search;
pub mod session;
pub mod suggest;
pub mod usage;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{PageId, UserId};
use crate::page::PageKind;

/// The word `list`: what every list envelope says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListObject {
    /// A list envelope.
    #[default]
    List,
}

/// How far the answering process had read the streams of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Number of the commit that was searched.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 9_007_199_254_740_991_u64, required = false)]
    pub index_seq: u64,
    /// Number of the last change of access that was heeded, in this workspace.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 9_007_199_254_740_991_u64, required = false)]
    pub access_seq: u64,
}

/// A number that is whole in the sense of JSON Schema: `5` or `5.0`.
#[derive(Deserialize)]
#[serde(untagged)]
enum WholeNumber {
    Integer(u64),
    Float(f64),
}

impl WholeNumber {
    /// The number, if it is whole and in range.
    fn within<T: TryFrom<u64>, E: serde::de::Error>(self) -> Result<T, E> {
        const FLOAT_MAX: f64 = 9_007_199_254_740_991.0;
        let whole = match self {
            Self::Integer(number) => Some(number),
            Self::Float(number) => {
                (number.fract() == 0.0 && (0.0..=FLOAT_MAX).contains(&number)).then_some(number as u64)
            }
        };
        whole.and_then(|number| T::try_from(number).ok()).ok_or_else(|| E::custom("expected a whole number in range"))
    }
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    WholeNumber::deserialize(deserializer)?.within()
}

/// A page as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PageSummary {
    /// Its id.
    pub id: PageId,
    /// Its title; empty when it has none.
    pub title: String,
    /// Its icon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// What kind of page it is.
    pub kind: PageKind,
    /// Where people open it, when the server was told how addresses are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<jiff::Timestamp>,
    /// Who changed it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_by: Option<UserId>,
    /// When it was changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub edited_at: Option<jiff::Timestamp>,
    /// True when it is in the trash; only those who can edit it are shown it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub trashed: bool,
}

/// A page above another one. Only those that the caller can read are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Crumb {
    /// Its id.
    pub id: PageId,
    /// Its title.
    pub title: String,
}
