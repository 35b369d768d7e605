//! A page by its id.

use access::{Caller, Purpose};
use schemas::api::Consistency;
use schemas::api::pages::{BlockView, PageObject, PageView};
use schemas::ids::PageId;

use super::Engine;
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::gate::Held;

impl Engine {
    /// Opens a page.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] when there is no such page, and just the same when the caller may not read it.
    ///
    /// Cancel safety: safe.
    pub async fn page(&self, caller: &Caller, page: &PageId, deadline: Deadline) -> Result<PageView, QueryError> {
        let view = self.view(caller, Purpose::Read).ok_or(QueryError::NotFound)?;
        let (engine, page) = (self.clone(), page.clone());
        let work = move || {
            let ordinal = view.workspace.read().access.ordinal_of(&page).ok_or(QueryError::NotFound)?;
            let failed = QueryError::index("read a page");
            let record = view.searcher.page_record(&view.mask, ordinal).map_err(failed)?;
            let record = record.ok_or(QueryError::NotFound)?;
            let properties = record.properties.iter();
            let properties =
                properties.filter_map(|(name, value)| Some((name.clone(), value.value()?.clone()?))).collect();
            let blocks: Vec<BlockView> = record
                .blocks_in_order(&page)
                .into_iter()
                .map(|(id, content, depth)| BlockView {
                    id: id.clone(),
                    depth: depth as u32,
                    text: content.plain_text(),
                    content: content.clone(),
                })
                .collect();
            let held = Held::new(ordinal, (properties, blocks));
            let gate = engine.gate(&view);
            let permit = gate.permit(ordinal).ok_or(QueryError::NotFound)?;
            let (properties, blocks) = held.let_out(permit).ok_or(QueryError::NotFound)?;
            Ok(PageView {
                object: PageObject::Page,
                page: permit.summary(),
                parent: permit.parent().map(|parent| parent.id),
                breadcrumb: permit.breadcrumb(),
                properties,
                blocks,
                consistency: Consistency { index_seq: view.searcher.index_seq(), access_seq: gate.access_seq() },
                request_id: String::new(),
            })
        };
        self.0.pools.words.run(deadline, work).await
    }
}
