//! The stored form of heads: JSON in a fast column of bytes, in pieces.
//!
//! The engine keeps 65,535 bytes of a value and drops the rest without a word, and a group of some thousand members is longer
//! than that: so a head is cut into pieces, the values of its document in their order.

use access::WorkspaceNumber;
use tantivy::{DocId, SegmentReader, TantivyError};

use super::Head;
use crate::error::{Doing, IndexError};
use crate::pages::Pages;

/// Longest piece of a head in one value, in bytes.
const PIECE_BYTES_MAX: usize = 32 << 10;
/// Name of the column.
pub(crate) const COLUMN: &str = "head";

impl Head {
    /// Its stored form: the values of one document, in this order.
    pub(crate) fn encode(&self) -> Vec<Vec<u8>> {
        let json = serde_json::to_vec(self).expect("heads have text keys and finite numbers");
        json.chunks(PIECE_BYTES_MAX).map(<[u8]>::to_vec).collect()
    }

    fn decode(json: &[u8]) -> Result<Self, IndexError> {
        serde_json::from_slice(json).map_err(|error| IndexError::Damaged { what: "head", source: Box::new(error) })
    }
}

/// The heads of those live documents of a segment that are wanted, each with the number of its workspace, in no order.
///
/// `pages` are those of the segment. Cost: one pass over the dictionary of the column.
pub(crate) fn read_heads(
    reader: &SegmentReader,
    pages: &Pages,
    is_wanted: impl Fn(DocId) -> bool,
) -> Result<Vec<(WorkspaceNumber, Head)>, IndexError> {
    let Some(column) = reader.fast_fields().bytes(COLUMN).doing("read the heads of a segment")? else {
        return Ok(Vec::new());
    };
    let mut heads = Vec::new();
    // Values lie in the dictionary in the order of their bytes: note who wants which, then read it in one pass.
    let mut wanted: Vec<(u64, DocId)> = Vec::new();
    let mut in_pieces: Vec<(DocId, Vec<u64>)> = Vec::new();
    for doc in reader.doc_ids_alive().filter(|doc| is_wanted(*doc)) {
        let mut ords = column.term_ords(doc);
        let (Some(first), second) = (ords.next(), ords.next()) else { continue };
        match second {
            None => wanted.push((first, doc)),
            Some(second) => in_pieces.push((doc, [first, second].into_iter().chain(ords).collect())),
        }
    }
    wanted.sort_unstable();
    let workspace_of = |doc: DocId| pages.workspace_of(doc);
    let mut wanted = wanted.into_iter().peekable();
    let mut stream = column.dictionary().stream().map_err(TantivyError::from).doing("read the heads")?;
    while wanted.peek().is_some() && stream.advance() {
        while let Some((_, doc)) = wanted.next_if(|(ord, _)| *ord == stream.term_ord()) {
            heads.push((workspace_of(doc), Head::decode(stream.key())?));
        }
    }
    for (doc, ords) in in_pieces {
        let (mut json, mut piece) = (Vec::new(), Vec::new());
        for ord in ords {
            column.dictionary().ord_to_term(ord, &mut piece).map_err(TantivyError::from).doing("read a head")?;
            json.append(&mut piece);
        }
        heads.push((workspace_of(doc), Head::decode(&json)?));
    }
    Ok(heads)
}
