//! Who belongs to an evaluation's workspace, and who may see what: drawn on the page tree for collections that say nothing of
//! it, read from the manifest where there is one.
//!
//! Drawn sharing follows from the place of a page in the tree alone, so it is the same on every machine and in every run. It
//! has the shape of a real workspace: most team folders are open to all members, some are not, some pages deep inside are
//! closed, a few are shared with a guest. The administrator may see everything, so that what the administrator is answered
//! is the quality of the search and nothing else.

use indexer::import::desired::{DesiredAccess, DesiredGroup};
use indexer::import::manifest::Manifest;
use indexer::import::tree::Tree;
use schemas::grant::{Grant, Level, Principal, Role};
use schemas::ids::{GroupId, UserId};
use serde::Serialize;

/// Changes with every rule below, so that no kept workspace has the sharing of another release.
pub(super) const RELEASE: u32 = 1;
/// Fewest folders side by side that count as those of teams.
const TEAMS_MIN: usize = 8;
/// Share of the team folders that are open to all members.
const OPEN_SHARE: f64 = 0.6;
/// Share of the team folders that the narrow group sees.
const NARROW_SHARE: f64 = 0.15;
/// Share of the pages below team folders that take nothing from above.
const CLOSED_SHARE: f64 = 0.05;
/// Share of these that the narrow group sees.
const CLOSED_NARROW_SHARE: f64 = 0.5;
/// Share of the pages below team folders that the guest is given.
const GUEST_SHARE: f64 = 0.02;

/// Someone who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What reports call the person.
    pub persona: String,
    /// The person's id.
    pub user: UserId,
    /// The person's role.
    pub role: Role,
}

/// Everyone of a workspace. The first person sees most, and is the one who asks where no other is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Who asks.
    pub persons: Vec<Person>,
    /// The groups.
    pub groups: Vec<DesiredGroup>,
}

impl People {
    /// The people of drawn sharing: an administrator, a member, a member of a narrow group alone, a guest.
    pub fn drawn() -> Self {
        let person = |persona: &str, role| Person { persona: persona.to_owned(), user: user(persona), role };
        let of = |persona: &str| vec![Principal::User(user(persona))];
        Self {
            persons: vec![
                person("administrator", Role::Member),
                person("member", Role::Member),
                person("narrow-group", Role::Guest),
                person("guest", Role::Guest),
            ],
            groups: vec![
                DesiredGroup { id: group("administrators"), members: of("administrator") },
                DesiredGroup { id: group("narrow"), members: of("narrow-group") },
            ],
        }
    }

    /// The people of a manifest, each a persona of their own.
    pub fn of_manifest(manifest: &Manifest) -> Self {
        let persons = manifest.members.iter().map(|person| Person {
            persona: person.user.to_string(),
            user: person.user.clone(),
            role: person.role,
        });
        Self { persons: persons.collect(), groups: manifest.desired_groups().collect() }
    }
}

fn user(persona: &str) -> UserId {
    UserId::new(persona).expect("letters and hyphens are an id")
}

fn group(name: &str) -> GroupId {
    GroupId::new(name).expect("letters are an id")
}

/// The drawn sharing of a page; `None` where it takes all from above. `depth` counts from 0 at the root, `team_depth` is
/// where the folders of teams are.
pub(super) fn access_of(key: &str, depth: usize, team_depth: usize) -> Option<DesiredAccess> {
    let view = |principal| Grant { principal, level: Level::View };
    let administrators = || view(Principal::Group(group("administrators")));
    let narrow = || view(Principal::Group(group("narrow")));
    let mut grants: Vec<Grant> = (depth == 0).then(administrators).into_iter().collect();
    let mut restricted = false;
    if depth == team_depth {
        grants.extend((share("open", key) < OPEN_SHARE).then(|| view(Principal::Workspace)));
        grants.extend((share("narrow", key) < NARROW_SHARE).then(narrow));
    } else if depth > team_depth && share("closed", key) < CLOSED_SHARE {
        restricted = true;
        grants.push(administrators());
        grants.extend((share("closed to others", key) < CLOSED_NARROW_SHARE).then(narrow));
    } else if depth > team_depth && share("guest", key) < GUEST_SHARE {
        grants.push(view(Principal::User(user("guest"))));
    }
    (restricted || !grants.is_empty()).then_some(DesiredAccess { grants, restricted })
}

