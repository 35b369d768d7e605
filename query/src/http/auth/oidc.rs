//! The public keys of an OpenID provider: found by its discovery document, kept, fetched again when they are old or a token
//! names one that is not among them.
//!
//! Formats: OpenID Connect Discovery 1.0 and JSON Web Key Sets (RFC 7517). Invariants: every key has one algorithm, and no
//! secret one; whatever tokens come, the provider is asked at most once in [`OidcConfig::fetch_secs_min`]; nothing is read beyond
//! [`DOCUMENT_BYTES_MAX`]; keys that could not be fetched again are believed for [`OidcConfig::stale_secs_max`], then nobody is.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::with_causes;

/// Where a provider describes itself, below its issuer address.
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Largest document that is read of a provider.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;
/// Most keys that are kept.
const KEYS_MAX: usize = 64;

/// Who gives tokens, and what they say about whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OidcConfig {
    /// The provider's address, exactly as in `iss` of its tokens: `https://id.example.com`; empty for none. `http` is taken on
    /// loopback alone.
    pub issuer: String,
    /// What `aud` of a token must be or hold. Must be given: a token for another service is none for this one.
    pub audience: String,
    /// The claim that holds the person's id; `sub`.
    pub user_claim: String,
    /// The claim that holds the workspace's id, or a list of them; `workspace`.
    pub workspace_claim: String,
    /// The claim in which the word of `auth.jwt_admin_scope` is looked for, words or a list of them; `scope`.
    pub admin_claim: String,
    /// After how long keys are fetched again, in seconds; 600.
    pub refresh_secs: u64,
    /// How long keys are believed when they cannot be fetched again, in seconds; 86,400.
    pub stale_secs_max: u64,
    /// How long to wait between two attempts to fetch, in seconds; 10.
    pub fetch_secs_min: u64,
    /// How long one attempt may take, in milliseconds; 5,000.
    pub fetch_ms_max: u64,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            user_claim: "sub".to_owned(),
            workspace_claim: "workspace".to_owned(),
            admin_claim: "scope".to_owned(),
            refresh_secs: 600,
            stale_secs_max: 86_400,
            fetch_secs_min: 10,
            fetch_ms_max: 5_000,
        }
    }
}

/// What is wrong with [`OidcConfig`].
#[derive(Debug, Error)]
pub enum OidcConfigError {
    /// The issuer is no address that keys can be fetched from.
    #[error("`auth.oidc.issuer` must be an address that begins with https://, or with http:// on loopback")]
    Issuer,
    /// Tokens for anyone would be taken.
    #[error("`auth.oidc.audience` must be given: what `aud` of tokens for this server says")]
    Audience,
    /// A number or a name is out of its range.
    #[error("`auth.oidc.{key}` {rule}")]
    Range {
        /// The key.
        key: &'static str,
        /// What must hold.
        rule: &'static str,
    },
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client for the OpenID provider")]
    Client(#[source] reqwest::Error),
}

/// Why the keys could not be fetched.
#[derive(Debug, Error)]
enum FetchError {
    #[error("{document} cannot be fetched")]
    Http { document: &'static str, source: reqwest::Error },
    #[error("{document} is larger than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge { document: &'static str },
    #[error("{document} cannot be read")]
    Malformed { document: &'static str, source: serde_json::Error },
    #[error("the discovery document is of the issuer `{found}`")]
    OtherIssuer { found: String },
    #[error("`jwks_uri` is no address that keys may come from")]
    KeysAddress,
    #[error("there is no key among them that tokens can be checked with")]
    NoKeys,
    #[error("it took longer than {0} ms")]
    Late(u64),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Keys one by one, since a key of a kind that is not known here must not spoil the others.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// A public key and the one algorithm it is for.
pub(super) struct PublicKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys of a provider as they were last fetched.
#[derive(Default)]
pub(super) struct Keys {
    keys: Vec<PublicKey>,
    fetched: Option<Instant>,
}

impl Keys {
    /// The key that a token names. One that names none is checked by the only key there is of its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut found =
            self.keys.iter().filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id));
        let first = found.next()?;
        (id.is_some() || found.next().is_none()).then_some(first)
    }

