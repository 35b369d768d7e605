//! Documents in PDF: laid out off the threads of requests, a few side by side, and checked again before they go out.

use access::{Caller, Purpose};
use schemas::api::pages::PageView;
use schemas::ids::PageId;

use super::Engine;
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::export::pdf::{PdfError, draw};
use crate::export::{self, Document, ExportFormat};
use crate::metrics::Bound;

impl Engine {
    /// A page as a file: what [`Engine::page`] lets out of it.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Engine::page`]; [`QueryError::InvalidRequest`] where the document is longer than allowed;
    /// [`QueryError::AccessChanged`] when access was lost while it was made.
    ///
    /// Cancel safety: safe; a document that is being drawn keeps its turn until it is done.
    pub async fn export_page(
        &self,
        caller: &Caller,
        page: &PageId,
        format: ExportFormat,
        deadline: Deadline,
    ) -> Result<Vec<u8>, QueryError> {
        let view = self.page(caller, page, deadline).await?;
        let document = export::page(&view);
        let (engine, caller) = (self.clone(), caller.clone());
        self.export(document, format, "format", move || engine.may_still_see(&caller, &view)).await
    }

    /// Gives a document that the gate let out the form of a file. A PDF takes a while, so it goes out only if it `may` still.
    ///
    /// # Errors
    ///
    /// [`QueryError::Overloaded`] when no turn came in time, [`QueryError::InvalidRequest`] of `field` where the document is longer than
    /// allowed, [`QueryError::AccessChanged`], [`QueryError::DeadlineExceeded`].
    ///
    /// Cancel safety: safe; a document that is being drawn keeps its turn until it is done.
    pub(crate) async fn export(
        &self,
        document: Document,
        format: ExportFormat,
        field: &'static str,
        may: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<Vec<u8>, QueryError> {
        if format == ExportFormat::Markdown {
            return Ok(document.markdown().into_bytes());
        }
        let deadline = Deadline::after(self.config().timeout(Some(u32::MAX)));
        let drawing = &self.0.drawing;
        let turn = drawing.turns.take(deadline).await.inspect_err(|_| self.metrics().shed(Bound::Documents))?;
        let engine = self.clone();
        let work = move || {
            let _turn = turn;
            let config = &engine.config().export;
            let limit = |count: usize, what: &str, key: &str| {
                let key = format!("`query.export.{key}`");
                let reason = format!(
                    "would give a PDF of more than {count} {what}, which is the most ({key}); ask for Markdown"
                );
                QueryError::InvalidRequest { field, reason }
            };
            let drawn = draw(&document, &engine.0.drawing.fonts, config, deadline).map_err(|error| match error {
                PdfError::TooManySheets => limit(config.sheets_max, "sheets", "sheets_max"),
                PdfError::TooManyBytes => limit(config.bytes_max, "bytes", "bytes_max"),
                PdfError::Late => QueryError::DeadlineExceeded,
                error @ (PdfError::Font(_) | PdfError::Writing(_)) => QueryError::Document { source: Box::new(error) },
            })?;
            engine.metrics().unshown(drawn.unshown);
            if may() { Ok(drawn.bytes) } else { Err(QueryError::AccessChanged) }
        };
        drawing.tasks.run(deadline, work).await
    }

    /// Whether a caller may still see of a page what was shown of it, and of the pages above it.
    fn may_still_see(&self, caller: &Caller, shown: &PageView) -> bool {
        self.view(caller, Purpose::Read).is_some_and(|view| {
            let gate = self.gate(&view);
            gate.look_by_id(&shown.page.id).is_some_and(|permit| permit.breadcrumb() == shown.breadcrumb)
        })
    }
}
