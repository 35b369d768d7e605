//! A small language for building workspaces in tests.

use access::{AccessChange, AccessGraph, Caller, PageNode, PageOrdinal, Parent, Subject};
use schemas::grant::Role;
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};

/// A page at the root (`under: ""`), under another, or nowhere known (`under: "?"`), with grants as in front matter.
pub(crate) fn node(under: &str, grants: &[&str]) -> PageNode {
    let parent = match under {
        "?" => None,
        "" => Some(Parent::Workspace),
        id => Some(Parent::Page(page_id(id))),
    };
    PageNode { parent, grants: grants.iter().map(|grant| grant.parse().unwrap()).collect(), ..PageNode::default() }
}

pub(crate) fn restricted(node: PageNode) -> PageNode {
    PageNode { restricted: true, ..node }
}

pub(crate) fn trashed(node: PageNode) -> PageNode {
    PageNode { trashed: true, ..node }
}

pub(crate) fn deleted(node: PageNode) -> PageNode {
    PageNode { deleted: true, ..node }
}

pub(crate) fn page_id(id: &str) -> PageId {
    PageId::new(id).unwrap()
}

pub(crate) fn user(id: &str) -> Subject {
    Subject::User(UserId::new(id).unwrap())
}

pub(crate) fn caller(subject: Subject) -> Caller {
    Caller { workspace: WorkspaceId::new("acme").unwrap(), subject }
}

/// Puts a page, giving it the next ordinal when it is new.
pub(crate) fn put(graph: &mut AccessGraph, id: &str, node: PageNode) -> PageOrdinal {
    let page = page_id(id);
    let ordinal = graph.ordinal_of(&page).unwrap_or_else(|| graph.next_ordinal());
    graph.apply(AccessChange::Page { page, ordinal, node });
    ordinal
}

pub(crate) fn group(graph: &mut AccessGraph, id: &str, members: &[&str]) {
    let members = members.iter().map(|member| member.parse().unwrap()).collect();
    graph.apply(AccessChange::Group { group: GroupId::new(id).unwrap(), members, deleted: false });
}

pub(crate) fn member(graph: &mut AccessGraph, id: &str, role: Role) {
    graph.apply(AccessChange::Member { user: UserId::new(id).unwrap(), role });
}

/// Puts the page called `page`.
pub(crate) fn page(graph: &mut AccessGraph, node: PageNode) {
    put(graph, "page", node);
}
