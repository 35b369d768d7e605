//! A provider on loopback that can rotate its keys, be slow, be down and lie; and who is let in by its tokens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::get;
use jsonwebtoken::{EncodingKey, Header};
use schemas::problem::ProblemCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::http::auth::{Auth, AuthConfig, AuthConfigError, Identity, Secrets, WORKSPACE_HEADER};
use crate::http::problem::ApiError;

/// Two Ed25519 keys by their seeds, thirty-two times 1 and 2, and the public ones.
const PUBLIC: [&str; 2] =
    ["iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w", "gTl3Dqh9F19Wo1Rmw0x-zMuNipG07jeiXfYPW4_Js5Q"];

fn private(number: usize) -> EncodingKey {
    // PKCS #8 around the seed.
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([number as u8 + 1; 32]);
    EncodingKey::from_ed_der(&der)
}

fn public(number: usize) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": format!("key-{number}"), "x": PUBLIC[number]})
}

/// What the provider answers, and how often it was asked.
struct Site {
    issuer: String,
    discovery: Mutex<Value>,
    keys: Mutex<Value>,
    down: std::sync::atomic::AtomicBool,
    asked: AtomicUsize,
    /// Nothing is answered while a test holds it.
    hung: tokio::sync::Mutex<()>,
}

impl Site {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let site = Arc::new(Self {
            discovery: Mutex::new(json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "more": [1]})),
            keys: Mutex::new(json!({"keys": [public(0)]})),
            issuer,
            down: false.into(),
            asked: AtomicUsize::new(0),
            hung: tokio::sync::Mutex::default(),
        });
        let (discovery, keys) = (Arc::clone(&site), Arc::clone(&site));
        let answer = |site: &Site, document: &Mutex<Value>| {
            let status = if site.down.load(Ordering::SeqCst) { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
            (status, document.lock().unwrap().to_string())
        };
        let router = Router::new()
            .route(
                DISCOVERY_PATH,
                get(move || async move {
                    discovery.asked.fetch_add(1, Ordering::SeqCst);
                    drop(discovery.hung.lock().await);
                    answer(&discovery, &discovery.discovery)
                }),
            )
            .route("/keys", get(move || async move { answer(&keys, &keys.keys) }));
        tokio::spawn(axum::serve(listener, router).into_future());
        site
    }

    fn config(&self) -> OidcConfig {
        OidcConfig { issuer: self.issuer.clone(), audience: "tessera".into(), ..OidcConfig::default() }
    }

    fn auth(&self, change: impl FnOnce(&mut OidcConfig)) -> Auth {
        let mut oidc = self.config();
        change(&mut oidc);
        let config = AuthConfig { oidc, jwt_admin_scope: "tessera:admin".into(), ..AuthConfig::default() };
        Auth::new(&config, Secrets::default()).unwrap()
    }

    fn claims(&self) -> Value {
        let now = jsonwebtoken::get_current_timestamp();
        json!({"iss": self.issuer, "aud": "tessera", "sub": "ada", "workspace": "acme", "exp": now + 600})
    }

    /// Waits until it was asked so often, for a minute at most.
    async fn was_asked(&self, times: usize) -> bool {
        for _ in 0..1_200 {
            if self.asked.load(Ordering::SeqCst) >= times {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// A token with some claims changed; those that are null are taken out.
    fn token(&self, key: usize, changes: &Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        signed(key, Some(&format!("key-{key}")), &claims)
    }
}

fn signed(key: usize, id: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = id.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, &private(key)).unwrap()
}

async fn bearing(auth: &Auth, token: &str) -> Result<Identity, ApiError> {
    bearing_in(auth, token, None).await
}

async fn bearing_in(auth: &Auth, token: &str, workspace: Option<&'static str>) -> Result<Identity, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    if let Some(workspace) = workspace {
        headers.insert(WORKSPACE_HEADER, HeaderValue::from_static(workspace));
    }
    auth.identify(&headers, &"/".parse().unwrap(), &crate::http::auth::Known::default()).await
}

async fn refusal(auth: &Auth, token: &str) -> ProblemCode {
    bearing(auth, token).await.unwrap_err().code()
}

#[tokio::test]
async fn a_token_of_the_provider_makes_its_holder_the_caller() {
    let site = Site::start().await;
    let auth = site.auth(|_| {});
    let ada = bearing(&auth, &site.token(0, &json!({}))).await.unwrap();
    assert_eq!((ada.workspace().unwrap().as_str(), ada.user().unwrap().as_str()), ("acme", "ada"));
    assert!(!ada.is_admin());
    let nameless = bearing(&auth, &signed(0, None, &site.claims())).await.unwrap();
    assert_eq!(nameless, ada, "the only key of the algorithm needs no name");
    for scope in [json!("openid tessera:admin"), json!(["tessera:admin"])] {
        assert!(bearing(&auth, &site.token(0, &json!({"scope": scope}))).await.unwrap().is_admin());
    }
    assert_eq!(site.asked.load(Ordering::SeqCst), 1, "keys are kept");
}

