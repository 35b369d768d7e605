//! `workspace.toml`: who belongs to a workspace that is imported, and who may see what.
//!
//! Access is never guessed: a key that is unknown, a grant that is none, or a path that names no page stops the import
//! before anything is written, since going on would leave a page open that was to be closed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use schemas::grant::{Grant, InvalidGrant, Principal, Role};
use schemas::ids::{GroupId, UserId, WorkspaceId};
use schemas::limits;
use serde::Deserialize;

use super::desired::{DesiredAccess, DesiredGroup};
use super::tree::Tree;

/// The name of the file in the root of a folder.
pub const FILE_NAME: &str = "workspace.toml";

/// What a manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The workspace it is about.
    pub workspace: Option<WorkspaceId>,
    /// Its name for people.
    pub name: Option<String>,
    /// Who belongs to it.
    #[serde(default)]
    pub members: Vec<Person>,
    /// Its groups.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Top folders that are teamspaces.
    #[serde(default)]
    pub teamspaces: Vec<Teamspace>,
    /// Sharing of single pages. It goes before what their front matter says.
    #[serde(default)]
    pub pages: Vec<PageAccess>,
}

/// A person of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The person's id.
    pub user: UserId,
    /// The person's name.
    pub name: Option<String>,
    /// `member`, `guest` or `removed`.
    #[serde(default = "member")]
    pub role: Role,
}

fn member() -> Role {
    Role::Member
}

/// A group of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name for people.
    pub name: Option<String>,
    /// Who is in it: `user:ID` and `group:ID`.
    #[serde(default)]
    pub members: Vec<Principal>,
}

/// A top folder that is a teamspace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teamspace {
    /// The folder.
    pub folder: String,
    /// Its title; without one, that of the folder's page.
    pub title: Option<String>,
    /// Its grants, each in one word: `group:engineering:edit`, `workspace:view`.
    #[serde(default)]
    pub grants: Vec<OneWordGrant>,
}

/// The sharing of one page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageAccess {
    /// The path of its file or folder, with or without extension.
    pub path: String,
    /// Whether it takes nothing from its parent.
    #[serde(default)]
    pub restricted: bool,
    /// Its own grants, each in one word.
    #[serde(default)]
    pub grants: Vec<OneWordGrant>,
}

/// A grant written in one word.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OneWordGrant(pub Grant);

impl TryFrom<String> for OneWordGrant {
    type Error = InvalidGrant;

    fn try_from(text: String) -> Result<Self, InvalidGrant> {
        text.parse().map(Self)
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("could not read the manifest {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or a key or value is not one that is allowed; the cause names the line and what is.
    #[error("the manifest {path} is not valid")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Its parts do not fit together.
    #[error("the manifest {path}: {place}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The entry, as `[[pages]] path = "people/reviews"`.
        place: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
}

/// What a manifest says about one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The page is a teamspace.
    pub is_teamspace: bool,
    /// Its title.
    pub title: Option<String>,
    /// Its sharing.
    pub access: DesiredAccess,
}

impl Manifest {
    /// Reads a manifest.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ManifestError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads the manifest in the root of a folder, when there is one.
    pub fn find(folder: &Path) -> Result<Option<Self>, ManifestError> {
        let path = folder.join(FILE_NAME);
        if path.is_file() { Self::read(&path).map(Some) } else { Ok(None) }
    }

