//! The secrets: read from variables of the environment, and from files that keys name. No key holds one, and nothing prints one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use models::generate::{EndpointConfig, Secret};
use query::http::auth::keys::{KeyFile, Keys};
use query::http::auth::{Auth, AuthConfigError, Secrets};

use super::Config;

/// Holds the shared secret of HS256 tokens.
const HS256_SECRET: &str = "TESSERA_JWT_HS256_SECRET";
/// Holds what is shown to the collector of traces, as the header `Authorization`.
const TRACES_AUTHORIZATION: &str = "TESSERA_TRACES_AUTHORIZATION";

impl Config {
    /// What tells callers apart. Where it cannot be made, says by which variable or file, and what to do.
    pub(crate) fn auth(&self, secrets: Secrets) -> anyhow::Result<Auth> {
        Auth::new(&self.auth.identities, secrets).map_err(|error| {
            let way_out = match &error {
                AuthConfigError::WeakSecret => {
                    format!("give {HS256_SECRET} a longer one, as `openssl rand -hex 32` makes")
                }
                AuthConfigError::BadPublicKey { algorithm, .. } => {
                    let (key, path) = if *algorithm == "RS256" {
                        ("auth.jwt_rs256_public_key", &self.auth.jwt_rs256_public_key)
                    } else {
                        ("auth.jwt_eddsa_public_key", &self.auth.jwt_eddsa_public_key)
                    };
                    let path = path.as_deref().unwrap_or(Path::new("")).display();
                    format!("{path}, of `{key}`, must hold a public key for {algorithm}: -----BEGIN PUBLIC KEY-----")
                }
                _ => return error.into(),
            };
            anyhow::Error::new(error).context(way_out)
        })
    }

    /// The secrets that tokens are checked with, from the environment and from files.
    pub(crate) fn secrets(&self) -> anyhow::Result<Secrets> {
        let read = |path: &Option<PathBuf>, key: &str| {
            let cannot = |path: &PathBuf| {
                format!("cannot read {}, of `auth.{key}`: name a file that this user may read", path.display())
            };
            let read = |path: &PathBuf| std::fs::read(path).with_context(|| cannot(path));
            path.as_ref().map(read).transpose()
        };
        Ok(Secrets {
            jwt_hs256: std::env::var_os(HS256_SECRET).map(std::ffi::OsString::into_encoded_bytes),
            jwt_rs256_pem: read(&self.auth.jwt_rs256_public_key, "jwt_rs256_public_key")?,
            jwt_eddsa_pem: read(&self.auth.jwt_eddsa_public_key, "jwt_eddsa_public_key")?,
            keys: Some(Keys::open(self.key_file()).context("cannot read the service keys")?),
        })
    }

    /// The file of service keys.
    pub(crate) fn key_file(&self) -> KeyFile {
        KeyFile::new(self.auth.keys_file.clone().unwrap_or_else(|| self.data_dir.join("keys.json")))
    }

    /// The keys of language models, by the names of their endpoints, from the variables that these name. One that is not set,
    /// is empty or is not text is left out.
    pub(crate) fn model_keys(&self) -> HashMap<String, Secret> {
        let keyed = self.models.generate.endpoints.iter().filter(|endpoint| !endpoint.key_env.is_empty());
        let key = |endpoint: &EndpointConfig| {
            let key = std::env::var_os(&endpoint.key_env)?.into_string().ok()?;
            // Often read from a file, with its end of line.
            let key = key.trim();
            (!key.is_empty()).then(|| (endpoint.name.clone(), Secret::from(key)))
        };
        keyed.filter_map(key).collect()
    }

    /// The language models that take a key for which there is none.
    pub(crate) fn endpoints_without_key(&self) -> Vec<&EndpointConfig> {
        let keys = self.model_keys();
        let lacks = |endpoint: &&EndpointConfig| !endpoint.key_env.is_empty() && !keys.contains_key(&endpoint.name);
        self.models.generate.endpoints.iter().filter(lacks).collect()
    }

    /// The secret settings of the Kafka client, from files and, before them, from the environment.
    pub(crate) fn kafka_secrets(&self) -> anyhow::Result<indexer::kafka::config::Secrets> {
        use indexer::kafka::config::{SECRETS, Secrets, secret_variable};
        let mut secrets = Secrets::default();
        for (name, path) in &self.kafka.secret_files {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}, of `{name}`"))?;
            secrets.0.insert(name.clone(), text.trim_end_matches(['\r', '\n']).to_owned());
        }
        for name in SECRETS {
            let variable = secret_variable(name);
            let Some(value) = std::env::var_os(&variable) else { continue };
            let Ok(value) = value.into_string() else { bail!("the variable {variable} is not UTF-8") };
            secrets.0.insert(name.to_owned(), value);
        }
        Ok(secrets)
    }

    /// What is secret of the connection to PostgreSQL, from the environment and, after it, from a file.
    pub(crate) fn postgres_secrets(&self) -> anyhow::Result<indexer::postgres::config::Secrets> {
        use indexer::postgres::config::{PASSWORD_VARIABLE, Secrets, URL_VARIABLE};
        let variable = |name: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            let text = value.map(std::ffi::OsString::into_string).transpose();
            text.map_err(|_| anyhow::anyhow!("the variable {name} is not UTF-8"))
        };
        let url = variable(URL_VARIABLE)?;
        let mut password = variable(PASSWORD_VARIABLE)?;
        if password.is_none() && !self.postgres.password_file.is_empty() {
            let path = &self.postgres.password_file;
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {path}, of `postgres.password_file`"))?;
            password = Some(text.trim_end_matches(['\r', '\n']).to_owned());
        }
        Ok(Secrets { url, password })
    }

    /// What is shown to the collector of traces, where it asks for something.
    pub(crate) fn traces_authorization() -> anyhow::Result<Option<Secret>> {
        let Some(value) = std::env::var_os(TRACES_AUTHORIZATION).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let Ok(value) = value.into_string() else { bail!("the variable {TRACES_AUTHORIZATION} is not UTF-8") };
        Ok(Some(Secret::from(value.trim())))
    }
}
