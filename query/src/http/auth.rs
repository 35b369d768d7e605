//! Who is asking: from the headers of a request to an [`Identity`], and from that to the caller of a search.
//!
//! A `Caller` is built by [`Identity`] alone. Nothing here decides what a caller may see. Invariants: every key
//! has one algorithm, and a token that names another is refused whatever else it says; keys are kept as hashes and
//! compared in constant time; no message and no log line holds a token or a key.
//!
//! Three ways to be someone:
//!
//! - a JSON Web Token of the product, `Authorization: Bearer …`: `sub` is the person, `workspace` the workspace, `exp`
//!   is required; or one of an OpenID provider, whose claims are named in the configuration ([`OidcConfig`]);
//! - a service key, `Authorization: Bearer tsk_…`, which acts for a person named by `Tessera-Act-As` in the workspace
//!   named by `Tessera-Workspace`;
//! - in insecure development, the headers `Tessera-Workspace` and `Tessera-User`, or `?workspace=…&as=…`, believed as
//!   they are. A server like that listens on loopback alone.

mod config;
mod identity;
pub mod keys;
mod oidc;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, Uri, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use schemas::ids::{UserId, WorkspaceId};
use schemas::problem::ProblemCode;
use serde_json::{Map, Value};

use super::problem::ApiError;
pub use config::{AuthConfig, AuthConfigError, Scope, Secrets, ServiceKeyConfig};
pub use identity::{Identity, IdentityKind, Known};
use keys::{KeyRecord, KeyRing};
pub use oidc::{OidcConfig, OidcConfigError};
use oidc::{Provider, words_of};

/// Names the workspace of a request.
pub const WORKSPACE_HEADER: &str = "tessera-workspace";
/// Names the person that a service key acts for.
pub const ACT_AS_HEADER: &str = "tessera-act-as";
/// Names the person in insecure development.
pub const USER_HEADER: &str = "tessera-user";
/// What every service key begins with.
pub const SERVICE_KEY_PREFIX: &str = "tsk_";
/// Fewest bytes of a service key or of the secret of tokens.
pub const SECRET_BYTES_MIN: usize = 32;
/// How far the clocks of issuer and server may be apart, in seconds.
pub const LEEWAY_SECONDS: u64 = 30;

/// Checks identities. Made once at start.
#[derive(Debug)]
pub struct Auth {
    insecure_development: bool,
    token_keys: Vec<TokenKey>,
    provider: Option<Arc<Provider>>,
    admin_scope: String,
    service_keys: KeyRing,
}

struct TokenKey {
    algorithm: Algorithm,
    key: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// What a token that holds says, and which claims say it.
struct Claims<'a> {
    all: Map<String, Value>,
    user: &'a str,
    workspace: &'a str,
    admin: &'a str,
}

impl Auth {
    /// Takes the configuration and the keys.
    pub fn new(config: &AuthConfig, secrets: Secrets) -> Result<Self, AuthConfigError> {
        let mut token_keys = Vec::new();
        if let Some(secret) = secrets.jwt_hs256 {
            if secret.len() < SECRET_BYTES_MIN {
                return Err(AuthConfigError::WeakSecret);
            }
            token_keys.push((Algorithm::HS256, DecodingKey::from_secret(&secret)));
        }
        if let Some(pem) = secrets.jwt_rs256_pem {
            let bad = |source| AuthConfigError::BadPublicKey { algorithm: "RS256", source };
            token_keys.push((Algorithm::RS256, DecodingKey::from_rsa_pem(&pem).map_err(bad)?));
        }
        if let Some(pem) = secrets.jwt_eddsa_pem {
            let bad = |source| AuthConfigError::BadPublicKey { algorithm: "EdDSA", source };
            token_keys.push((Algorithm::EdDSA, DecodingKey::from_ed_pem(&pem).map_err(bad)?));
        }
        let mut fixed: Vec<KeyRecord> = Vec::new();
        for key in &config.service_keys {
            let hash = blake3::Hash::from_hex(&key.hash);
            let hash = hash.map_err(|_| AuthConfigError::BadHash { name: key.name.clone() })?.to_hex().to_string();
            if fixed.iter().any(|known| known.hash == hash) {
                return Err(AuthConfigError::KeyTwice { name: key.name.clone() });
            }
            fixed.push(KeyRecord {
                id: key.name.clone(),
                name: key.name.clone(),
                hash,
                scopes: key.scopes.clone(),
                workspaces: key.workspaces.clone(),
                created_at: jiff::Timestamp::UNIX_EPOCH,
                ends_at: None,
            });
        }
        let service_keys = KeyRing::new(fixed, secrets.keys);
        let provider = Provider::new(&config.oidc)?;
        if provider.is_some() && token_keys.iter().any(|(algorithm, _)| *algorithm != Algorithm::HS256) {
            return Err(AuthConfigError::TwoIssuers);
        }
        if token_keys.is_empty() && provider.is_none() && service_keys.is_empty() && !config.insecure_development {
            return Err(AuthConfigError::Nobody);
        }
        let token_keys = token_keys.into_iter().map(|(algorithm, key)| TokenKey {
            algorithm,
            key,
            validation: validation(algorithm, "sub", &config.jwt_issuer, &config.jwt_audience),
        });
        Ok(Self {
            insecure_development: config.insecure_development,
            token_keys: token_keys.collect(),
            provider,
            admin_scope: config.jwt_admin_scope.clone(),
            service_keys,
        })
    }

