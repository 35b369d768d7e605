//! `/v1/pages/{id}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Consistency, Crumb, PageSummary};
use crate::block::BlockContent;
use crate::ids::{BlockId, PageId};
use crate::page::PropertyValue;

/// A page with its blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PageView {
    /// Always `page`.
    pub object: PageObject,
    /// What lists show of it.
    pub page: PageSummary,
    /// The page above it, if the caller can read that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<PageId>,
    /// The pages above it, from the root down, as far as the caller can read them.
    pub breadcrumb: Vec<Crumb>,
    /// Its properties by name.
    pub properties: BTreeMap<String, PropertyValue>,
    /// Its blocks in reading order.
    pub blocks: Vec<BlockView>,
    /// What had been read when this was answered.
    pub consistency: Consistency,
    /// The request, as logs name it.
    pub request_id: String,
}

/// The word `page`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PageObject {
    /// A page.
    #[default]
    Page,
}

/// One block of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BlockView {
    /// Its id.
    pub id: BlockId,
    /// How deep it is nested in other blocks; 0 at the top of the page.
    pub depth: u32,
    /// Its type and content.
    pub content: BlockContent,
    /// Its text without style.
    pub text: String,
}