    fn holds(&self, id: Option<&str>) -> bool {
        id.is_none() || self.keys.iter().any(|key| key.id.as_deref() == id)
    }
}

/// An OpenID provider and its keys.
pub(super) struct Provider {
    config: OidcConfig,
    http: Client,
    keys: RwLock<Arc<Keys>>,
    /// When it was last asked. Held by whoever asks.
    asked: Arc<Mutex<Option<Instant>>>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}

impl Provider {
    /// `None` where no provider is configured. Asks nobody yet.
    pub(super) fn new(config: &OidcConfig) -> Result<Option<Arc<Self>>, OidcConfigError> {
        if config.issuer.is_empty() {
            return Ok(None);
        }
        if !Url::parse(&config.issuer).is_ok_and(|url| may_give_keys(&url)) {
            return Err(OidcConfigError::Issuer);
        }
        if config.audience.is_empty() {
            return Err(OidcConfigError::Audience);
        }
        let claims = [
            ("user_claim", &config.user_claim),
            ("workspace_claim", &config.workspace_claim),
            ("admin_claim", &config.admin_claim),
        ];
        if let Some((key, _)) = claims.into_iter().find(|(_, claim)| claim.is_empty()) {
            return Err(OidcConfigError::Range { key, rule: "must name a claim" });
        }
        let range = |holds: bool, key, rule| if holds { Ok(()) } else { Err(OidcConfigError::Range { key, rule }) };
        range((1..=86_400).contains(&config.refresh_secs), "refresh_secs", "must be from 1 to 86,400")?;
        let stale = config.refresh_secs..=31 * 86_400;
        range(stale.contains(&config.stale_secs_max), "stale_secs_max", "must be from `refresh_secs` to 31 days")?;
        range((1..=3_600).contains(&config.fetch_secs_min), "fetch_secs_min", "must be from 1 to 3,600")?;
        range((100..=30_000).contains(&config.fetch_ms_max), "fetch_ms_max", "must be from 100 to 30,000")?;
        let http = Client::builder()
            .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
            // Keys come from where the operator said, not from where an answer or the environment leads.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(OidcConfigError::Client)?;
        let (config, asked) = (config.clone(), Arc::new(Mutex::new(None)));
        Ok(Some(Arc::new(Self { config, http, keys: RwLock::default(), asked })))
    }

    pub(super) fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// The keys that may be believed now; `None` when there are none, or none young enough.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        let keys = self.held();
        let is_young = |fetched: Instant| fetched.elapsed() <= Duration::from_secs(self.config.stale_secs_max);
        keys.fetched.is_some_and(is_young).then_some(keys)
    }

    /// Fetches the keys if those at hand are old, or have none of this id. A token that can be checked waits for no fetch, its own included, and
    /// nobody fetches again within [`OidcConfig::fetch_secs_min`].
    ///
    /// Cancel safety: safe; an attempt that was given up counts as one.
    pub(super) async fn prepare_for(self: &Arc<Self>, id: Option<&str>) {
        let keys = self.held();
        let can_check = self.keys().is_some() && keys.holds(id);
        let is_fresh = |fetched: Instant| fetched.elapsed() <= Duration::from_secs(self.config.refresh_secs);
        if can_check && keys.fetched.is_some_and(is_fresh) {
            return;
        }
        if !can_check {
            let mut asked = self.asked.lock().await;
            if self.may_ask(*asked) {
                self.refresh(&mut asked).await;
            }
            return;
        }
        // Whoever asks already asks for all.
        let Ok(mut asked) = Arc::clone(&self.asked).try_lock_owned() else { return };
        if self.may_ask(*asked) {
            let provider = Arc::clone(self);
            // It ends by itself, within `fetch_ms_max`.
            tokio::spawn(async move { provider.refresh(&mut asked).await });
        }
    }

    /// Whether enough time has gone by since it was last asked.
    fn may_ask(&self, asked: Option<Instant>) -> bool {
        let pause = Duration::from_secs(self.config.fetch_secs_min);
        asked.is_none_or(|at| at.elapsed() >= pause)
    }

