//! What an operator says about identities: the configuration, the secrets, and what can be wrong with them.

use std::fmt;

use schemas::ids::WorkspaceId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::keys::Keys;
use super::{OidcConfig, OidcConfigError, SECRET_BYTES_MIN};

/// What an operator can choose about identities. Secrets are not among it: see [`Secrets`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Believe the headers `Tessera-Workspace` and `Tessera-User`. For development on one machine; false.
    pub insecure_development: bool,
    /// What `iss` of a token must be; empty for anything.
    pub jwt_issuer: String,
    /// What `aud` of a token must be or hold; empty for anything.
    pub jwt_audience: String,
    /// The word in a token's `scope` that makes its holder an administrator of the workspace; empty for none.
    pub jwt_admin_scope: String,
    /// An OpenID provider whose tokens are believed.
    pub oidc: OidcConfig,
    /// Service keys, by name.
    pub service_keys: Vec<ServiceKeyConfig>,
}

/// A key that another service uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceKeyConfig {
    /// How logs name it.
    pub name: String,
    /// BLAKE3 of the key, as 64 hexadecimal digits. The key itself is known to its holder alone.
    pub hash: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The workspaces it may touch; empty for all.
    #[serde(default)]
    pub workspaces: Vec<WorkspaceId>,
}

/// What an identity may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Search and read on behalf of a person.
    Search,
    /// See counts, and why a person can or cannot see a page.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Search, Self::Admin];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Search => "search",
            Self::Admin => "admin",
        }
    }
}

/// Keys that tokens are checked with. They come from the environment and from files, never from the configuration.
#[derive(Default)]
pub struct Secrets {
    /// The shared secret of HS256, at least [`SECRET_BYTES_MIN`] bytes.
    pub jwt_hs256: Option<Vec<u8>>,
    /// A public key in PEM, for RS256.
    pub jwt_rs256_pem: Option<Vec<u8>>,
    /// A public key in PEM, for EdDSA.
    pub jwt_eddsa_pem: Option<Vec<u8>>,
    /// Service keys that `tessera keys` makes.
    pub keys: Option<Keys>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets { .. }")
    }
}

/// Why identities cannot be checked as configured.
#[derive(Debug, Error)]
pub enum AuthConfigError {
    /// The secret of tokens is too short to be one.
    #[error("the secret for HS256 must have at least {SECRET_BYTES_MIN} bytes")]
    WeakSecret,
    /// A public key cannot be read.
    #[error("cannot read the public key for {algorithm} as PEM")]
    BadPublicKey {
        /// The algorithm it is for.
        algorithm: &'static str,
        /// What is wrong with it.
        source: jsonwebtoken::errors::Error,
    },
    /// The hash of a service key is none.
    #[error("`hash` of the service key `{name}` must be 64 hexadecimal digits")]
    BadHash {
        /// The key.
        name: String,
    },
    /// Two service keys have one hash.
    #[error("the service key `{name}` is listed twice")]
    KeyTwice {
        /// The second of them.
        name: String,
    },
    /// The OpenID provider is not described well.
    #[error(transparent)]
    Oidc(#[from] OidcConfigError),
    /// Both a public key and a provider are configured, so that a token could mean either.
    #[error("name the public key of tokens or `auth.oidc`, not both")]
    TwoIssuers,
    /// There is nobody who could be let in.
    #[error(
        "no way to identify callers: set a secret or public key for tokens, `auth.oidc`, a service key (`tessera keys create`), or \
         `insecure_development`"
    )]
    Nobody,
}