#[tokio::test]
async fn a_token_that_is_not_for_this_server_or_not_of_this_provider_is_refused() {
    let site = Site::start().await;
    let auth = site.auth(|config| config.fetch_secs_min = 3_600);
    let now = jsonwebtoken::get_current_timestamp();
    for (changes, why) in [
        (json!({"aud": "other"}), "for another service"),
        (json!({"aud": null}), "for anyone"),
        (json!({"iss": "https://evil.example"}), "of another provider"),
        (json!({"iss": null}), "of nobody"),
        (json!({"exp": now - 60}), "expired"),
        (json!({"exp": null}), "for ever"),
        (json!({"nbf": now + 60}), "not yet valid"),
        (json!({"sub": null}), "nobody's"),
        (json!({"sub": 7}), "a number's"),
        (json!({"sub": "a b"}), "no id"),
        (json!({"workspace": null}), "nowhere"),
        (json!({"workspace": []}), "nowhere"),
        (json!({"workspace": ["acme", 7]}), "half an id"),
    ] {
        assert_eq!(refusal(&auth, &site.token(0, &changes)).await, ProblemCode::Unauthenticated, "{why}");
    }
    let stolen_name = signed(1, Some("key-0"), &site.claims());
    assert_eq!(refusal(&auth, &stolen_name).await, ProblemCode::Unauthenticated, "signed by another key");
    let unknown = site.token(1, &json!({}));
    assert_eq!(refusal(&auth, &unknown).await, ProblemCode::Unauthenticated, "a key that is not there");
    // The classic: the public key, which everyone has, taken for a shared secret.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("key-0".into());
    let secret = EncodingKey::from_secret(PUBLIC[0].as_bytes());
    let confused = jsonwebtoken::encode(&header, &site.claims(), &secret).unwrap();
    assert_eq!(refusal(&auth, &confused).await, ProblemCode::Unauthenticated, "another algorithm");
    assert_eq!(site.asked.load(Ordering::SeqCst), 1, "no token makes the provider be asked again within the pause");
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_an_old_one_is_forgotten() {
    let site = Site::start().await;
    let auth = site.auth(|config| config.fetch_secs_min = 1);
    let (old, new) = (site.token(0, &json!({})), site.token(1, &json!({})));
    assert!(bearing(&auth, &old).await.is_ok());
    *site.keys.lock().unwrap() = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "key-1"}, public(1)]});
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(bearing(&auth, &old).await.is_ok(), "known, and fetched not long ago");
    assert!(bearing(&auth, &new).await.is_ok());
    assert_eq!(refusal(&auth, &old).await, ProblemCode::Unauthenticated, "taken back by the provider");
}

