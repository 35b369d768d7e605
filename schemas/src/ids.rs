//! Identifiers: one newtype per kind of thing, so that two ids that could be swapped cannot be.
//!
//! An id is opaque text chosen by the product: 1 to 128 bytes, no white space and no control characters.
//! Cloning is cheap (shared text). Invariant: a constructed id is always valid.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest id in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text is empty.
    #[error("an id must not be empty")]
    Empty,
    /// The text is longer than [`ID_BYTES_MAX`].
    #[error("an id must be at most {ID_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// The text holds white space or a control character.
    #[error("an id must not hold white space or control characters")]
    BadCharacter,
}

fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(InvalidId::TooLong(text.len()));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(InvalidId::BadCharacter);
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, min_length = 1, max_length = 128, pattern = r"^\S+$")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and makes it an id.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                check(text.as_ref())?;
                Ok(Self(Arc::from(text.as_ref())))
            }

            /// The id as the product wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

id!(
    /// A workspace: the tenant. Nothing is shared between two of them.
    WorkspaceId
);
id!(
    /// A page, a database, a database row or a teamspace.
    PageId
);
id!(
    /// A block. Unique within its workspace; a block keeps its id when it moves to another page.
    BlockId
);
id!(
    /// A person of the workspace.
    UserId
);
id!(
    /// A group of people and groups.
    GroupId
);
id!(
    /// A place where changes are made independently (a data centre, an importer, a device).
    RegionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_cannot_be_one() {
        assert_eq!(PageId::new(""), Err(InvalidId::Empty));
        assert_eq!(PageId::new("a b"), Err(InvalidId::BadCharacter));
        assert_eq!(PageId::new("a\u{1f}b"), Err(InvalidId::BadCharacter));
        assert_eq!(PageId::new("x".repeat(129)), Err(InvalidId::TooLong(129)));
        assert_eq!(PageId::new("x".repeat(128)).unwrap().as_str().len(), 128);
    }

    #[test]
    fn a_bad_id_in_json_is_named() {
        let error = serde_json::from_str::<UserId>("\"a b\"").unwrap_err();
        assert!(error.to_string().contains("white space"), "{error}");
    }
}
