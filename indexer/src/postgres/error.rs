//! Why reading from PostgreSQL stopped. What was merged before stays; reading again goes on from there.

use std::path::PathBuf;
use std::time::Duration;

use super::config::{CONNECTION_STRING, URL_VARIABLE};
use crate::config::BadConfig;
use crate::error::IngestError;

/// Why reading from PostgreSQL stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// A configured value is out of its range.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// No database is named.
    #[error("name the database in `postgres.url`, or in the variable {URL_VARIABLE}")]
    NoDatabase,
    /// The connection string cannot be read. What is wrong with it is not said, for it may be a part of the password.
    #[error("the connection string is none: {CONNECTION_STRING}")]
    ConnectionString,
    /// The certificates to trust cannot be read.
    #[error("cannot read certificates from {}, of `postgres.ca_file`", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Encryption cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The connection cannot be made.
    #[error("cannot connect to PostgreSQL")]
    Connect(#[source] tokio_postgres::Error),
    /// The server is older than what this relies on.
    #[error("the server is PostgreSQL {found}, the oldest that will do is 13")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The server follows another one.
    #[error("the server is a standby: read the outbox from the primary, where it is known which transactions are over")]
    Standby,
    /// A table that must be there is not.
    #[error("there is no table or view {table}, or the role may not use its schema; docs/backfill.md has its columns")]
    NoTable {
        /// It, with its schema.
        table: String,
    },
    /// A statement failed.
    #[error("cannot {doing}")]
    Statement {
        /// What it was to do.
        doing: &'static str,
        /// What the server or the client said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Nothing came in time.
    #[error("cannot {doing}: nothing came from the server for {} ms", waited.as_millis())]
    Silent {
        /// What was to be done.
        doing: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// The server sent what its own statement does not allow.
    #[error("the server sent a {what} that is none")]
    Unreadable {
        /// What it is.
        what: &'static str,
    },
    /// It was told to stop.
    #[error("it was told to stop")]
    Stopped,
    /// The engine does not take what was read.
    #[error("cannot take in what was read")]
    Ingest(#[from] IngestError),
    /// There is no runtime or no thread to read with.
    #[error("cannot start reading: raise the limits on processes and open files")]
    Start(#[source] std::io::Error),
}
