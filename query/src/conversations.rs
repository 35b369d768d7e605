//! Conversations: what people asked and were answered, kept for them on disk so that they can go on with it.
//!
//! ```text
//! conversations/<workspace>/<person>.ndjson     a turn a line; names are hashes
//! conversations/<workspace>/swept.json          what the last sweep saw
//! ```
//!
//! A person has a file for each workspace, so that nobody's conversations can be found by an id of somebody else's, whoever is erased goes
//! with a file, and nothing is kept in memory of those who do not ask. A lock for each file (striped) makes one writer of it; all functions
//! here block. Invariants: a turn is on disk before it counts as kept; nothing is kept of erased workspaces and people, nor any text made
//! from a deleted page, once [`Conversations::sweep`] or [`Conversations::erase`] saw that. What a reader may see of a turn is not decided
//! here but at each reading, by [`crate::engine::Engine::conversation`].

mod config;
mod file;
mod room;
mod sweep;
pub(crate) mod turn;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use access::{Caller, Subject};
use index::Index;
use schemas::api::conversations::{ConversationSummary, TITLE_CHARS_MAX};
use schemas::ids::{UserId, WorkspaceId};

use crate::hex::hex;
use crate::random_id::RandomId;
pub use config::ConversationsConfig;
use file::{ENDING, Held, Owner, bytes_of};
use sweep::Swept;
pub use sweep::Whose;
use turn::Turn;

/// The folder of all conversations, below that of the data.
pub const FOLDER: &str = "conversations";
/// Locks that files share.
const STRIPES: usize = 64;
/// Bytes of the hashes that files and folders are named by.
const NAME_BYTES: usize = 16;
/// Bytes of the line that says whose a file is, at most.
const OWNER_BYTES: u64 = 300;

/// The conversations of one installation. Cloning is cheap. One process has them open.
#[derive(Clone, Debug)]
pub struct Conversations(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    folder: PathBuf,
    config: ConversationsConfig,
    index: Index,
    stripes: [Mutex<()>; STRIPES],
    workspaces: Mutex<HashMap<String, Known>>,
    /// Set once the bytes of all workspaces were counted.
    counted: OnceLock<()>,
}

/// What is remembered of a workspace.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Bytes of its files, once they were counted.
    bytes: Option<u64>,
    swept: Option<Swept>,
    /// The access state, and the number of erased people, that the last sweep of this process saw.
    seen: Option<(u64, usize)>,
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is on disk.
    Kept,
    /// Its conversation is not there any more, its owner was erased, a page of it was deleted, or it is larger than all room there is.
    Refused,
}

impl Conversations {
    /// Opens the conversations below the folder of all data. Nothing is written before somebody begins one; where they are switched off,
    /// those that are left can still be swept.
    pub fn open(data_dir: &Path, config: &ConversationsConfig, index: Index) -> Self {
        let stripes = std::array::from_fn(|_| Mutex::default());
        let (folder, config) = (data_dir.join(FOLDER), config.clone());
        let workspaces = Mutex::default();
        Self(Arc::new(Parts { folder, config, index, stripes, workspaces, counted: OnceLock::new() }))
    }

    /// Whether there is a folder of conversations.
    pub fn is_there(&self) -> bool {
        self.0.folder.is_dir()
    }

    /// Whether conversations are kept for those who ask.
    pub fn is_on(&self) -> bool {
        self.0.config.enabled
    }

    pub(crate) fn config(&self) -> &ConversationsConfig {
        &self.0.config
    }

    /// The conversations of a caller, the one that was gone on with last first. Nobody has none.
    pub(crate) fn list(&self, caller: &Caller) -> io::Result<Vec<ConversationSummary>> {
        let Some(owner) = owner(caller) else { return Ok(Vec::new()) };
        let path = self.path_of(&owner);
        let held = self.locked(&path, || Held::read(&path))?;
        let mut list: Vec<ConversationSummary> = Vec::new();
        let mut places: HashMap<RandomId, usize> = HashMap::new();
        for (turn, _) in &held.turns {
            let at = *places.entry(turn.conversation).or_insert(list.len());
            match list.get_mut(at) {
                Some(summary) => {
                    summary.updated_at = turn.at;
                    summary.turns += 1;
                }
                None => list.push(summary_of(turn)),
            }
        }
        list.sort_by(|one, other| (other.updated_at, &other.id).cmp(&(one.updated_at, &one.id)));
        Ok(list)
    }

    /// The turns of a conversation of a caller, oldest first; none where the caller has no such conversation.
    pub(crate) fn turns(&self, caller: &Caller, id: RandomId) -> io::Result<Vec<Turn>> {
        let Some(owner) = owner(caller) else { return Ok(Vec::new()) };
        let path = self.path_of(&owner);
        let held = self.locked(&path, || Held::read(&path))?;
        Ok(held.turns.into_iter().map(|(turn, _)| turn).filter(|turn| turn.conversation == id).collect())
    }