/// A number from 0 to 1 that follows from a purpose and a key.
fn share(purpose: &str, key: &str) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key("tessera 2026 drawn sharing");
    hasher.update(purpose.as_bytes()).update(&[0]).update(key.as_bytes());
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    f64::from(u32::from_le_bytes(bytes)) / 2f64.powi(32)
}

/// Where the folders of teams are: the depth nearest to the root with enough pages side by side that have others below.
fn team_depth(tree: &Tree, depths: &[usize]) -> usize {
    let mut folders = vec![false; depths.len()];
    tree.nodes().iter().filter_map(|node| node.parent).for_each(|parent| folders[parent] = true);
    let count = |depth| depths.iter().zip(&folders).filter(|(at, is_folder)| **at == depth && **is_folder).count();
    let deepest = depths.iter().copied().max().unwrap_or_default();
    (0..=deepest).find(|depth| count(*depth) >= TEAMS_MIN).unwrap_or(0)
}

#[derive(Serialize)]
struct Written {
    members: Vec<WrittenMember>,
    groups: Vec<WrittenGroup>,
    pages: Vec<WrittenPage>,
}

#[derive(Serialize)]
struct WrittenMember {
    user: String,
    role: Role,
}

#[derive(Serialize)]
struct WrittenGroup {
    id: String,
    members: Vec<String>,
}

#[derive(Serialize)]
struct WrittenPage {
    path: String,
    restricted: bool,
    grants: Vec<String>,
}

/// The manifest of drawn sharing over a tree, as `tessera import --access` takes it.
pub(super) fn manifest(tree: &Tree) -> String {
    let mut depths: Vec<usize> = Vec::with_capacity(tree.nodes().len());
    for node in tree.nodes() {
        depths.push(node.parent.map_or(0, |parent| depths[parent] + 1));
    }
    let team_depth = team_depth(tree, &depths);
    let pages = tree.nodes().iter().zip(&depths).enumerate().filter_map(|(at, (node, depth))| {
        let access = access_of(&node.key, *depth, team_depth)?;
        let grants = access.grants.iter().map(|grant| format!("{}:{}", grant.principal, grant.level));
        // Two keys that differ by case alone are one path to a manifest; the second stays as it inherits.
        (tree.find(&node.key) == Some(at)).then(|| WrittenPage {
            path: node.key.clone(),
            restricted: access.restricted,
            grants: grants.collect(),
        })
    });
    let people = People::drawn();
    let written = Written {
        members: people
            .persons
            .iter()
            .map(|person| WrittenMember { user: person.user.to_string(), role: person.role })
            .collect(),
        groups: people
            .groups
            .iter()
            .map(|group| WrittenGroup {
                id: group.id.to_string(),
                members: group.members.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        pages: pages.collect(),
    };
    toml::to_string(&written).expect("text, lists and flags are TOML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexer::import::tree::File;
    use std::path::Path;

    #[test]
    fn drawn_sharing_is_a_manifest_that_the_importer_takes() {
        let file = |at: usize| File { path: format!("content/team-{}/page-{at}.md", at % 20), id: None, kind: None };
        let files: Vec<File> = (0..2000).map(file).collect();
        let tree = Tree::build(&files, &mut |_, _| {});
        let manifest = Manifest::parse(&manifest(&tree), Path::new("drawn.toml")).unwrap();
        assert_eq!(manifest.rules(&tree, Path::new("drawn.toml")).unwrap().len(), manifest.pages.len());
        assert_eq!(manifest.strangers(), Vec::<String>::new());
        assert_eq!(People::of_manifest(&manifest).groups, People::drawn().groups);
        let open = manifest.pages.iter().filter(|page| page.path.matches('/').count() == 1).count();
        assert!((8..20).contains(&open), "{open} of 20 team folders have grants of their own");
        let closed = manifest.pages.iter().filter(|page| page.restricted).count();
        assert!((60..140).contains(&closed), "{closed} of 2000 pages are closed");
    }

    #[test]
    fn pages_at_the_root_are_open_to_the_administrator_always() {
        for at in 0..100 {
            let access = access_of(&format!("page {at}"), 0, 0).unwrap();
            assert!(access.grants.iter().any(|grant| grant.principal.to_string() == "group:administrators"));
        }
    }
}
