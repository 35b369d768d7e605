//! Who asks, what for, and what they get for one page.

use schemas::grant::Level;
use schemas::ids::{UserId, WorkspaceId};
use std::fmt;

/// The one asking. Built in one place from a checked identity; groups are looked up by the graph, never brought along.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The workspace asked; whoever holds the graphs picks the graph by it.
    pub workspace: WorkspaceId,
    /// The person asking, if known.
    pub subject: Subject,
}

/// A person, or nobody in particular.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A person. One whom the workspace does not know, or no longer, counts as anonymous.
    User(UserId),
    /// Someone with a link and no identity.
    Anonymous,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// What the pages are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Search, suggestions, facets, answers: not the trash, not what is only public.
    Discover,
    /// Opening by id: public pages too, not the trash.
    Read,
    /// Looking through the trash: only pages in it that the caller can edit.
    Trash,
}

/// What one caller may do with one page, by the newest and the published view both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// May find it by search ([`Purpose::Discover`]).
    pub discover: bool,
    /// May open it by id ([`Purpose::Read`]).
    pub read: bool,
    /// Its level for the caller, if any; in the trash, without what `public` gives.
    pub level: Option<Level>,
    /// Whether the page is in the trash, itself or with a page above it. True for everyone: do not show it to those
    /// without a level.
    pub trashed: bool,
}

impl Decision {
    /// May find and read it in the trash ([`Purpose::Trash`]).
    pub fn in_trash(&self) -> bool {
        self.trashed && self.level >= Some(Level::Edit)
    }

    /// What holds in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            discover: self.discover && other.discover,
            read: self.read && other.read,
            // A level on a live page says nothing about the trash, nor the other way round.
            level: if self.trashed == other.trashed { self.level.min(other.level) } else { None },
            trashed: self.trashed || other.trashed,
        }
    }
}
