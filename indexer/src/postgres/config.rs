//! What reading from PostgreSQL is configured with, and what of it is secret.

use serde::{Deserialize, Serialize};

use super::PostgresError;
use crate::config::BadConfig;
use schemas::limits::EVENT_BYTES_MAX;

/// The variable of the environment that may hold a connection string, its password included.
pub const URL_VARIABLE: &str = "TESSERA_POSTGRES_URL";
/// The variable of the environment that may hold the password.
pub const PASSWORD_VARIABLE: &str = "TESSERA_POSTGRES_PASSWORD";

/// Settings of reading from PostgreSQL. Without a connection string there is nothing to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The connection string without a password, as `postgres://tessera@db.example.com/product` or
    /// `host=/run/postgresql dbname=product`; empty for none. Default empty.
    pub url: String,
    /// A file that holds the password; empty for none. Default empty.
    pub password_file: String,
    /// A file of certificates, PEM, that a server's must rest on where `sslmode=require` asks for encryption; empty for those that
    /// this machine trusts. Default empty.
    pub ca_file: String,
    /// The schema of the tables or views `outbox`, `pages`, `blocks`, `members` and `groups`. Default `tessera`.
    pub schema: String,
    /// Whether `tessera serve` follows the outbox beside requests. Default false.
    pub follow: bool,
    /// How long to wait for new rows once all are read, in milliseconds; 10 to 3,600,000. Default 500.
    pub poll_interval_ms: u64,
    /// How long connecting may take, in milliseconds; 100 to 600,000. Default 10,000.
    pub connect_timeout_ms: u64,
    /// How long the server may take for one statement, in milliseconds; 100 to 86,400,000. Default 60,000.
    pub statement_timeout_ms: u64,
    /// Bytes of rows fetched at a time, 1 MiB or more: a mebibyte for each row, for so large may one be. Default 16 MiB.
    pub fetch_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            password_file: String::new(),
            ca_file: String::new(),
            schema: "tessera".to_owned(),
            follow: false,
            poll_interval_ms: 500,
            connect_timeout_ms: 10_000,
            statement_timeout_ms: 60_000,
            fetch_bytes_max: 16 << 20,
        }
    }
}

/// What is secret of a connection. Its `Debug` prints none of it.
#[derive(Clone, Default)]
pub struct Secrets {
    /// A connection string that goes before that of the configuration.
    pub url: Option<String>,
    /// A password that goes before that of the connection string.
    pub password: Option<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("has_url", &self.url.is_some())
            .field("has_password", &self.password.is_some())
            .finish()
    }
}

impl Config {
    /// Whether there is a database to read.
    pub fn is_enabled(&self, secrets: &Secrets) -> bool {
        !self.url.is_empty() || secrets.url.is_some()
    }

    /// Checks every value against its stated range.
    pub fn check(&self) -> Result<(), BadConfig> {
        let bad = |key, requirement: String| Err(BadConfig { key, requirement });
        if !self.url.is_empty() {
            let Ok(parsed) = self.url.parse::<tokio_postgres::Config>() else {
                return bad("postgres.url", format!("must be a connection string: {CONNECTION_STRING}"));
            };
            if parsed.get_password().is_some() {
                let instead =
                    format!("set the variable {PASSWORD_VARIABLE}, or name a file in `postgres.password_file`");
                return bad("postgres.url", format!("must not hold the password: {instead}"));
            }
        }
        if self.schema.is_empty() || self.schema.len() > 63 || self.schema.contains('\0') {
            return bad("postgres.schema", "must have 1 to 63 bytes".to_owned());
        }
        let ranges = [
            ("postgres.poll_interval_ms", self.poll_interval_ms, 10, 3_600_000),
            ("postgres.connect_timeout_ms", self.connect_timeout_ms, 100, 600_000),
            ("postgres.statement_timeout_ms", self.statement_timeout_ms, 100, 86_400_000),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return bad(key, format!("must be {least} to {most}"));
            }
        }
        if self.fetch_bytes_max < EVENT_BYTES_MAX {
            return bad("postgres.fetch_bytes_max", format!("must be at least {EVENT_BYTES_MAX}"));
        }
        Ok(())
    }

    /// How many rows are fetched at a time.
    pub(super) fn fetch_rows(&self) -> i32 {
        i32::try_from(self.fetch_bytes_max / EVENT_BYTES_MAX).unwrap_or(i32::MAX).max(1)
    }

    /// A table of the schema, as it stands in a statement.
    pub(super) fn table(&self, name: &str) -> String {
        format!("\"{}\".\"{name}\"", self.schema.replace('"', "\"\""))
    }

    /// Where and as whom to connect.
    ///
    /// What the client says of a connection string that it cannot read may hold a part of it, and so of the password: it is
    /// not handed on.
    pub(super) fn target(&self, secrets: &Secrets) -> Result<tokio_postgres::Config, PostgresError> {
        let url = secrets.url.as_ref().unwrap_or(&self.url);
        if url.is_empty() {
            return Err(PostgresError::NoDatabase);
        }
        let mut target: tokio_postgres::Config = url.parse().map_err(|_| PostgresError::ConnectionString)?;
        if let Some(password) = &secrets.password {
            target.password(password);
        }
        if target.get_application_name().is_none() {
            target.application_name("tessera");
        }
        Ok(target)
    }
}

/// What a connection string looks like.
pub(super) const CONNECTION_STRING: &str = "as postgres://user@host:5432/database, with %-escapes for what is special in it, \
                                            or host=… user=… dbname=…; `sslmode` may be `disable`, `prefer` or `require`";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(toml: &str, expected: &str) {
        let error = toml::from_str::<Config>(toml).unwrap().check().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn values_out_of_range_and_passwords_in_the_file_are_refused() {
        assert_eq!(Config::default().check(), Ok(()));
        check(
            "url = 'postgres://ada:hush@db/product'",
            "must not hold the password: set the variable TESSERA_POSTGRES_PASSWORD",
        );
        check("url = 'host=db password=hush'", "must not hold the password");
        check("url = 'postgres://db:port/product'", "must be a connection string");
        check("schema = ''", "`postgres.schema` must have 1 to 63 bytes");
        check("poll_interval_ms = 0", "must be 10 to 3600000");
        check("fetch_bytes_max = 1000", "must be at least 1048576");
        let quoted = Config { schema: "a\"; drop".to_owned(), ..Config::default() };
        assert_eq!(quoted.table("pages"), "\"a\"\"; drop\".\"pages\"");
    }

    #[test]
    fn no_error_and_no_debug_output_holds_a_password() {
        for url in ["host=db password=hush hush=hush", "postgres://ada:hush@db:hush/", "password=hush sslmode=hush"] {
            let secrets = Secrets { url: Some(url.to_owned()), password: Some("hush".to_owned()) };
            let error = Config::default().target(&secrets).unwrap_err();
            let mut told = format!("{error} {error:?} {secrets:?}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                told += &cause.to_string();
                source = cause.source();
            }
            assert!(!told.contains("hush"), "{told}");
        }
        let url = Config { url: "host=db password=hush=1 hush=2".to_owned(), ..Config::default() };
        assert!(!url.check().unwrap_err().to_string().contains("hush"));
    }

    #[test]
    fn a_database_must_be_named() {
        assert!(matches!(Config::default().target(&Secrets::default()), Err(PostgresError::NoDatabase)));
    }
}
