//! Encrypted connections: the certificate must be for the host, and rest on one that is trusted.

use indexer::postgres::config::Config;
use indexer::postgres::read_outbox;
use tokio_util::sync::CancellationToken;

use super::Database;
use crate::site::Site;
use crate::source::Source;

/// The file of the certificate that the server's rests on, for `make test-services`.
const CA: &str = "TESSERA_TEST_POSTGRES_CA";

#[test]
fn a_connection_that_must_be_encrypted_is_or_is_refused() {
    let Some(ca_file) = std::env::var_os(CA) else {
        eprintln!("SKIPPED: PostgreSQL over TLS; {CA} is not set, `make test-services` sets it where openssl is");
        return;
    };
    let Some(database) = Database::new("encrypted") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let session = database.session();
    let mut source = Source::new("acme", "eu");
    // Only what comes over TLS shows the row.
    session.run(
        "ALTER TABLE tessera.outbox RENAME TO kept;
         CREATE VIEW tessera.outbox AS SELECT * FROM tessera.kept
             WHERE (SELECT ssl FROM pg_stat_get_activity(pg_backend_pid()));
         GRANT SELECT ON tessera.outbox TO PUBLIC",
    );
    session
        .execute("INSERT INTO tessera.kept (event) VALUES ($1::text::json)", &[&source.page("p", "P", None).encode()]);
    let read = |mode: &str, host: &str, ca_file: &str| {
        let url = format!("{} sslmode={mode}", database.config.url.replace("127.0.0.1", host));
        let config = Config { url, ca_file: ca_file.to_owned(), ..database.config.clone() };
        let stop = CancellationToken::new();
        read_outbox(&config, &database.secrets, &engine, true, &stop, &mut |_| {}).map(|report| report.rows).map_err(
            |error| {
                let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source());
                causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
            },
        )
    };
    let ca_file = ca_file.to_str().unwrap();
    assert_eq!(read("disable", "127.0.0.1", ca_file), Ok(0));
    assert_eq!(read("require", "127.0.0.1", ca_file), Ok(1));
    let error = read("require", "127.0.0.1", "").unwrap_err();
    assert!(
        error.contains("cannot connect to PostgreSQL") && error.contains("certificate"),
        "of nobody that is trusted: {error}"
    );
    let error = read("require", "localhost", ca_file).unwrap_err();
    assert!(error.contains("certificate"), "of another host: {error}");
    let error = read("require", "127.0.0.1", "nowhere.pem").unwrap_err();
    assert!(error.contains("cannot read certificates from nowhere.pem"), "{error}");
    let empty = site.dir.join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let error = read("require", "127.0.0.1", empty.to_str().unwrap()).unwrap_err();
    assert!(error.contains("cannot read certificates from"), "{error}");
}