#[tokio::test]
async fn many_tokens_at_once_make_the_provider_be_asked_once() {
    let site = Site::start().await;
    let auth = Arc::new(site.auth(|_| {}));
    let token = site.token(0, &json!({}));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (auth, token) = (Arc::clone(&auth), token.clone());
            tokio::spawn(async move { bearing(&auth, &token).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(site.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_provider_that_is_down_lets_nobody_in_new_and_keeps_its_keys_for_a_while() {
    let site = Site::start().await;
    let token = site.token(0, &json!({}));
    site.down.store(true, Ordering::SeqCst);
    let auth = site.auth(|config| {
        config.fetch_secs_min = 1;
        config.refresh_secs = 1;
        config.stale_secs_max = 4;
    });
    assert_eq!(refusal(&auth, &token).await, ProblemCode::Unavailable);
    site.down.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(bearing(&auth, &token).await.is_ok(), "asked again after the pause");
    site.down.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let asked = site.asked.load(Ordering::SeqCst);
    assert!(bearing(&auth, &token).await.is_ok(), "old keys are better than none");
    assert!(site.was_asked(asked + 1).await, "though they were to be fetched again");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(refusal(&auth, &token).await, ProblemCode::Unavailable, "but not for ever");
}

/// One request in ten seconds waited for as long as a fetch may take.
#[tokio::test]
async fn a_token_that_can_be_checked_waits_for_no_fetch() {
    let site = Site::start().await;
    let mut auth = site.auth(|config| (config.refresh_secs, config.fetch_secs_min) = (1, 1));
    // A fetch is given up after a day: as good as never.
    let provider = auth.provider.as_mut().unwrap();
    Arc::get_mut(provider).unwrap().config.fetch_ms_max = 86_400_000;
    let (known, new) = (site.token(0, &json!({})), site.token(1, &json!({})));
    assert!(bearing(&auth, &known).await.is_ok());
    let hung = site.hung.lock().await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for _ in 0..3 {
        let taken = tokio::time::timeout(Duration::from_mins(1), bearing(&auth, &known)).await;
        assert!(taken.expect("it waits for the provider").is_ok());
    }
    assert!(site.was_asked(2).await, "the keys are old");
    *site.keys.lock().unwrap() = json!({"keys": [public(0), public(1)]});
    drop(hung);
    assert!(bearing(&auth, &new).await.is_ok(), "one that cannot be checked waits");
}

#[tokio::test]
async fn documents_that_lie_or_are_too_large_give_no_keys() {
    let site = Site::start().await;
    let token = site.token(0, &json!({}));
    let good = site.discovery.lock().unwrap().clone();
    let changed = |name: &str, value: &str| {
        let mut document = good.clone();
        document[name] = value.into();
        document
    };
    for discovery in [
        changed("issuer", "https://evil.example"),
        changed("jwks_uri", "http://keys.example/keys"),
        changed("jwks_uri", "file:///etc/passwd"),
        changed("more", &"x".repeat(DOCUMENT_BYTES_MAX)),
        json!({"issuer": site.issuer}),
        json!([]),
    ] {
        *site.discovery.lock().unwrap() = discovery.clone();
        assert_eq!(
            refusal(&site.auth(|_| {}), &token).await,
            ProblemCode::Unavailable,
            "{:.80}",
            discovery.to_string()
        );
    }
    *site.discovery.lock().unwrap() = good;
    let with = |name: &str, value: &str| {
        let mut key = public(0);
        key[name] = value.into();
        json!({"keys": [key]})
    };
    for keys in
        [json!({"keys": []}), with("use", "enc"), with("alg", "HS256"), with("alg", "RS256"), with("crv", "X25519")]
    {
        *site.keys.lock().unwrap() = keys.clone();
        assert_eq!(refusal(&site.auth(|_| {}), &token).await, ProblemCode::Unavailable, "{keys}");
    }
    *site.keys.lock().unwrap() = with("alg", "EdDSA");
    assert!(bearing(&site.auth(|_| {}), &token).await.is_ok());
}

#[tokio::test]
async fn somebody_of_several_workspaces_says_which_one_is_meant() {
    let site = Site::start().await;
    let auth = site.auth(|config| {
        config.workspace_claim = "https://example.com/workspaces".into();
        config.user_claim = "oid".into();
    });
    let both = site.token(0, &json!({"https://example.com/workspaces": ["acme", "globex"], "oid": "u-7", "sub": null}));
    let globex = bearing_in(&auth, &both, Some("globex")).await.unwrap();
    assert_eq!(globex.caller().unwrap().workspace.as_str(), "globex");
    assert_eq!(globex.user().unwrap().as_str(), "u-7");
    let foreign = bearing_in(&auth, &both, Some("initech")).await.unwrap_err();
    assert_eq!(foreign.code(), ProblemCode::Forbidden);
    let unsaid = bearing(&auth, &both).await.unwrap().caller().unwrap_err();
    assert_eq!(unsaid.code(), ProblemCode::CallerRequired);
}

#[test]
fn a_provider_that_is_not_described_well_is_refused() {
    let described = |change: fn(&mut OidcConfig)| {
        let mut oidc =
            OidcConfig { issuer: "https://id.example".into(), audience: "a".into(), ..OidcConfig::default() };
        change(&mut oidc);
        Auth::new(&AuthConfig { oidc, ..AuthConfig::default() }, Secrets::default())
    };
    assert!(described(|_| {}).is_ok());
    assert!(described(|config| config.issuer = "http://[::1]:9000/realm".into()).is_ok());
    for issuer in ["http://id.example", "id.example", "https://user@id.example", "ftp://id.example"] {
        let mut oidc = OidcConfig { audience: "a".into(), ..OidcConfig::default() };
        oidc.issuer = issuer.into();
        let refused = Auth::new(&AuthConfig { oidc, ..AuthConfig::default() }, Secrets::default());
        assert!(matches!(refused, Err(AuthConfigError::Oidc(OidcConfigError::Issuer))), "{issuer}");
    }
    assert!(matches!(
        described(|config| config.audience.clear()),
        Err(AuthConfigError::Oidc(OidcConfigError::Audience))
    ));
    for wrong in [
        |config: &mut OidcConfig| config.user_claim.clear(),
        |config: &mut OidcConfig| config.refresh_secs = 0,
        |config: &mut OidcConfig| config.stale_secs_max = 1,
        |config: &mut OidcConfig| config.fetch_secs_min = 0,
        |config: &mut OidcConfig| config.fetch_ms_max = 1,
    ] {
        assert!(matches!(described(wrong), Err(AuthConfigError::Oidc(OidcConfigError::Range { .. }))));
    }
    let oidc = OidcConfig { issuer: "https://id.example".into(), audience: "a".into(), ..OidcConfig::default() };
    let pem = include_bytes!("../testdata/ed25519-public.pem").to_vec();
    let secrets = Secrets { jwt_eddsa_pem: Some(pem), ..Secrets::default() };
    let both = Auth::new(&AuthConfig { oidc, ..AuthConfig::default() }, secrets);
    assert!(matches!(both, Err(AuthConfigError::TwoIssuers)));
}
