//! The identities of the tests: keys, tokens, and the server that believes them.

use query::http::auth::{Auth, AuthConfig, Scope, Secrets, ServiceKeyConfig};
use schemas::ids::WorkspaceId;
use serde_json::{Value, json};

/// The shared secret of the tests' tokens.
pub const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
/// A service key with the scope `search`.
pub const SEARCH_KEY: &str = "tsk_search_0123456789abcdef0123456789";
/// A service key with the scope `ingest`, for `acme` alone.
pub const INGEST_KEY: &str = "tsk_ingest_0123456789abcdef0123456789";
/// A service key with the scope `admin`.
pub const ADMIN_KEY: &str = "tsk_admin_00123456789abcdef0123456789";
/// A service key with the scope `admin`, for `acme` alone.
pub const ACME_ADMIN_KEY: &str = "tsk_acme_admin_0123456789abcdef012345";

fn service_key(name: &str, key: &str, scope: Scope, workspaces: &[&str]) -> ServiceKeyConfig {
    ServiceKeyConfig {
        name: name.into(),
        hash: blake3::hash(key.as_bytes()).to_hex().to_string(),
        scopes: vec![scope],
        workspaces: workspaces.iter().map(|id| WorkspaceId::new(id).unwrap()).collect(),
    }
}

/// The service keys above.
pub fn config() -> AuthConfig {
    AuthConfig {
        jwt_admin_scope: "admin".into(),
        service_keys: vec![
            service_key("search", SEARCH_KEY, Scope::Search, &[]),
            service_key("ingest", INGEST_KEY, Scope::Ingest, &["acme"]),
            service_key("admin", ADMIN_KEY, Scope::Admin, &[]),
            service_key("acme-admin", ACME_ADMIN_KEY, Scope::Admin, &["acme"]),
        ],
        ..AuthConfig::default()
    }
}

/// Believes the keys above, and tokens.
pub fn auth() -> Auth {
    Auth::new(&config(), Secrets { jwt_hs256: Some(SECRET.to_vec()), ..Secrets::default() }).unwrap()
}

/// A token that says this, with the secret of the tests.
pub fn signed(claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

/// A token of somebody.
pub fn token(workspace: &str, user: &str, scope: &str) -> String {
    signed(
        &json!({"sub": user, "workspace": workspace, "exp": jsonwebtoken::get_current_timestamp() + 600, "scope": scope}),
    )
}
