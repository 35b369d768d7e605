//! Grants: who was given what on a page. What they add up to is decided by the `access` crate alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{GroupId, InvalidId, UserId};

/// Whom a grant names. Written `user:ada`, `group:engineering`, `workspace`, `public`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Principal {
    /// One person.
    User(UserId),
    /// A group, with the groups in it.
    Group(GroupId),
    /// All members of the workspace; guests are not members.
    Workspace,
    /// Anyone with the link.
    Public,
}

/// What a grant allows; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Read.
    View,
    /// Read and comment.
    Comment,
    /// Read, comment and change; sees trashed pages when asking for them.
    Edit,
    /// Everything, sharing included.
    Full,
}

/// One entry of a page's sharing list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Whom it names.
    pub principal: Principal,
    /// What it allows.
    pub level: Level,
}

/// What a person is in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Belongs to it: reached by grants to the workspace.
    Member,
    /// From outside: reached only by grants to the person or to a group.
    Guest,
    /// Belongs no more: sees nothing.
    Removed,
}

impl utoipa::PartialSchema for Principal {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some(r"^(user:\S+|group:\S+|workspace|public)$"))
            .examples(["group:engineering"])
            .description(Some("Whom a grant names: `user:ID`, `group:ID`, `workspace` or `public`."))
            .into()
    }
}

impl utoipa::ToSchema for Principal {}

/// Why a text is not a principal or a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    /// The kind of principal is unknown.
    #[error("a principal is `user:ID`, `group:ID`, `workspace` or `public`, not `{0}`")]
    Principal(String),
    /// The level is unknown.
    #[error("a level is `view`, `comment`, `edit` or `full`, not `{0}`")]
    Level(String),
    /// The id in it is not one.
    #[error("the id in the principal is not valid")]
    Id(#[from] InvalidId),
}

impl FromStr for Principal {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        match text.split_once(':') {
            Some(("user", id)) => Ok(Self::User(UserId::new(id)?)),
            Some(("group", id)) => Ok(Self::Group(GroupId::new(id)?)),
            None if text == "workspace" => Ok(Self::Workspace),
            None if text == "public" => Ok(Self::Public),
            _ => Err(InvalidGrant::Principal(text.to_owned())),
        }
    }
}

impl FromStr for Level {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        match text {
            "view" => Ok(Self::View),
            "comment" => Ok(Self::Comment),
            "edit" => Ok(Self::Edit),
            "full" => Ok(Self::Full),
            _ => Err(InvalidGrant::Level(text.to_owned())),
        }
    }
}

/// A grant in one word, as in front matter: `user:ada:edit`, `workspace:view`.
impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let (principal, level) = text.rsplit_once(':').ok_or_else(|| InvalidGrant::Principal(text.to_owned()))?;
        Ok(Self { principal: principal.parse()?, level: level.parse()? })
    }
}

impl TryFrom<String> for Principal {
    type Error = InvalidGrant;

    fn try_from(text: String) -> Result<Self, InvalidGrant> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.to_string()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Group(id) => write!(f, "group:{id}"),
            Self::Workspace => f.write_str("workspace"),
            Self::Public => f.write_str("public"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::View => "view",
            Self::Comment => "comment",
            Self::Edit => "edit",
            Self::Full => "full",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_from_one_word() {
        let grant: Grant = "group:engineering:edit".parse().unwrap();
        assert_eq!(grant.principal.to_string(), "group:engineering");
        assert_eq!(grant.level, Level::Edit);
        assert!("workspace:own".parse::<Grant>().is_err());
        assert!("everyone:view".parse::<Grant>().is_err());
        assert!(Level::View < Level::Comment && Level::Edit < Level::Full);
    }
}