    /// Whether callers are believed without proof, so that only this machine may ask.
    pub fn is_insecure(&self) -> bool {
        self.insecure_development
    }

    /// Finds out who is asking. Someone who shows nothing is anonymous; someone who shows something wrong is refused. Keys of
    /// the OpenID provider are fetched where that is due. `known` is told who it is.
    pub async fn identify(&self, headers: &HeaderMap, uri: &Uri, known: &Known) -> Result<Identity, ApiError> {
        if let Some(provider) = &self.provider
            && let Some(header) =
                headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer)
            && let Ok(header) = jsonwebtoken::decode_header(header)
            && !self.token_keys.iter().any(|key| key.algorithm == header.alg)
        {
            provider.prepare_for(header.kid.as_deref()).await;
        }
        let identity = self.identify_by_keys_at_hand(headers, uri, known)?;
        known.is(&identity);
        Ok(identity)
    }

    fn identify_by_keys_at_hand(&self, headers: &HeaderMap, uri: &Uri, known: &Known) -> Result<Identity, ApiError> {
        let named = Named::of(headers)?;
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        if let Some(authorization) = shown.next() {
            let bearer = authorization.to_str().ok().and_then(bearer).filter(|_| shown.next().is_none());
            let token = bearer.ok_or_else(|| refused("send one `Authorization: Bearer` header with a token or key"))?;
            return if token.starts_with(SERVICE_KEY_PREFIX) {
                self.identify_service(token, named, known)
            } else {
                self.identify_person(token, named)
            };
        }
        if self.insecure_development && !is_for_this_machine(headers) {
            let detail =
                "in insecure development, only this machine may ask, and by the name `localhost` or its address";
            return Err(ApiError::new(ProblemCode::Forbidden, detail));
        }
        let in_query = |name: &'static str| query_text(uri, name);
        let workspace = match named.workspace {
            Some(workspace) => Some(workspace),
            None => in_query("workspace").map(|text| id(WorkspaceId::new(text), "workspace")).transpose()?,
        };
        if !self.insecure_development {
            return Ok(Identity {
                kind: IdentityKind::Anonymous,
                workspace,
                user: None,
                scopes: HashSet::new(),
                workspaces: Vec::new(),
            });
        }
        let user = match named.user {
            Some(user) => Some(user),
            None => in_query("as").map(|text| id(UserId::new(text), "as")).transpose()?,
        };
        Ok(Identity {
            kind: IdentityKind::Development,
            workspace,
            user,
            scopes: HashSet::from([Scope::Ingest, Scope::Search, Scope::Admin]),
            workspaces: Vec::new(),
        })
    }

    fn identify_person(&self, token: &str, named: Named) -> Result<Identity, ApiError> {
        let claims = self.claims(token)?.ok_or_else(not_valid)?;
        let user = claims.all.get(claims.user).and_then(Value::as_str).ok_or_else(not_valid)?;
        let user = UserId::new(user).map_err(|_| not_valid())?;
        let workspaces = match claims.all.get(claims.workspace) {
            Some(Value::String(id)) => vec![WorkspaceId::new(id).map_err(|_| not_valid())?],
            Some(Value::Array(ids)) => {
                let id = |id: &Value| id.as_str().and_then(|id| WorkspaceId::new(id).ok()).ok_or_else(not_valid);
                ids.iter().map(id).collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        // Of several, the request says which one it is about.
        let workspace = match (workspaces.as_slice(), named.workspace) {
            ([], _) => return Err(not_valid()),
            ([only], _) => Some(only.clone()),
            (_, None) => None,
            (several, Some(named)) if several.contains(&named) => Some(named),
            _ => return Err(ApiError::new(ProblemCode::Forbidden, "this token is not for that workspace")),
        };
        let mut scopes = HashSet::from([Scope::Search]);
        let words = claims.all.get(claims.admin).map(words_of).unwrap_or_default();
        let admin = !self.admin_scope.is_empty() && words.contains(self.admin_scope.as_str());
        scopes.extend(admin.then_some(Scope::Admin));
        Ok(Identity { kind: IdentityKind::Person, workspace, user: Some(user), scopes, workspaces })
    }

    /// What a token says, if it is signed by the one key that it names, and holds now. An error where that cannot be told
    /// because the provider's keys are not to be had.
    fn claims(&self, token: &str) -> Result<Option<Claims<'_>>, ApiError> {
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Ok(None) };
        if let Some(key) = self.token_keys.iter().find(|key| key.algorithm == header.alg) {
            let decoded = jsonwebtoken::decode(token, &key.key, &key.validation).ok();
            let claims = |all| Claims { all, user: "sub", workspace: "workspace", admin: "scope" };
            return Ok(decoded.map(|decoded| claims(decoded.claims)));
        }
        let Some(provider) = &self.provider else { return Ok(None) };
        let keys = provider.keys().ok_or_else(|| {
            ApiError::new(ProblemCode::Unavailable, "tokens cannot be checked: the identity provider does not answer")
        })?;
        let config = provider.config();
        let Some(key) = keys.find(header.kid.as_deref(), header.alg) else { return Ok(None) };
        let validation = validation(key.algorithm, &config.user_claim, &config.issuer, &config.audience);
        let decoded = jsonwebtoken::decode(token, &key.key, &validation).ok();
        Ok(decoded.map(|decoded| Claims {
            all: decoded.claims,
            user: &config.user_claim,
            workspace: &config.workspace_claim,
            admin: &config.admin_claim,
        }))
    }

    fn identify_service(&self, token: &str, named: Named, known: &Known) -> Result<Identity, ApiError> {
        let found = self.service_keys.find(&blake3::hash(token.as_bytes()));
        let KeyRecord { name, scopes, workspaces, .. } =
            found.ok_or_else(|| refused("the service key is not known, or not valid any more"))?;
        let identity = Identity {
            kind: IdentityKind::Service(name),
            workspace: named.workspace,
            user: named.act_as,
            scopes: scopes.into_iter().collect(),
            workspaces,
        };
        if let Some(workspace) = &identity.workspace
            && !identity.workspaces.is_empty()
            && !identity.workspaces.contains(workspace)
        {
            // Whom it names there is nothing that it may say.
            known.is(&Identity { workspace: None, user: None, ..identity });
            return Err(ApiError::new(ProblemCode::Forbidden, "this service key may not touch that workspace"));
        }
        Ok(identity)
    }
}

