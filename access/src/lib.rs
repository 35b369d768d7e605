//! Who may read what: the access graph of a workspace and its one decision.
//!
//! Pure: no I/O, no engine, no clock. The text index stores no grants; it stores page ordinals, and asks a
//! [`Mask`] about each. So moving a subtree of 100,000 pages or changing a group rewrites no document.
//!
//! The rules, in the order in which they cut:
//!
//! 1. A page whose parent is unknown, deleted, in a cycle or too deep is *broken*, and so is everything below it:
//!    nobody has access, whatever the grants. It heals when the cause is gone.
//! 2. A page is in the trash if it or a page above it is. Nobody finds or reads it, except by asking for the trash
//!    with a level of edit or more; being public does not count there.
//! 3. A page has the grants of its parent and its own, the highest level per principal; a `restricted` page has its
//!    own alone.
//! 4. A grant reaches a user named by it, in a group named by it (groups hold groups), or, for `workspace`, with the
//!    role of member. An unknown or removed user is reached by nothing but `public`.
//! 5. What is reached only through `public` opens by id and is not found by search.
//!
//! **The fence.** Taking access away holds at once; giving it holds once the content written before it is visible.
//! So the graph keeps two views, the newest and the published, and a page is allowed only where both allow it.
//! Else, a page emptied of its secrets and then shared would show, for the length of one commit, its old text to
//! its new readers.
//!
//! ```
//! use access::{AccessChange, AccessGraph, Caller, PageNode, PageOrdinal, Parent, Purpose, Subject};
//! use schemas::grant::Role;
//! use schemas::ids::{PageId, UserId, WorkspaceId};
//!
//! let mut graph = AccessGraph::new(0);
//! let ada = UserId::new("ada")?;
//! graph.apply(AccessChange::Member { user: ada.clone(), role: Role::Member });
//! graph.apply(AccessChange::Page {
//!     page: PageId::new("handbook")?,
//!     ordinal: PageOrdinal(0),
//!     node: PageNode { parent: Some(Parent::Workspace), grants: vec!["workspace:view".parse()?], ..PageNode::default() },
//! });
//! graph.publish();
//!
//! let caller = Caller { workspace: WorkspaceId::new("acme")?, subject: Subject::User(ada) };
//! assert!(graph.mask(&caller, Purpose::Discover).allows(PageOrdinal(0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod caller;
mod change;
mod directory;
mod explain;
mod graph;
mod mask;
mod scopes;
mod tree;

pub use caller::{Caller, Decision, Purpose, Subject};
pub use change::{AccessChange, Effect, PageNode, PageOrdinal, Parent, WorkspaceNumber};
pub use explain::{Explanation, Match, PathStep, Reach, Verdict};
pub use graph::{AccessGraph, Counters, FencePoint};
pub use mask::Mask;
pub use tree::{DEPTH_MAX, Fault};
