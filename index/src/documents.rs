//! Documents: passages and records in the form in which they are stored and indexed.
//!
//! Pure, but for the analysis of text. What a document holds is decided here and nowhere else.

use access::WorkspaceNumber;
use schemas::record::PageRecord;
use serde::Serialize;
use tantivy::TantivyDocument;

use crate::analysis::{Analyzer, Tokens};
use crate::error::IndexError;
use crate::fields::{Fields, WRITTEN_OF_TITLES, hash_key, page_key, word_prefix};
use crate::passages::PassageWrite;
use crate::records::{Head, PageHead};
use crate::tokens::Packer;

impl Fields {
    /// A record as it is stored: its head in a column, itself as JSON.
    pub(crate) fn record_document(
        &self,
        workspace: WorkspaceNumber,
        ordinal: u32,
        key: &str,
        head: &Head,
        record: &impl Serialize,
        written: u64,
    ) -> TantivyDocument {
        let json =
            |value: Result<Vec<u8>, serde_json::Error>| value.expect("records have text keys and finite numbers");
        let mut document = TantivyDocument::new();
        document.add_u64(self.workspace, u64::from(workspace));
        document.add_u64(self.page, page_key(workspace, ordinal));
        document.add_text(self.key, key);
        head.encode().iter().for_each(|piece| document.add_bytes(self.head, piece));
        document.add_u64(self.written, written);
        document.add_bytes(self.record, &json(serde_json::to_vec(record)));
        document
    }

    /// A passage as it is stored, with the number of its tokens.
    pub(crate) fn passage_document(
        &self,
        tokens: &mut Tokens,
        workspace: WorkspaceNumber,
        head: &PageHead,
        properties: &str,
        write: &PassageWrite,
    ) -> Result<(TantivyDocument, u64), IndexError> {
        let passage = &write.passage;
        if passage.is_title() {
            return Ok((self.title_document(workspace, head, write)?, 0));
        }
        let analyzer = Analyzer::new();
        let prefix = word_prefix(workspace);
        let (mut all, mut words) =
            (Packer::new(&prefix, 2 * passage.text.len()), Packer::new(&prefix, passage.text.len()));
        let headings = passage.headings.iter().map(String::as_str);
        // Properties are found with the first passage, and belong to none: a change of one embeds nothing.
        let properties = Some(properties).filter(|_| passage.number == 0);
        let texts = [head.title.as_str()].into_iter().chain(headings).chain([passage.text.as_str()]).chain(properties);
        tokens.next_document();
        for text in texts {
            let gap = all.gap();
            tokens.analyze(text, passage.language, &mut |found| {
                all.push(found.term, gap + found.position);
                all.push(found.variant, gap + found.position);
                words.push(found.word, 0);
            });
        }
        let count = all.tokens();
        let mut document = TantivyDocument::new();
        document.add_u64(self.workspace, u64::from(workspace));
        document.add_u64(self.page, page_key(workspace, head.ordinal.0));
        document.add_text(self.key, hash_key(workspace, &passage.hash()));
        if passage.number == 0 {
            // Words as written follow the stems: a word that is still being typed is the beginning of one of them.
            let mut title = Packer::new(&prefix, 4 * head.title.len());
            analyzer.tokens(&head.title, passage.language, tokens);
            tokens.iter().for_each(|token| title.push(token.term, token.position));
            analyzer.surface_words(&head.title, tokens);
            let gap = title.gap();
            tokens.iter().for_each(|token| title.push(token.term, gap + token.position));
            title.finish().iter().for_each(|packed| document.add_text(self.title, packed));
        }
        all.finish().iter().for_each(|packed| document.add_text(self.all, packed));
        words.finish().iter().for_each(|packed| document.add_text(self.words, packed));
        document.add_bytes(self.passage, &serde_json::to_vec(passage).expect("a passage is text and numbers"));
        if let Some(vector) = &write.vector {
            self.vector.add_to_document(&mut document, vector)?;
        }
        Ok((document, count))
    }

    /// A title as a text of its own: it has no words, since those stand with the passages.
    fn title_document(
        &self,
        workspace: WorkspaceNumber,
        head: &PageHead,
        write: &PassageWrite,
    ) -> Result<TantivyDocument, IndexError> {
        let passage = &write.passage;
        let mut document = TantivyDocument::new();
        document.add_u64(self.workspace, u64::from(workspace));
        document.add_u64(self.page, page_key(workspace, head.ordinal.0));
        document.add_text(self.key, hash_key(workspace, &passage.hash()));
        document.add_u64(self.written, WRITTEN_OF_TITLES);
        document.add_bytes(self.passage, &serde_json::to_vec(passage).expect("a passage is text and numbers"));
        if let Some(vector) = &write.vector {
            self.vector.add_to_document(&mut document, vector)?;
        }
        Ok(document)
    }
}

/// What the properties of a page say, one on a line.
pub(crate) fn properties_text(record: &PageRecord) -> String {
    let said = record.properties.iter().filter_map(|(name, property)| {
        let value = property.value()?.as_ref()?.plain_text();
        (!value.trim().is_empty()).then(|| format!("{name}: {value}\n"))
    });
    said.collect()
}
