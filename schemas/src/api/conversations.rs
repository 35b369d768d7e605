//! `/v1/conversations`: what a person asked before and was answered, kept on the server.

use serde::{Deserialize, Serialize};

use super::answers::AnswerSentence;
use super::search::HighlightUnit;
use super::{Consistency, Crumb, ListObject, PageSummary};
use crate::ids::{BlockId, PageId};
use crate::version::Version;

/// Most conversations in one response.
pub const CONVERSATIONS_LIMIT_MAX: u32 = 100;
/// Conversations in one response when the request does not say.
pub const CONVERSATIONS_LIMIT_DEFAULT: u32 = 20;
/// Letters and digits of the id of a conversation.
pub const CONVERSATION_ID_CHARS: usize = 32;
/// Longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 120;

/// Conversations of the caller, the one that was gone on with last first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConversationList {
    /// Always `list`.
    pub object: ListObject,
    /// The conversations.
    pub results: Vec<ConversationSummary>,
    /// Where the list goes on; null at its end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// Whether it goes on.
    pub has_more: bool,
    /// The request, as logs name it.
    pub request_id: String,
}

/// A conversation as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConversationSummary {
    /// Its id.
    pub id: String,
    /// The beginning of its first question that is still kept.
    pub title: String,
    /// When that was answered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When its last question was answered.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
    /// How many turns are kept of it.
    pub turns: u32,
}

/// A conversation, as far as its owner may see it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Conversation {
    /// Always `conversation`.
    pub object: ConversationObject,
    /// What lists show of it.
    #[serde(flatten)]
    pub summary: ConversationSummary,
    /// Its turns, oldest first.
    #[serde(rename = "history")]
    pub turns: Vec<ConversationTurn>,
    /// Under what its sources were looked up.
    pub consistency: Consistency,
    /// The request, as logs name it.
    pub request_id: String,
}

/// The word `conversation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConversationObject {
    /// A conversation.
    #[default]
    Conversation,
}

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing, by its name in JSON")]
pub struct ConversationTurn {
    /// What was asked.
    pub question: String,
    /// When it was answered.
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
    /// True when something that the answer was made from can be seen no more: nothing is told of it then but the question. It may come
    /// back with the access, unless the page was deleted.
    pub withdrawn: bool,
    /// True when no answer was completed: it was stopped, or broke off. Nothing is kept of it but the question.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub unanswered: bool,
    /// True when something that the answer was made from was changed since.
    pub stale: bool,
    /// The answer as Markdown with markers that name sources; empty when it is withdrawn.
    pub answer: String,
    /// What it says, sentence by sentence.
    pub sentences: Vec<AnswerSentence>,
    /// What it rests on.
    pub citations: Vec<KeptCitation>,
    /// What it was made from, as it is now.
    pub sources: Vec<KeptSource>,
    /// True when nothing that the caller could see answered; `answer` says so.
    pub not_found: bool,
    /// True when no language model wrote it.
    pub extractive: bool,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub model: Option<String>,
}

/// A place that a kept answer rests on. Its text is on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeptCitation {
    /// The number of the source.
    pub source: u32,
    /// Its page.
    pub page: PageId,
    /// The block.
    pub block: BlockId,
    /// The version of the block that was read.
    #[schema(value_type = Object)]
    pub version: Version,
    /// `[start, end)` of the cited text in that version of the block, counted in `unit`.
    #[schema(value_type = Vec<u32>)]
    pub range: [u32; 2],
    /// What the range counts.
    pub unit: HighlightUnit,
}

/// A page that a kept answer was made from, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeptSource {
    /// What markers in the answer name it by, from 1.
    pub number: u32,
    /// The page.
    pub page: PageSummary,
    /// The pages above it, from the root down, as far as the caller can read them.
    pub breadcrumb: Vec<Crumb>,
    /// The blocks that were read of it.
    pub blocks: Vec<KeptBlock>,
}

/// A block that a kept answer was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeptBlock {
    /// The block.
    pub block: BlockId,
    /// The version that was read.
    #[schema(value_type = Object)]
    pub version: Version,
    /// Whether it was changed since.
    pub stale: bool,
}
