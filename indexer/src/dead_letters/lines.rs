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
    let Some(of) = workspace_of(line) else { return true };
    let Some(id) = id.filter(|_| of == *workspace) else { return of == *workspace };
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

/// The workspace that the event of a line says it is of.
pub(super) fn workspace_of(line: &[u8]) -> Option<WorkspaceId> {
    #[derive(Deserialize)]
    struct Kept {
        event: String,
    }
    #[derive(Deserialize)]
    struct Event {
        workspaceid: WorkspaceId,
    }
    let Kept { event } = serde_json::from_slice(line).ok()?;
    let Event { workspaceid } = serde_json::from_str(&event).ok()?;
    Some(workspaceid)
}
