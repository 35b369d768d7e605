//! Taking out what may be kept no longer: of erased workspaces and people, made from deleted pages, or too old.
//!
//! A sweep looks at a workspace again only when its access state changed since, and reads its files only when the number of its deleted pages
//! did, or once a day for what is too old. So ten thousand workspaces of which few change cost little more than the list of their folders.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use schemas::ids::{BlockId, PageId, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::file::{ASIDE, Held, Owner, remove};
use super::turn::Said;
use super::{Conversations, is_of_person, name_of, owner_of};

/// What the last sweep of a workspace saw.
const FILE: &str = "swept.json";
/// Longest time between two looks at what is too old.
const AGE_INTERVAL: Duration = Duration::from_hours(24);

/// What the last sweep of a workspace saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Swept {
    workspace: WorkspaceId,
    /// Pages that were deleted by then.
    deleted_pages: u64,
    /// When all files were last read.
    at: Timestamp,
}

/// What is to be erased.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// All conversations of a workspace.
    Workspace(&'a WorkspaceId),
    /// All conversations of a person in a workspace.
    Person(&'a WorkspaceId, &'a UserId),
    /// All text that was made from a page of a workspace, or from these blocks of it when they stood on another one.
    Page(&'a WorkspaceId, &'a PageId, &'a [BlockId]),
}

impl Conversations {
    /// Removes from disk what is of somebody or something, and says how many files were removed or written anew. Again does no harm.
    /// Blocks. What an answer that is being written adds afterwards is refused once the index knows of the erasure.
    pub fn erase(&self, whose: Whose<'_>) -> io::Result<u64> {
        match whose {
            Whose::Workspace(workspace) => self.remove_folder(&self.folder_of(workspace)),
            Whose::Person(workspace, user) => {
                let path = self.path_of(&owner_of(workspace, user));
                self.locked(&path, || self.remove_file(&path))
            }
            Whose::Page(workspace, page, blocks) => {
                let (mut changed, of_page) = (0, |said: &Said| said.rests_on(page, blocks));
                for path in files_of(&self.folder_of(workspace))? {
                    changed += u64::from(self.locked(&path, || self.clean(&path, &of_page))?);
                }
                Ok(changed)
            }
        }
    }

    /// Whether anything of somebody or something is on disk. Blocks.
    pub fn holds(&self, whose: Whose<'_>) -> io::Result<bool> {
        match whose {
            Whose::Workspace(workspace) => Ok(self.folder_of(workspace).exists()),
            Whose::Person(workspace, user) => {
                let path = self.path_of(&owner_of(workspace, user));
                Ok(path.exists() || path.with_extension(ASIDE).exists())
            }
            Whose::Page(workspace, page, blocks) => {
                for path in files_of(&self.folder_of(workspace))? {
                    let held = self.locked(&path, || Held::read(&path))?;
                    let said = held.turns.iter().filter_map(|(turn, _)| turn.said.as_ref());
                    if said.into_iter().any(|said| said.rests_on(page, blocks)) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Takes out what may be kept no longer, and says how many files were removed or written anew. To be called from time to time, and when
    /// somebody was erased. Blocks. What fails is told in the log and tried again with the next call.
    pub fn sweep(&self, now: Timestamp) -> u64 {
        let folders = match folders_of(&self.0.folder) {
            Ok(folders) => folders,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "conversations cannot be listed");
                return 0;
            }
        };
        let mut changed = 0;
        for folder in folders {
            match self.sweep_folder(&folder, now) {
                Ok(more) => changed += more,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "conversations of someone erased may be left; it is tried again");
                }
            }
        }
        changed
    }

    fn sweep_folder(&self, folder: &Path, now: Timestamp) -> io::Result<u64> {
        let name = name_of(folder);
        let known = self.workspaces().get(&name).cloned().unwrap_or_default();
        let Some(mut swept) = known.swept.map_or_else(|| read(folder), |swept| Ok(Some(swept)))? else {
            // Nobody's: a crash came before the first turn.
            return Ok(0);
        };
        let is_due = now.duration_since(swept.at).unsigned_abs() >= AGE_INTERVAL;
        let (mut changed, mut deleted_pages, mut seen) = (0, swept.deleted_pages, None);
        if let Some(workspace) = self.0.index.catalog().get(&swept.workspace) {
            let state = workspace.read();
            if state.erased {
                drop(state);
                return self.remove_folder(folder);
            }
            let erased: Vec<UserId> = state.people().filter(|user| !state.may_name(user)).cloned().collect();
            seen = Some((state.access.seq(), erased.len()));
            if seen == known.seen && !is_due {
                return Ok(0);
            }
            deleted_pages = state.heads().filter(|head| head.deleted).count() as u64;
            drop(state);
            for user in erased {
                let path = self.path_of(&owner_of(&swept.workspace, &user));
                changed += self.locked(&path, || self.remove_file(&path))?;
            }
        }
        if is_due || deleted_pages != swept.deleted_pages {
            for path in files_of(folder)? {
                changed += u64::from(self.locked(&path, || {
                    remove_aside(&path)?;
                    Ok(self.clean(&path, &|_| false)? | self.let_go(&path, now)?)
                })?);
            }
            (swept.deleted_pages, swept.at) = (deleted_pages, now);
            write(folder, &swept)?;
        }
        let mut workspaces = self.workspaces();
        let known = workspaces.entry(name).or_default();
        (known.swept, known.seen) = (Some(swept), seen);
        if changed > 0 {
            tracing::info!(files = changed, "conversations that may be kept no longer were removed");
        }
        Ok(changed)
    }

    /// Takes the text out of a file that was made from deleted pages, and what else `goes`. The file is locked. Says whether it changed.
    pub(super) fn clean(&self, path: &Path, goes: &dyn Fn(&Said) -> bool) -> io::Result<bool> {
        let mut held = Held::read(path)?;
        let Some(owner) = held.owner.clone() else { return Ok(false) };
        let known = self.0.index.catalog().get(&owner.workspace);
        let state = known.as_ref().map(|workspace| workspace.read());
        if state.as_ref().is_some_and(|state| state.erased || !state.may_name(&owner.user)) {
            drop(state);
            return Ok(self.remove_file(path)? > 0);
        }
        let is_gone = |of: &PageId| {
            let is_deleted =
                |state: &index::catalog::WorkspaceState| state.head_of(of).is_some_and(|head| head.deleted);
            state.as_deref().is_some_and(is_deleted)
        };
        let mut is_changed = false;
        for (turn, _) in &mut held.turns {
            if turn.said.as_ref().is_some_and(|said| goes(said) || said.pages().any(is_gone)) {
                (turn.said, is_changed) = (None, true);
            }
        }
        drop(state);
        if is_changed {
            self.rewrite(path, &held, &owner)?;
        }
        Ok(is_changed)
    }

    /// Removes the conversations of a file that nobody went on with for too long. The file is locked. Says whether it changed.
    fn let_go(&self, path: &Path, now: Timestamp) -> io::Result<bool> {
        let mut held = Held::read(path)?;
        let Some(owner) = held.owner.clone() else { return Ok(false) };
        let oldest = now.as_second() - i64::from(self.0.config.retention_days) * 86_400;
        let is_live = |(turn, _): &&(super::Turn, u64)| turn.at.as_second() >= oldest;
        let live: std::collections::HashSet<_> =
            held.turns.iter().filter(is_live).map(|(turn, _)| turn.conversation).collect();
        let before = held.turns.len();
        held.turns.retain(|(turn, _)| live.contains(&turn.conversation));
        let is_changed = held.turns.len() < before;
        if is_changed {
            self.rewrite(path, &held, &owner)?;
        }
        Ok(is_changed)
    }

    fn rewrite(&self, path: &Path, held: &Held, owner: &Owner) -> io::Result<()> {
        let after = held.replace(path, owner, false)?;
        self.count(path, held.bytes, after);
        Ok(())
    }

    /// Removes a file that is locked; says how many were there.
    fn remove_file(&self, path: &Path) -> io::Result<u64> {
        let bytes = fs::metadata(path).ok().map(|about| about.len());
        remove(path)?;
        self.count(path, bytes.unwrap_or(0), 0);
        Ok(u64::from(bytes.is_some()))
    }

    /// Removes all files of a workspace, and their folder; says how many.
    fn remove_folder(&self, folder: &Path) -> io::Result<u64> {
        let mut removed = 0;
        for path in files_of(folder)? {
            removed += self.locked(&path, || self.remove_file(&path))?;
        }
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.workspaces().remove(&name_of(folder));
        Ok(removed)
    }
}

/// The files of people in a folder, those that a crash left beside them too; none where it is not there.
fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    for path in &mut paths {
        if path.extension().is_some_and(|ending| ending == ASIDE) {
            path.set_extension(super::ENDING);
        }
    }
    paths.retain(|path| is_of_person(path));
    paths.sort();
    paths.dedup();
    Ok(paths)
}

pub(super) fn folders_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.is_dir());
    Ok(paths)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Removes what a crash left of a file that was being written.
fn remove_aside(path: &Path) -> io::Result<()> {
    match fs::remove_file(path.with_extension(ASIDE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What the last sweep of a folder saw. Where there was none, nothing: its workspace is told by one of its files.
fn read(folder: &Path) -> io::Result<Option<Swept>> {
    let known = fs::read(folder.join(FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if known.is_some() {
        return Ok(known);
    }
    for path in files_of(folder)? {
        if let Some(owner) = Held::read(&path)?.owner {
            return Ok(Some(Swept { workspace: owner.workspace, deleted_pages: 0, at: Timestamp::MIN }));
        }
    }
    Ok(None)
}

fn write(folder: &Path, swept: &Swept) -> io::Result<()> {
    let aside = folder.join(FILE).with_extension("aside");
    let mut file = File::create(&aside)?;
    file.write_all(&serde_json::to_vec(swept)?)?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(FILE))
}
