//! Of whom the letters are, line by line as they lie in the files, readable or not.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use schemas::ids::WorkspaceId;
use serde::Deserialize;

use super::{FILES, StoredLetter};

/// Whether the letter of a line says something of a workspace, and of a page or a person of it where one is named; or cannot be read, so that
/// it may.
pub fn may_concern(line: &[u8], workspace: &WorkspaceId, id: Option<&str>) -> bool {
    if !may_be_of(line, &|of| of == workspace) {
        return false;
    }
    let Some(id) = id else { return true };
    let Ok(StoredLetter { event: Some(event), .. }) = serde_json::from_slice(line) else { return true };
    // As the whole of a text, or as the end of one: `user:ada`.
    let quoted = serde_json::Value::String(id.to_owned()).to_string();
    event.contains(&quoted) || event.contains(&format!(":{}", &quoted[1..]))
}

/// Gives the lines of all letters in a folder to `take`, readable or not, the newer file first.
pub fn each_line(dir: &Path, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    for name in FILES {
        match File::open(dir.join(name)) {
            Ok(file) => BufReader::new(file).split(b'\n').try_for_each(|line| line.map(|line| take(&line)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the event of a line says that it is of a workspace that is meant, or was sent for one; or cannot be read, so that it may be.
pub(super) fn may_be_of(line: &[u8], is_meant: &dyn Fn(&WorkspaceId) -> bool) -> bool {
    #[derive(Deserialize)]
    struct Kept {
        event: String,
        sent_for: Option<String>,
    }
    #[derive(Deserialize)]
    struct Event {
        workspaceid: WorkspaceId,
    }
    let Ok(Kept { event, sent_for }) = serde_json::from_slice(line) else { return true };
    let Ok(Event { workspaceid }) = serde_json::from_str(&event) else { return true };
    let sent_for = sent_for.and_then(|sent_for| WorkspaceId::new(&sent_for).ok());
    is_meant(&workspaceid) || sent_for.is_some_and(|workspace| is_meant(&workspace))
}
