//! A connection and the one snapshot that is read in it, for callers that block.
//!
//! The driver of the connection runs on a runtime of this thread alone, while something is waited for. Each wait is bounded by
//! the statement's own timeout on the server, and by a little more here, for a server that says nothing at all.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, IsolationLevel, NoTls, Portal, Row, Transaction};
use tokio_util::sync::CancellationToken;

use super::PostgresError;
use super::config::{Config, Secrets};
use super::tls::Tls;

/// The oldest server that has `xid8` and its functions.
const VERSION_MIN: i32 = 130_000;
/// How much longer than the server itself this side waits for a statement.
const GRACE: Duration = Duration::from_secs(5);
/// How long the server bears a transaction that asks nothing: longer than an engine that is full may hold it up.
const IDLE_MAX: Duration = Duration::from_mins(30);
/// When a connection without traffic is tried.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// A connection.
pub(super) struct Database {
    runtime: Runtime,
    client: Client,
    stop: CancellationToken,
    statement_timeout: Duration,
    fetch_rows: i32,
}

impl Database {
    /// Connects. All that waits ends with [`PostgresError::Stopped`] once `stop` is cancelled.
    pub(super) fn connect(config: &Config, secrets: &Secrets, stop: &CancellationToken) -> Result<Self, PostgresError> {
        config.check()?;
        let mut target = config.target(secrets)?;
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let statement_timeout = Duration::from_millis(config.statement_timeout_ms);
        let addresses = target.get_hosts().len().max(target.get_hostaddrs().len()).max(1) as u32;
        target.connect_timeout(connect_timeout).tcp_user_timeout(statement_timeout + GRACE).keepalives_idle(KEEPALIVE);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PostgresError::Start)?;
        let tls = if target.get_ssl_mode() == SslMode::Require { Some(Tls::new(&config.ca_file)?) } else { None };
        let connecting = async {
            if let Some(tls) = tls {
                let (client, connection) = target.connect(tls).await.map_err(PostgresError::Connect)?;
                tokio::spawn(drive(connection));
                return Ok(client);
            }
            let (client, connection) = target.connect(NoTls).await.map_err(PostgresError::Connect)?;
            tokio::spawn(drive(connection));
            Ok(client)
        };
        let client = wait(&runtime, stop, "connect to PostgreSQL", connect_timeout * addresses + GRACE, connecting)?;
        Ok(Self { runtime, client, stop: stop.clone(), statement_timeout, fetch_rows: config.fetch_rows() })
    }

    /// Begins a transaction that reads one state of the database and writes nothing.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot<'_>, PostgresError> {
        let timeout = self.statement_timeout + GRACE;
        let builder = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let starting = async { builder.start().await.map_err(failed("begin a transaction")) };
        let transaction = wait(&self.runtime, &self.stop, "begin a transaction", timeout, starting)?;
        let snapshot =
            Snapshot { runtime: &self.runtime, transaction, stop: &self.stop, timeout, fetch_rows: self.fetch_rows };
        // Local to the transaction, so that a pool of connections keeps none of it. Rows are wanted as they come, so an index
        // that has their order goes before sorting all of them.
        let settings = format!(
            "SET LOCAL statement_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}; \
             SET LOCAL TIME ZONE 'UTC'; SET LOCAL enable_sort = off",
            self.statement_timeout.as_millis(),
            IDLE_MAX.as_millis()
        );
        snapshot.wait("set up a transaction", async { snapshot.transaction.batch_execute(&settings).await })?;
        let version = snapshot.one(
            "ask for the version",
            "SELECT current_setting('server_version_num')::int4, version()",
            &[],
        )?;
        if version.try_get::<_, i32>(0).map_err(failed("read the version"))? < VERSION_MIN {
            let found: String = version.try_get(1).map_err(failed("read the version"))?;
            let found = found.split_whitespace().nth(1).unwrap_or("of an unknown version").to_owned();
            return Err(PostgresError::TooOld { found });
        }
        Ok(snapshot)
    }

    /// Waits for a while, or until it is told to stop; true when it was.
    pub(super) fn rest(&self, time: Duration) -> bool {
        // The connection is driven meanwhile, so that its end is noticed.
        self.runtime.block_on(async { tokio::time::timeout(time, self.stop.cancelled()).await.is_ok() })
    }
}

/// One state of the database. It ends when it is dropped.
pub(super) struct Snapshot<'a> {
    runtime: &'a Runtime,
    transaction: Transaction<'a>,
    stop: &'a CancellationToken,
    timeout: Duration,
    fetch_rows: i32,
}

impl Snapshot<'_> {
    /// Asks for one row.
    pub(super) fn one(
        &self,
        doing: &'static str,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, PostgresError> {
        self.wait(doing, self.transaction.query_one(statement, parameters))
    }

    /// Begins to read the rows of a query.
    pub(super) fn open(
        &self,
        doing: &'static str,
        query: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Portal, PostgresError> {
        self.wait(doing, self.transaction.bind(query, parameters))
    }

    /// The next rows of a query, fewer than asked for only at its end; and whether there may be more.
    pub(super) fn fetch(&self, doing: &'static str, portal: &Portal) -> Result<(Vec<Row>, bool), PostgresError> {
        let rows = self.wait(doing, self.transaction.query_portal(portal, self.fetch_rows))?;
        let may_be_more = rows.len() as i64 == i64::from(self.fetch_rows);
        Ok((rows, may_be_more))
    }

    /// Whether it is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn wait<T>(
        &self,
        doing: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        let answer = async { answer.await.map_err(failed(doing)) };
        wait(self.runtime, self.stop, doing, self.timeout, answer)
    }
}

/// Sends and receives until the connection ends.
async fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        // Whoever waits for an answer is told, too.
        tracing::debug!(error = &error as &dyn std::error::Error, "the connection to PostgreSQL ended");
    }
}

/// Says what a statement was to do.
pub(super) fn failed(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> PostgresError {
    move |source| PostgresError::Statement { doing, source }
}

fn wait<T>(
    runtime: &Runtime,
    stop: &CancellationToken,
    doing: &'static str,
    waited: Duration,
    answer: impl Future<Output = Result<T, PostgresError>>,
) -> Result<T, PostgresError> {
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(PostgresError::Stopped),
            answered = tokio::time::timeout(waited, answer) => {
                answered.unwrap_or(Err(PostgresError::Silent { doing, waited }))
            }
        }
    })
}