    /// Keeps a turn of a caller, and makes room for it. Unless it `begins` its conversation, that must be there.
    pub(crate) fn keep(&self, caller: &Caller, turn: &Turn, begins: bool) -> io::Result<Kept> {
        let Some(owner) = owner(caller) else { return Ok(Kept::Refused) };
        let path = self.path_of(&owner);
        self.make_folder_of(&path)?;
        self.make_room(&path, bytes_of(turn)? + OWNER_BYTES)?;
        self.locked(&path, || {
            let mut held = Held::read(&path)?;
            let is_there = begins || held.turns.iter().any(|(other, _)| other.conversation == turn.conversation);
            if !is_there || self.is_gone(&owner, turn) {
                return Ok(Kept::Refused);
            }
            let (before, bytes) = (held.bytes, bytes_of(turn)?);
            held.turns.push((turn.clone(), bytes));
            let Some(is_cut) = self.cut(&mut held.turns) else { return Ok(Kept::Refused) };
            // A file whose head cannot be read is written anew, or no sweep would know whose it is.
            let after = if is_cut || (before > 0 && held.owner.is_none()) {
                held.replace(&path, &owner, true)?
            } else {
                before + held.append(&path, &owner, turn)?
            };
            self.count(&path, before, after);
            // Whatever was erased while it was written.
            if self.is_gone(&owner, turn) {
                self.clean(&path, &|_| false)?;
                return Ok(Kept::Refused);
            }
            Ok(Kept::Kept)
        })
    }

    /// Removes a conversation of a caller from disk; false where the caller has no such conversation.
    pub(crate) fn delete(&self, caller: &Caller, id: RandomId) -> io::Result<bool> {
        let Some(owner) = owner(caller) else { return Ok(false) };
        let path = self.path_of(&owner);
        self.locked(&path, || {
            let mut held = Held::read(&path)?;
            let before = held.turns.len();
            held.turns.retain(|(turn, _)| turn.conversation != id);
            if held.turns.len() == before {
                return Ok(false);
            }
            let after = held.replace(&path, &owner, false)?;
            self.count(&path, held.bytes, after);
            Ok(true)
        })
    }

    /// Lets go of the oldest until the turns of a person are within their bounds, and says whether any went; `None` where the last turn alone is
    /// too large.
    fn cut(&self, turns: &mut Vec<(Turn, u64)>) -> Option<bool> {
        let ConversationsConfig { turns_max, person_conversations_max, person_bytes_max, .. } = self.0.config;
        let len = turns.len();
        let newest = turns.last().map(|(turn, _)| turn.conversation)?;
        let of_newest = turns.iter().filter(|(turn, _)| turn.conversation == newest).count();
        let mut too_many = of_newest.saturating_sub(turns_max);
        turns.retain(|(turn, _)| {
            let goes = turn.conversation == newest && too_many > 0;
            too_many -= usize::from(goes);
            !goes
        });
        loop {
            // Oldest first, by their last turns.
            let mut seen = HashSet::new();
            let mut by_age: Vec<RandomId> = turns.iter().rev().map(|(turn, _)| turn.conversation).collect();
            by_age.retain(|id| seen.insert(*id));
            let bytes: u64 = turns.iter().map(|(_, bytes)| bytes).sum();
            if by_age.len() <= person_conversations_max && bytes <= person_bytes_max {
                return Some(turns.len() < len);
            }
            match by_age.last() {
                Some(oldest) if *oldest != newest => turns.retain(|(turn, _)| turn.conversation != *oldest),
                _ if turns.len() > 1 => _ = turns.remove(0),
                _ => return None,
            }
        }
    }

    /// Whether nothing may be kept of a turn: its owner or workspace was erased, or a page that it was made of was deleted.
    fn is_gone(&self, owner: &Owner, turn: &Turn) -> bool {
        let Some(known) = self.0.index.catalog().get(&owner.workspace) else { return false };
        let state = known.read();
        let is_deleted = |page| state.head_of(page).is_some_and(|head| head.deleted);
        state.erased || !state.may_name(&owner.user) || turn.said.iter().any(|said| said.pages().any(is_deleted))
    }

    fn make_folder_of(&self, path: &Path) -> io::Result<()> {
        let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) else { return Ok(()) };
        fs::create_dir_all(folder)?;
        #[cfg(unix)]
        for folder in [&*self.0.folder, folder] {
            fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        }
        fs::File::open(&self.0.folder)?.sync_all()
    }

    fn folder_of(&self, workspace: &WorkspaceId) -> PathBuf {
        self.0.folder.join(hashed("tessera 2026 conversations workspace", workspace.as_str()))
    }

    fn path_of(&self, owner: &Owner) -> PathBuf {
        let name = hashed("tessera 2026 conversations person", owner.user.as_str());
        self.folder_of(&owner.workspace).join(name).with_extension(ENDING)
    }

    /// Works on a file that nobody else works on meanwhile.
    fn locked<T>(&self, path: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let stem = path.with_extension("");
        let hash = blake3::hash(stem.as_os_str().as_encoded_bytes());
        let stripe = &self.0.stripes[usize::from(hash.as_bytes()[0]) % STRIPES];
        // Whoever panicked left the file as it is on disk, and nothing else.
        let _guard = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    fn workspaces(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.workspaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose conversations a caller has; `None` for nobody.
fn owner(caller: &Caller) -> Option<Owner> {
    match &caller.subject {
        Subject::User(user) => Some(owner_of(&caller.workspace, user)),
        Subject::Anonymous => None,
    }
}

fn owner_of(workspace: &WorkspaceId, user: &UserId) -> Owner {
    Owner { workspace: workspace.clone(), user: user.clone() }
}

/// A conversation of one turn as lists show it.
pub(crate) fn summary_of(first: &Turn) -> ConversationSummary {
    ConversationSummary {
        id: first.conversation.to_string(),
        title: first.question.chars().take(TITLE_CHARS_MAX).collect(),
        created_at: first.at,
        updated_at: first.at,
        turns: 1,
    }
}

/// A name for files that any id has, whatever its letters.
fn hashed(context: &str, id: &str) -> String {
    hex(&blake3::derive_key(context, id.as_bytes())[..NAME_BYTES])
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_of_person(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == ENDING)
}

#[cfg(test)]
mod tests;
