//! TLS of the API: a certificate and a key from files, which are read again when they change.
//!
//! TLS 1.2 and 1.3, by rustls. Files that cannot be used, as while they are being replaced, leave what was there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Where the certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// File of the certificate and those that lead from it to a root, PEM; empty, and then there is no TLS.
    pub cert_file: String,
    /// File of the private key, PEM: PKCS#8, PKCS#1 or SEC1.
    pub key_file: String,
    /// How often it is seen whether the files changed, in seconds, 1 to 86,400; 60.
    pub reload_secs: u32,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { cert_file: String::new(), key_file: String::new(), reload_secs: 60 }
    }
}

impl TlsConfig {
    /// The first value that cannot hold, and why.
    pub(super) fn wrong(&self) -> Option<String> {
        if self.cert_file.is_empty() != self.key_file.is_empty() {
            return Some("`tls.cert_file` and `tls.key_file` must both be given, or neither".to_owned());
        }
        let in_range = (1..=86_400).contains(&self.reload_secs);
        (!in_range).then(|| "`tls.reload_secs` must be from 1 to 86400".to_owned())
    }
}

/// Why TLS cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or is not what it should be.
    #[error("cannot read {path}, of `http.tls`: name a file of PEM that this user may read")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error(
        "there is no certificate in {path}, of `http.tls.cert_file`: it must begin with the server's own, then those that lead to a root"
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot be used, or is not that of the certificate.
    #[error("cannot use the key in {path}, of `http.tls.key_file`, with the certificate: name the two of one pair")]
    Key {
        /// The file of the key.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// The library cannot be used.
    #[error("cannot set up TLS: this release was built without what it takes; tell us")]
    SetUp(#[source] rustls::Error),
}

/// Serves TLS with what the files hold. Cloning is cheap; clones see the same.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

impl Tls {
    /// Reads the files; none where none are configured.
    pub(super) fn open(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        if config.cert_file.is_empty() {
            return Ok(None);
        }
        let files = Files { cert: PathBuf::from(&config.cert_file), key: PathBuf::from(&config.key_file) };
        let current = Arc::new(Current { certified: RwLock::new(Arc::new(files.read()?)), files });
        let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::SetUp)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Current>::clone(&current));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = Self { acceptor: TlsAcceptor::from(Arc::new(server)), current };
        tracing::info!(cert_file = config.cert_file, "serving TLS");
        Ok(Some(tls))
    }

    /// Shakes hands.
    pub(super) async fn accept<I: AsyncRead + AsyncWrite + Unpin>(&self, io: I) -> io::Result<TlsStream<I>> {
        self.acceptor.accept(io).await
    }

    /// Reads the files again whenever they have changed, until `shutdown` is cancelled.
    pub(super) async fn reload_always(self, every: Duration, shutdown: CancellationToken) {
        let mut seen = self.current.files.stamp();
        while shutdown.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let current = Arc::clone(&self.current);
            let before = seen;
            let reloaded = tokio::task::spawn_blocking(move || {
                let stamp = current.files.stamp();
                (stamp != before).then(|| current.reload(stamp))
            });
            if let Ok(Some(stamp)) = reloaded.await {
                seen = stamp;
            }
        }
    }
}

/// When the files were changed, and how long they are: of the certificate and of the key.
type Stamp = Option<[(SystemTime, u64); 2]>;

#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let metadata = path.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Some([of(&self.cert)?, of(&self.key)?])
    }

    fn read(&self) -> Result<CertifiedKey, TlsError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::File { path, source }
        };
        let chain = CertificateDer::pem_file_iter(&self.cert).map_err(unreadable(&self.cert))?;
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unreadable(&self.cert))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { path: self.cert.clone() });
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(unreadable(&self.key))?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        certified.map_err(|source| TlsError::Key { path: self.key.clone(), source })
    }
}

/// What the files held when they could be used last.
#[derive(Debug)]
struct Current {
    files: Files,
    certified: RwLock<Arc<CertifiedKey>>,
}

impl Current {
    /// Takes what the files hold, if it can be used. Says up to where they were seen: files that cannot be used are looked at again.
    fn reload(&self, stamp: Stamp) -> Stamp {
        match self.files.read() {
            Ok(certified) => {
                *self.certified.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                tracing::info!(cert_file = %self.files.cert.display(), "serving TLS with another certificate");
                stamp
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the changed files cannot be used: TLS goes on with the former certificate");
                None
            }
        }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.certified.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
