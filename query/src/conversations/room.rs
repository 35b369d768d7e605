//! Room on disk: how much conversations take, and whose go when they take too much.
//!
//! What was gone on with longest ago makes room for what is new: a person's own within the bounds of a person (in `keep`), whole files of people
//! within those of a workspace and of all workspaces together. Of all workspaces, the one that has most makes room, so that one that asks a lot
//! costs the others nothing. Bytes are counted once and kept up to date; what several write at the same moment may exceed a bound until the next
//! turn is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::sweep::folders_of;
use super::{Conversations, file, is_of_person, name_of};

/// A workspace that is full is emptied to so many tenths.
const WORKSPACE_TENTHS: u64 = 9;
/// Where all together are full, they are emptied to so many hundredths.
const TOTAL_HUNDREDTHS: u64 = 99;

impl Conversations {
    /// Makes room for so many bytes of a file, which is not touched itself.
    pub(super) fn make_room(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let Some(folder) = path.parent() else { return Ok(()) };
        let most = self.0.config.workspace_bytes_max;
        if self.bytes_of(folder)? + bytes > most {
            let kept = most / 10 * WORKSPACE_TENTHS;
            let may_stop = || -> io::Result<bool> { Ok(self.bytes_of(folder)? + bytes <= kept) };
            self.let_go_of_oldest(folder, path, may_stop)?;
            tracing::info!(
                "a workspace had as many conversations as it may; those gone on with longest ago were removed"
            );
        }
        self.count_all()?;
        let most = self.0.config.bytes_max;
        if self.bytes_of_all() + bytes > most {
            self.make_room_in_all(path, most / 100 * TOTAL_HUNDREDTHS, bytes)?;
            tracing::warn!(
                "all workspaces together had as many conversations as they may (`query.conversations.bytes_max`); \
                 of the one that had most, those gone on with longest ago were removed"
            );
        }
        Ok(())
    }

    /// Has the workspaces that have most let go of their oldest, until so many bytes are left with those to come.
    fn make_room_in_all(&self, path: &Path, kept: u64, bytes: u64) -> io::Result<()> {
        // A workspace that has nothing left to let go of is not asked again.
        let mut by_bytes = self.by_bytes();
        while let Some((_, name)) = by_bytes.pop() {
            if self.bytes_of_all() + bytes <= kept {
                break;
            }
            let next = by_bytes.last().map_or(0, |(bytes, _)| *bytes);
            let folder = self.0.folder.join(&name);
            let is_enough =
                || -> io::Result<bool> { Ok(self.bytes_of_all() + bytes <= kept || self.bytes_of(&folder)? < next) };
            let is_spent = self.let_go_of_oldest(&folder, path, is_enough)?;
            if !is_spent {
                by_bytes.push((self.bytes_of(&folder)?, name));
                by_bytes.sort();
            }
        }
        Ok(())
    }

    /// Removes the files of a workspace that were not gone on with for longest, but for one, until it `may_stop`. Says whether none was left.
    fn let_go_of_oldest(&self, folder: &Path, but: &Path, may_stop: impl Fn() -> io::Result<bool>) -> io::Result<bool> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if is_of_person(&entry.path()) && entry.path() != but {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort();
        for (_, oldest) in files {
            if may_stop()? {
                return Ok(false);
            }
            self.locked(&oldest, || {
                let bytes = fs::metadata(&oldest).map_or(0, |about| about.len());
                file::remove(&oldest)?;
                self.count(&oldest, bytes, 0);
                Ok(())
            })?;
        }
        Ok(true)
    }

    /// Bytes of the files of a workspace. They are counted once.
    pub(super) fn bytes_of(&self, folder: &Path) -> io::Result<u64> {
        let name = name_of(folder);
        let mut workspaces = self.workspaces();
        let known = workspaces.entry(name).or_default();
        if let Some(bytes) = known.bytes {
            return Ok(bytes);
        }
        let mut bytes = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            bytes += if is_of_person(&entry.path()) { entry.metadata()?.len() } else { 0 };
        }
        known.bytes = Some(bytes);
        Ok(bytes)
    }

    /// Bytes of the files of all workspaces, as far as they were counted.
    pub(super) fn bytes_of_all(&self) -> u64 {
        self.workspaces().values().filter_map(|known| known.bytes).sum()
    }

    /// Workspaces with their bytes, the one that has most last.
    fn by_bytes(&self) -> Vec<(u64, String)> {
        let workspaces = self.workspaces();
        let counted = workspaces.iter().filter_map(|(name, known)| Some((known.bytes?, name.clone())));
        let mut by_bytes: Vec<(u64, String)> = counted.filter(|(bytes, _)| *bytes > 0).collect();
        by_bytes.sort();
        by_bytes
    }

    /// Counts the bytes of all workspaces, once.
    fn count_all(&self) -> io::Result<()> {
        if self.0.counted.get().is_some() {
            return Ok(());
        }
        for folder in folders_of(&self.0.folder)? {
            self.bytes_of(&folder)?;
        }
        let _ = self.0.counted.set(());
        Ok(())
    }

    /// Notes that a file has another length now.
    pub(super) fn count(&self, path: &Path, before: u64, after: u64) {
        let mut workspaces = self.workspaces();
        let known = path.parent().and_then(|folder| workspaces.get_mut(&name_of(folder)));
        if let Some(bytes) = known.and_then(|known| known.bytes.as_mut()) {
            *bytes = (*bytes + after).saturating_sub(before);
        }
    }
}