    /// Fetches the keys, and notes when.
    async fn refresh(&self, asked: &mut Option<Instant>) {
        *asked = Some(Instant::now());
        let late = FetchError::Late(self.config.fetch_ms_max);
        let fetch = tokio::time::timeout(Duration::from_millis(self.config.fetch_ms_max), self.fetch());
        match fetch.await.unwrap_or(Err(late)) {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "fetched the keys of the OpenID provider");
                let fetched = Arc::new(Keys { keys, fetched: Some(Instant::now()) });
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fetched;
            }
            Err(error) => {
                let causes = with_causes(&error);
                tracing::warn!(issuer = self.config.issuer, causes, "cannot fetch the keys of the OpenID provider");
            }
        }
    }

    fn held(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn fetch(&self) -> Result<Vec<PublicKey>, FetchError> {
        let address = format!("{}{DISCOVERY_PATH}", self.config.issuer.trim_end_matches('/'));
        let discovery: Discovery = self.document("the discovery document", &address).await?;
        if discovery.issuer != self.config.issuer {
            return Err(FetchError::OtherIssuer { found: discovery.issuer });
        }
        if !Url::parse(&discovery.jwks_uri).is_ok_and(|url| may_give_keys(&url)) {
            return Err(FetchError::KeysAddress);
        }
        let set: KeySet = self.document("the key set", &discovery.jwks_uri).await?;
        let keys: Vec<PublicKey> = set.keys.into_iter().filter_map(usable).take(KEYS_MAX).collect();
        if keys.is_empty() { Err(FetchError::NoKeys) } else { Ok(keys) }
    }

    async fn document<T: for<'de> Deserialize<'de>>(&self, document: &'static str, url: &str) -> Result<T, FetchError> {
        let http = |source: reqwest::Error| FetchError::Http { document, source: source.without_url() };
        let response = self.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let mut response = response.map_err(http)?;
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(http)? {
            if body.len() + bytes.len() > DOCUMENT_BYTES_MAX {
                return Err(FetchError::TooLarge { document });
            }
            body.extend_from_slice(&bytes);
        }
        serde_json::from_slice(&body).map_err(|source| FetchError::Malformed { document, source })
    }
}

/// A key that signatures can be checked with; `None` for keys of other kinds, for other uses, and for shared secrets.
fn usable(key: serde_json::Value) -> Option<PublicKey> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    if key.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return None;
    }
    // What a key may sign with, where it does not say: the algorithm that all providers use with its kind.
    let (default, allowed): (Algorithm, &[Algorithm]) = match &key.algorithm {
        AlgorithmParameters::RSA(_) => {
            use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
            (RS256, &[RS256, RS384, RS512, PS256, PS384, PS512])
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, &[Algorithm::ES256])
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => {
            (Algorithm::ES384, &[Algorithm::ES384])
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, &[Algorithm::EdDSA])
        }
        _ => return None,
    };
    let algorithm = match key.common.key_algorithm {
        None => default,
        Some(named) => algorithm_of(named)?,
    };
    let decoding = DecodingKey::from_jwk(&key).ok()?;
    allowed.contains(&algorithm).then_some(PublicKey { id: key.common.key_id, algorithm, key: decoding })
}

fn algorithm_of(named: KeyAlgorithm) -> Option<Algorithm> {
    named.to_string().parse().ok()
}

/// The words of a claim: a text of words, or a list of them.
pub(super) fn words_of(claim: &serde_json::Value) -> BTreeSet<&str> {
    match claim {
        serde_json::Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        serde_json::Value::Array(list) => list.iter().filter_map(serde_json::Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

/// Whether keys from there can be believed: nobody in between can have changed them.
fn may_give_keys(url: &Url) -> bool {
    let is_loopback = url.host_str().is_some_and(super::is_loopback);
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    is_plain && (url.scheme() == "https" || url.scheme() == "http" && is_loopback)
}

#[cfg(test)]
mod tests;
