//! An answer without a language model: sentences of its sources, picked off the threads of requests and quoted.

use schemas::api::answers::Style;

use super::Answering;
use crate::answer::extractive::{Prepared, question};
use crate::engine::sources::Gatherer;

impl Answering {
    /// Picks sentences of the sources.
    pub(super) async fn extract(&mut self) {
        let titles: Vec<String> = self.sources.iter().map(|source| source.page.title.clone()).collect();
        let readable = self.writing.sources().to_vec();
        let mut asked = question(std::mem::take(&mut self.words));
        let (text, length) = (self.asked.request.question.clone(), self.asked.request.length);
        let embedded_max = self.engine.config().answer.embedded_max;
        let embedder = self.view.as_ref().and_then(Gatherer::embedder).filter(|_| embedded_max > 0).cloned();
        let deadline = self.asked.deadline;
        let work = move || {
            let mut prepared = Prepared::new(&readable, &titles);
            if let Some(embedder) = embedder
                && let Err(error) = prepared.embed(&mut asked, &text, &embedder, embedded_max, deadline.instant())
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "sentences are picked by words alone");
            }
            let picked = prepared.extract(&asked, length).picked;
            Ok(picked.into_iter().map(|of| (of.source, prepared.span(of.source, of.sentence))).collect::<Vec<_>>())
        };
        let picked = match self.engine.embedding_work(deadline, work).await {
            Ok(picked) => picked,
            Err(error) => {
                return self.outgoing.fail_to_pick(error);
            }
        };
        for (source, span) in picked {
            let lead = match (self.asked.request.style, self.writing.is_empty()) {
                (Style::Text, true) => "",
                (Style::Text, false) => " ",
                (Style::Bullets, true) => "- ",
                (Style::Bullets, false) => "\n- ",
            };
            let (engine, view) = (&self.engine, self.view.as_ref());
            let link = |address: &str| view.and_then(|view| view.gate(engine).page_address(address));
            let written = self.writing.quote(lead, source, span, &link);
            self.outgoing.push_written(written, &self.writing);
        }
    }
}
