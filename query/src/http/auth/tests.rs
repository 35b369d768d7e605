//! Who is let in as whom, and what does not get in: forged, confused, stale and foreign tokens and keys.

use access::{Caller, Subject};
use axum::http::HeaderValue;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const KEY: &str = "tsk_0123456789abcdef0123456789abcdef";

const ED_PUBLIC: &[u8] = include_bytes!("testdata/ed25519-public.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("testdata/rsa-public.pem");
// Ada's claims until the year 2100, signed by the private keys of the above, which were thrown away after.
const EDDSA_TOKEN: &str = include_str!("testdata/eddsa.jwt");
const RS256_TOKEN: &str = include_str!("testdata/rs256.jwt");
const PS256_TOKEN: &str = include_str!("testdata/ps256.jwt");

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn claims() -> Value {
    json!({"sub": "ada", "workspace": "acme", "exp": now() + 600})
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[field] = value.into();
    claims
}

fn without(field: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

fn token(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    token(Algorithm::HS256, &EncodingKey::from_secret(SECRET), claims)
}

fn service_key(scopes: &[Scope], workspaces: &[&str]) -> AuthConfig {
    let key = ServiceKeyConfig {
        name: "importer".into(),
        hash: blake3::hash(KEY.as_bytes()).to_hex().to_string(),
        scopes: scopes.to_vec(),
        workspaces: workspaces.iter().map(|id| WorkspaceId::new(id).unwrap()).collect(),
    };
    AuthConfig { service_keys: vec![key], ..AuthConfig::default() }
}

fn auth(config: &AuthConfig) -> Auth {
    let secrets = Secrets {
        jwt_hs256: Some(SECRET.to_vec()),
        jwt_rs256_pem: Some(RSA_PUBLIC.to_vec()),
        jwt_eddsa_pem: Some(ED_PUBLIC.to_vec()),
        keys: None,
    };
    Auth::new(config, secrets).unwrap()
}

fn identify(auth: &Auth, headers: &[(&'static str, &str)], uri: &str) -> Result<Identity, ApiError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    auth.identify_by_keys_at_hand(&map, &uri.parse().unwrap(), &Known::default())
}

fn bearing(auth: &Auth, token: &str) -> Result<Identity, ApiError> {
    identify(auth, &[("authorization", &format!("Bearer {token}"))], "/")
}

#[track_caller]
fn refuses(auth: &Auth, token: &str, why: &str) {
    assert_eq!(bearing(auth, token).unwrap_err().code(), ProblemCode::Unauthenticated, "{why}");
}

fn ada() -> Caller {
    Caller { workspace: WorkspaceId::new("acme").unwrap(), subject: Subject::User(UserId::new("ada").unwrap()) }
}

#[test]
fn a_token_makes_its_holder_the_caller() {
    let auth = auth(&AuthConfig::default());
    for token in [&hs256(&claims()), RS256_TOKEN, EDDSA_TOKEN] {
        let identity = bearing(&auth, token).unwrap();
        assert_eq!(identity.caller().unwrap(), ada(), "{token}");
        assert!(!identity.is_admin() && identity.require(Scope::Ingest).is_err());
    }
}

#[test]
fn a_token_that_names_the_algorithm_of_another_key_is_refused() {
    let auth = auth(&AuthConfig::default());
    // The classic: the public key, which everyone has, taken for a shared secret.
    for public in [RSA_PUBLIC, ED_PUBLIC] {
        refuses(&auth, &token(Algorithm::HS256, &EncodingKey::from_secret(public), &claims()), "public key as secret");
    }
    refuses(&auth, &token(Algorithm::HS512, &EncodingKey::from_secret(SECRET), &claims()), "same key, other length");
    refuses(&auth, PS256_TOKEN, "same key, other padding");
    // {"alg":"none"}, {"alg":"None"} and no algorithm, each with ada's claims and no signature.
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIn0", "e30"] {
        let signed = hs256(&claims());
        let payload = signed.split('.').nth(1).unwrap();
        refuses(&auth, &format!("{header}.{payload}."), "no signature");
    }
    let only_public = Secrets { jwt_eddsa_pem: Some(ED_PUBLIC.to_vec()), ..Secrets::default() };
    let only_public = Auth::new(&AuthConfig::default(), only_public).unwrap();
    refuses(&only_public, &hs256(&claims()), "no key for the algorithm");
}

#[test]
fn a_token_that_was_altered_or_is_stale_is_refused() {
    let auth = auth(&AuthConfig::default());
    let good = hs256(&claims());
    let other = hs256(&with("sub", "bob"));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (good, other) = (parts(&good), parts(&other));
    refuses(&auth, &format!("{}.{}.{}", good[0], other[1], good[2]), "claims of another token");
    refuses(&auth, &format!("{}.{}", good[0], good[1]), "cut");
    refuses(&auth, "x", "no token");
    refuses(&auth, &token(Algorithm::HS256, &EncodingKey::from_secret(&[7; 40]), &claims()), "another secret");
    refuses(&auth, &hs256(&with("exp", now() - 60)), "expired");
    refuses(&auth, &hs256(&with("nbf", now() + 60)), "not valid yet");
    refuses(&auth, &hs256(&without("exp")), "never expires");
    refuses(&auth, &hs256(&without("sub")), "nobody");
    refuses(&auth, &hs256(&without("workspace")), "nowhere");
    refuses(&auth, &hs256(&with("sub", "a b")), "no id");
    assert!(bearing(&auth, &hs256(&with("exp", now() - 10))).is_ok(), "clocks may be {LEEWAY_SECONDS} s apart");
}

#[test]
fn issuer_and_audience_count_where_they_are_configured() {
    let config =
        AuthConfig { jwt_issuer: "https://id".into(), jwt_audience: "tessera".into(), ..AuthConfig::default() };
    let strict = auth(&config);
    let both = |issuer: &str, audience: Value| {
        let mut claims = with("iss", issuer);
        claims["aud"] = audience;
        hs256(&claims)
    };
    assert!(bearing(&strict, &both("https://id", "tessera".into())).is_ok());
    assert!(bearing(&strict, &both("https://id", json!(["other", "tessera"]))).is_ok());
    refuses(&strict, &both("https://evil", "tessera".into()), "another issuer");
    refuses(&strict, &both("https://id", "other".into()), "for someone else");
    refuses(&strict, &hs256(&claims()), "neither");
    assert!(bearing(&auth(&AuthConfig::default()), &both("https://any", "any".into())).is_ok());
}

#[test]
fn a_scope_makes_an_administrator_only_where_one_is_configured() {
    let token = hs256(&with("scope", "openid tessera:admin"));
    assert!(!bearing(&auth(&AuthConfig::default()), &token).unwrap().is_admin());
    let config = AuthConfig { jwt_admin_scope: "tessera:admin".into(), ..AuthConfig::default() };
    let identity = bearing(&auth(&config), &token).unwrap();
    assert_eq!(identity.administered().unwrap().as_str(), "acme");
    assert!(!bearing(&auth(&config), &hs256(&with("scope", "tessera:administrator"))).unwrap().is_admin());
}

#[test]
fn a_service_key_acts_for_the_person_it_names_within_its_scopes() {
    let auth = auth(&service_key(&[Scope::Search], &["acme"]));
    let key = format!("Bearer {KEY}");
    let named = |headers: &[(&'static str, &str)]| {
        let headers: Vec<_> = [("authorization", key.as_str())].into_iter().chain(headers.iter().copied()).collect();
        identify(&auth, &headers, "/")
    };
    let identity = named(&[(WORKSPACE_HEADER, "acme"), (ACT_AS_HEADER, "ada")]).unwrap();
    assert_eq!(identity.caller().unwrap(), ada());
    assert_eq!(identity.require(Scope::Ingest).unwrap_err().code(), ProblemCode::Forbidden);
    assert_eq!(identity.administered().unwrap_err().code(), ProblemCode::Forbidden);
    assert!(!identity.may_write(&WorkspaceId::new("acme").unwrap()));
    let nobody = named(&[(WORKSPACE_HEADER, "acme")]).unwrap();
    assert_eq!(nobody.caller().unwrap_err().code(), ProblemCode::CallerRequired);
    assert_eq!(nobody.reader().unwrap_err().code(), ProblemCode::CallerRequired, "a key is never anonymous");
    let foreign = named(&[(WORKSPACE_HEADER, "globex"), (ACT_AS_HEADER, "ada")]);
    assert_eq!(foreign.unwrap_err().code(), ProblemCode::Forbidden);
    let twice = named(&[(WORKSPACE_HEADER, "acme"), (ACT_AS_HEADER, "ada"), (ACT_AS_HEADER, "bob")]);
    assert_eq!(twice.unwrap_err().code(), ProblemCode::InvalidRequest);
    refuses(&auth, &KEY.replace('0', "1"), "an unknown key");
    refuses(&auth, SERVICE_KEY_PREFIX, "no key");
}

#[test]
fn a_key_writes_to_its_own_workspaces_alone() {
    let of_acme = bearing(&auth(&service_key(&[Scope::Ingest], &["acme"])), KEY).unwrap();
    let of_all = bearing(&auth(&service_key(&[Scope::Ingest], &[])), KEY).unwrap();
    let (acme, globex) = (WorkspaceId::new("acme").unwrap(), WorkspaceId::new("globex").unwrap());
    assert!(of_acme.may_write(&acme) && !of_acme.may_write(&globex));
    assert!(of_all.may_write(&acme) && of_all.may_write(&globex));
    assert_eq!(of_all.caller().unwrap_err().code(), ProblemCode::Forbidden);
}

#[test]
fn nobody_is_believed_without_proof_but_in_development() {
    let headers = [(WORKSPACE_HEADER, "acme"), (USER_HEADER, "ada")];
    let anonymous = identify(&auth(&AuthConfig::default()), &headers, "/").unwrap();
    assert_eq!(anonymous.kind(), &IdentityKind::Anonymous);
    assert_eq!(anonymous.caller().unwrap_err().code(), ProblemCode::Unauthenticated);
    assert_eq!(anonymous.reader().unwrap().subject, Subject::Anonymous);
    let by_query = identify(&auth(&AuthConfig::default()), &[], "/?workspace=acme&as=ada").unwrap();
    assert_eq!(by_query.reader().unwrap().subject, Subject::Anonymous);
    let nowhere = identify(&auth(&AuthConfig::default()), &[], "/").unwrap();
    assert_eq!(nowhere.reader().unwrap_err().code(), ProblemCode::Unauthenticated);

    let config = AuthConfig { insecure_development: true, ..AuthConfig::default() };
    let development = Auth::new(&config, Secrets::default()).unwrap();
    assert!(development.is_insecure());
    assert_eq!(identify(&development, &headers, "/").unwrap().caller().unwrap(), ada());
    assert_eq!(identify(&development, &[], "/?workspace=acme&as=ada").unwrap().caller().unwrap(), ada());
    assert_eq!(identify(&development, &[], "/").unwrap().caller().unwrap_err().code(), ProblemCode::Unauthenticated);
    let bad = identify(&development, &[(WORKSPACE_HEADER, "a b")], "/").unwrap_err();
    assert_eq!(bad.code(), ProblemCode::InvalidRequest);
}

#[test]
fn insecure_development_answers_nobody_who_came_by_a_foreign_name() {
    let config = AuthConfig { insecure_development: true, ..AuthConfig::default() };
    let development = Auth::new(&config, Secrets::default()).unwrap();
    let by =
        |host: &str| identify(&development, &[("host", host), (WORKSPACE_HEADER, "acme"), (USER_HEADER, "ada")], "/");
    for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
        assert!(by(host).is_ok(), "{host}");
    }
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "192.168.0.1", "[::2]:80", "", ":80"] {
        assert_eq!(by(host).unwrap_err().code(), ProblemCode::Forbidden, "{host}");
    }
}

#[test]
fn a_wrong_header_is_refused_and_not_taken_for_none() {
    let auth = auth(&AuthConfig::default());
    for wrong in ["Basic YWRhOng=", "Bearer", "Bearer  ", "bearer\t"] {
        let refused = identify(&auth, &[("authorization", wrong), (WORKSPACE_HEADER, "acme")], "/");
        assert_eq!(refused.unwrap_err().code(), ProblemCode::Unauthenticated, "{wrong}");
    }
    let good = format!("Bearer {}", hs256(&claims()));
    let twice = identify(&auth, &[("authorization", &good), ("authorization", &good)], "/");
    assert_eq!(twice.unwrap_err().code(), ProblemCode::Unauthenticated);
}

#[test]
fn a_configuration_that_lets_nobody_in_or_everybody_is_refused() {
    let secret = |secret: &[u8]| Secrets { jwt_hs256: Some(secret.to_vec()), ..Secrets::default() };
    let none = Auth::new(&AuthConfig::default(), Secrets::default());
    assert!(matches!(none, Err(AuthConfigError::Nobody)));
    assert!(matches!(Auth::new(&AuthConfig::default(), secret(b"short")), Err(AuthConfigError::WeakSecret)));
    let pem = Secrets { jwt_rs256_pem: Some(b"not a key".to_vec()), ..Secrets::default() };
    assert!(matches!(Auth::new(&AuthConfig::default(), pem), Err(AuthConfigError::BadPublicKey { .. })));
    let mut config = service_key(&[Scope::Search], &[]);
    config.service_keys.push(config.service_keys[0].clone());
    assert!(matches!(Auth::new(&config, Secrets::default()), Err(AuthConfigError::KeyTwice { .. })));
    config.service_keys[0].hash = KEY.into();
    assert!(matches!(Auth::new(&config, Secrets::default()), Err(AuthConfigError::BadHash { .. })));
}

#[test]
fn secrets_and_keys_print_nothing_of_themselves() {
    let shown = format!(
        "{:?} {:?}",
        Secrets { jwt_hs256: Some(SECRET.to_vec()), ..Secrets::default() },
        auth(&AuthConfig::default())
    );
    assert!(!shown.contains("thirty") && !shown.contains("97, 32"), "{shown}");
}
