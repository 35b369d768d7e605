//! Who is asking: from the headers of a request to an [`Identity`], and from that to the caller of a search.
//!
//! A `Caller` is built by [`Identity`] alone. Nothing here decides what a caller may see. Invariants: every key
//! has one algorithm, and a token that names another is refused whatever else it says; keys are kept as hashes and
//! compared in constant time; no message and no log line holds a token or a key.
//!
//! Three ways to be someone:
//!
//! - a JSON Web Token of the product, `Authorization: Bearer …`: `sub` is the person, `workspace` the workspace, `exp`
//!   is required;
//! - a service key, `Authorization: Bearer tsk_…`, which acts for a person named by `Tessera-Act-As` in the workspace
//!   named by `Tessera-Workspace`;
//! - in insecure development, the headers `Tessera-Workspace` and `Tessera-User`, or `?workspace=…&as=…`, believed as
//!   they are. A server like that listens on loopback alone.

mod config;
mod identity;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;

use axum::http::{HeaderMap, Uri, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use schemas::ids::{UserId, WorkspaceId};
use schemas::problem::ProblemCode;
use serde::Deserialize;
use subtle::{Choice, ConstantTimeEq};

use super::problem::ApiError;
pub use config::{AuthConfig, AuthConfigError, Scope, Secrets, ServiceKeyConfig};
pub use identity::{Identity, IdentityKind};

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
    admin_scope: String,
    service_keys: Vec<ServiceKey>,
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

#[derive(Debug)]
struct ServiceKey {
    name: String,
    hash: [u8; 32],
    scopes: HashSet<Scope>,
    workspaces: Vec<WorkspaceId>,
}

#[derive(Deserialize)]
struct Claims {
    sub: UserId,
    workspace: WorkspaceId,
    #[serde(default)]
    scope: String,
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
        let mut service_keys: Vec<ServiceKey> = Vec::new();
        for key in &config.service_keys {
            let hash = blake3::Hash::from_hex(&key.hash);
            let hash = *hash.map_err(|_| AuthConfigError::BadHash { name: key.name.clone() })?.as_bytes();
            if service_keys.iter().any(|known| known.hash == hash) {
                return Err(AuthConfigError::KeyTwice { name: key.name.clone() });
            }
            let scopes = key.scopes.iter().copied().collect();
            service_keys.push(ServiceKey { name: key.name.clone(), hash, scopes, workspaces: key.workspaces.clone() });
        }
        if token_keys.is_empty() && service_keys.is_empty() && !config.insecure_development {
            return Err(AuthConfigError::Nobody);
        }
        let token_keys = token_keys.into_iter().map(|(algorithm, key)| TokenKey {
            algorithm,
            key,
            validation: validation(algorithm, config),
        });
        Ok(Self {
            insecure_development: config.insecure_development,
            token_keys: token_keys.collect(),
            admin_scope: config.jwt_admin_scope.clone(),
            service_keys,
        })
    }

    /// Whether callers are believed without proof, so that only this machine may ask.
    pub fn is_insecure(&self) -> bool {
        self.insecure_development
    }

    /// Finds out who is asking. Someone who shows nothing is anonymous; someone who shows something wrong is refused.
    pub fn identify(&self, headers: &HeaderMap, uri: &Uri) -> Result<Identity, ApiError> {
        let named = Named::of(headers)?;
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        if let Some(authorization) = shown.next() {
            let bearer = authorization.to_str().ok().and_then(bearer).filter(|_| shown.next().is_none());
            let token = bearer.ok_or_else(|| refused("send one `Authorization: Bearer` header with a token or key"))?;
            return if token.starts_with(SERVICE_KEY_PREFIX) {
                self.identify_service(token, named)
            } else {
                self.identify_person(token)
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

    fn identify_person(&self, token: &str) -> Result<Identity, ApiError> {
        let claims = self.claims(token).ok_or_else(|| refused("the token is not valid here, or not any more"))?;
        let mut scopes = HashSet::from([Scope::Search]);
        let admin = !self.admin_scope.is_empty() && claims.scope.split(' ').any(|word| word == self.admin_scope);
        scopes.extend(admin.then_some(Scope::Admin));
        Ok(Identity {
            kind: IdentityKind::Person,
            workspace: Some(claims.workspace.clone()),
            user: Some(claims.sub),
            scopes,
            workspaces: vec![claims.workspace],
        })
    }

    /// What a token says, if it is signed by the one key of the algorithm that it names, and holds now.
    fn claims(&self, token: &str) -> Option<Claims> {
        let named = jsonwebtoken::decode_header(token).ok()?.alg;
        let key = self.token_keys.iter().find(|key| key.algorithm == named)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.key, &key.validation).ok()?;
        Some(decoded.claims)
    }

    fn identify_service(&self, token: &str, named: Named) -> Result<Identity, ApiError> {
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        // Every key is compared, so that time tells nothing about which one is near.
        let mut found = None;
        for key in &self.service_keys {
            let equal: Choice = key.hash.ct_eq(&hash);
            if bool::from(equal) {
                found = Some(key);
            }
        }
        let key = found.ok_or_else(|| refused("the service key is not known"))?;
        if let Some(workspace) = &named.workspace
            && !key.workspaces.is_empty()
            && !key.workspaces.contains(workspace)
        {
            return Err(ApiError::new(ProblemCode::Forbidden, "this service key may not touch that workspace"));
        }
        Ok(Identity {
            kind: IdentityKind::Service(key.name.clone()),
            workspace: named.workspace,
            user: named.act_as,
            scopes: key.scopes.clone(),
            workspaces: key.workspaces.clone(),
        })
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

fn validation(algorithm: Algorithm, config: &AuthConfig) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    let mut required = vec!["exp", "sub"];
    if config.jwt_audience.is_empty() {
        validation.validate_aud = false;
    } else {
        validation.set_audience(&[&config.jwt_audience]);
        required.push("aud");
    }
    if !config.jwt_issuer.is_empty() {
        validation.set_issuer(&[&config.jwt_issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
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
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn query_text(uri: &Uri, name: &str) -> Option<String> {
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?.0;
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn id<T>(made: Result<T, schemas::ids::InvalidId>, field: &'static str) -> Result<T, ApiError> {
    made.map_err(|invalid| ApiError::field(field, invalid.to_string()))
}