    /// Reads and checks the text of a manifest; `path` is what errors name.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)
            .map_err(|source| ManifestError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        let invalid = |place: String, reason: &str| {
            Err(ManifestError::Invalid { path: path.to_owned(), place, reason: reason.to_owned() })
        };
        let mut users = HashSet::new();
        for person in &manifest.members {
            if !users.insert(&person.user) {
                return invalid(format!("[[members]] user = \"{}\"", person.user), "stands there twice");
            }
        }
        let mut groups = HashSet::new();
        for group in &manifest.groups {
            let place = || format!("[[groups]] id = \"{}\"", group.id);
            if !groups.insert(&group.id) {
                return invalid(place(), "stands there twice");
            }
            if group.members.len() > limits::GROUP_MEMBERS_MAX {
                return invalid(place(), &format!("has more than {} members", limits::GROUP_MEMBERS_MAX));
            }
            let only_people = |member: &Principal| matches!(member, Principal::User(_) | Principal::Group(_));
            if !group.members.iter().all(only_people) {
                return invalid(place(), "a group holds `user:ID` and `group:ID` only");
            }
        }
        let teamspaces =
            manifest.teamspaces.iter().map(|space| (&space.folder, &space.grants, "[[teamspaces]] folder"));
        let pages = manifest.pages.iter().map(|page| (&page.path, &page.grants, "[[pages]] path"));
        for (path, grants, key) in teamspaces.chain(pages) {
            if grants.len() > limits::GRANTS_MAX {
                let reason = format!("has more than {} grants", limits::GRANTS_MAX);
                return invalid(format!("{key} = \"{path}\""), &reason);
            }
        }
        Ok(manifest)
    }

    /// Its groups as they should be.
    pub fn desired_groups(&self) -> impl Iterator<Item = DesiredGroup> {
        self.groups.iter().map(|group| DesiredGroup { id: group.id.clone(), members: group.members.clone() })
    }

    /// What it says about each page of a tree, by the page's place in it. `path` is what errors name.
    pub fn rules(&self, tree: &Tree, path: &Path) -> Result<HashMap<usize, Rule>, ManifestError> {
        let mut rules = HashMap::new();
        for (key, page, rule) in self.entries() {
            let invalid = |reason: &str| ManifestError::Invalid {
                path: path.to_owned(),
                place: format!("{key} = \"{page}\""),
                reason: reason.to_owned(),
            };
            let at = tree.find(page).ok_or_else(|| invalid("names no folder or page of the source"))?;
            if rule.is_teamspace && tree.nodes()[at].parent.is_some() {
                return Err(invalid("a teamspace is a folder at the top"));
            }
            if rules.insert(at, rule).is_some() {
                return Err(invalid("another entry names this page already"));
            }
        }
        Ok(rules)
    }

    /// What it says about the pages that are there, when pages come and go.
    pub fn rules_of_present(&self, tree: &Tree) -> HashMap<usize, Rule> {
        self.entries().filter_map(|(_, page, rule)| Some((tree.find(page)?, rule))).collect()
    }

    /// Its entries about pages: how the file names them, the path, and what they say.
    fn entries(&self) -> impl Iterator<Item = (&'static str, &str, Rule)> {
        let grants = |words: &[OneWordGrant]| words.iter().map(|word| word.0.clone()).collect();
        let spaces = self.teamspaces.iter().map(move |space| {
            let access = DesiredAccess { grants: grants(&space.grants), restricted: false };
            let rule = Rule { is_teamspace: true, title: space.title.clone(), access };
            ("[[teamspaces]] folder", space.folder.as_str(), rule)
        });
        let pages = self.pages.iter().map(move |page| {
            let access = DesiredAccess { grants: grants(&page.grants), restricted: page.restricted };
            ("[[pages]] path", page.path.as_str(), Rule { access, ..Rule::default() })
        });
        spaces.chain(pages)
    }