/// Whom and what the headers name. One that is no id is refused, whether it is needed or not.
struct Named {
    workspace: Option<WorkspaceId>,
    act_as: Option<UserId>,
    user: Option<UserId>,
}

impl Named {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let user = |name| header_text(headers, name)?.map(|text| id(UserId::new(text), name)).transpose();
        let workspace = header_text(headers, WORKSPACE_HEADER)?;
        Ok(Self {
            workspace: workspace.map(|text| id(WorkspaceId::new(text), WORKSPACE_HEADER)).transpose()?,
            act_as: user(ACT_AS_HEADER)?,
            user: user(USER_HEADER)?,
        })
    }
}

fn validation(algorithm: Algorithm, user_claim: &str, issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    let mut required = vec!["exp"];
    // The library knows no others; whoever takes a claim looks whether it is there.
    if user_claim == "sub" {
        required.push("sub");
    }
    if audience.is_empty() {
        validation.validate_aud = false;
    } else {
        validation.set_audience(&[audience]);
        required.push("aud");
    }
    if !issuer.is_empty() {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}

fn not_valid() -> ApiError {
    refused("the token is not valid here, or not any more")
}

fn refused(detail: &'static str) -> ApiError {
    ApiError::new(ProblemCode::Unauthenticated, detail)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn header_text(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).ok().filter(|_| values.next().is_none());
    let text = text.ok_or_else(|| ApiError::field(name, "must be given once, in UTF-8"))?;
    Ok(Some(text.to_owned()))
}

/// Whether the request was meant for a loopback address. A web page from elsewhere whose name was made to lead here
/// (DNS rebinding) gives itself away by its name.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let host = host.to_str().unwrap_or("");
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    is_loopback(name)
}

/// Whether a host, without its port, is this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn query_text(uri: &Uri, name: &str) -> Option<String> {
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?.0;
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn id<T>(made: Result<T, schemas::ids::InvalidId>, field: &'static str) -> Result<T, ApiError> {
    made.map_err(|invalid| ApiError::field(field, invalid.to_string()))
}