    /// People and groups that are named but not listed, so that a slip of the pen is noticed.
    pub fn strangers(&self) -> Vec<String> {
        let users: HashSet<&UserId> = self.members.iter().map(|person| &person.user).collect();
        let groups: HashSet<&GroupId> = self.groups.iter().map(|group| &group.id).collect();
        let in_groups = self.groups.iter().flat_map(|group| &group.members);
        let in_spaces = self.teamspaces.iter().flat_map(|space| &space.grants);
        let in_pages = self.pages.iter().flat_map(|page| &page.grants);
        let named = in_groups.chain(in_spaces.chain(in_pages).map(|grant| &grant.0.principal));
        let strange = named.filter(|principal| match principal {
            Principal::User(user) => !users.contains(user),
            Principal::Group(group) => !groups.contains(group),
            Principal::Workspace | Principal::Public => false,
        });
        let mut strangers: Vec<String> = strange.map(ToString::to_string).collect();
        strangers.sort();
        strangers.dedup();
        strangers
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::File;
    use super::*;
    use proptest::prelude::*;
    use std::error::Error;

    const WHOLE: &str = r#"
        workspace = "w"
        name = "W"
        [[members]]
        user = "ada"
        name = "Ada"
        role = "guest"
        [[members]]
        user = "bo"
        [[groups]]
        id = "g"
        members = ["user:ada", "group:h", "user:stranger"]
        [[teamspaces]]
        folder = "team"
        title = "The team"
        grants = ["group:g:edit", "workspace:view"]
        [[pages]]
        path = "team/secret"
        restricted = true
        grants = ["user:ada:full"]
    "#;

    fn tree() -> Tree {
        let file = |path: &str| File { path: path.to_owned(), id: None, kind: None };
        Tree::build(&[file("team/index.md"), file("team/secret/index.md"), file("a.md")], &mut |_, _| {})
    }

    fn complaint(text: &str) -> String {
        let manifest = Path::new("workspace.toml");
        let error = match Manifest::parse(text, manifest) {
            Ok(parsed) => parsed.rules(&tree(), manifest).unwrap_err(),
            Err(error) => error,
        };
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    }

    #[test]
    fn a_whole_manifest_is_read() {
        let path = Path::new("workspace.toml");
        let manifest = Manifest::parse(WHOLE, path).unwrap();
        assert_eq!(manifest.members[0].role, Role::Guest);
        assert_eq!(manifest.members[1].role, Role::Member);
        assert_eq!(manifest.strangers(), ["group:h", "user:stranger"]);
        let tree = tree();
        let rules = manifest.rules(&tree, path).unwrap();
        assert!(rules[&tree.find("team").unwrap()].is_teamspace);
        assert!(rules[&tree.find("team/secret").unwrap()].access.restricted);
    }

    #[test]
    fn errors_name_the_file_the_place_and_what_is_allowed() {
        for (text, parts) in [
            ("[[members]]\nusr = \"a\"", ["workspace.toml", "line 2", "`user`"]),
            ("[[members]]\nuser = \"a\"\nrole = \"boss\"", ["workspace.toml", "line 3", "`guest`"]),
            ("[[pages]]\npath = \"a\"\ngrants = [\"workspace:own\"]", ["workspace.toml", "line 3", "`edit`"]),
            ("[[pages]]\npath = \"gone\"\nrestricted = true", ["workspace.toml", "path = \"gone\"", "names no"]),
            ("[[teamspaces]]\nfolder = \"team/secret\"", ["workspace.toml", "team/secret", "at the top"]),
            ("[[members]]\nuser = \"a\"\n[[members]]\nuser = \"a\"", ["workspace.toml", "user = \"a\"", "twice"]),
            ("[[groups]]\nid = \"g\"\nmembers = [\"workspace\"]", ["workspace.toml", "id = \"g\"", "`user:ID`"]),
            ("[[pages]]\npath = \"a\"\n[[pages]]\npath = \"a.md\"", ["workspace.toml", "a.md", "already"]),
            ("[members", ["workspace.toml", "line 1", "TOML"]),
        ] {
            let complaint = complaint(text);
            assert!(parts.iter().all(|part| complaint.contains(part)), "{text}\n{complaint}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(?s).{0,100}", mix in "[\\[\\]a-z=\"\\n{},. ]{0,100}") {
            let _ = Manifest::parse(&text, Path::new("m"));
            let _ = Manifest::parse(&mix, Path::new("m"));
        }
    }
}
