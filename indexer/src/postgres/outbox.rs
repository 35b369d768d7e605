//! Reading an outbox: a table to which a product adds an event in the transaction that makes the change.
//!
//! Numbers of rows are given when they are written and rows are seen when their transaction ends, so a row may appear behind
//! others with greater numbers. It is read in the order of (transaction, id) therefore, and only as far as the oldest
//! transaction that still runs: behind that nothing can appear any more. Two numbers say how far it was read, in the payload of
//! the commit, named after the table: which server and timeline, which database, which table. Of another table there is no
//! position, so it is read from its start, which changes nothing that is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::event::{Event, InvalidCode, InvalidEvent};
use schemas::limits::EVENT_BYTES_MAX;
use tokio_util::sync::CancellationToken;

use super::PostgresError;
use super::config::{Config, Secrets};
use super::connection::{Database, Snapshot, failed};
use super::intake::{Intake, RowName, Taken};
use crate::engine::Engine;

/// The name of the table.
const TABLE: &str = "outbox";
/// Rows read in one snapshot, so that none is held for long.
const SNAPSHOT_ROWS_MAX: i64 = 20_000;
/// Rows counted of those that cannot be read yet.
const HELD_BACK_MAX: i64 = 10_000;

/// What reading an outbox did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxReport {
    /// Rows that were read.
    pub rows: u64,
    /// What became of them.
    pub taken: Taken,
    /// Rows that are there and cannot be read yet, for a transaction that began before them is not over; 10,000 for more.
    pub held_back: u64,
    /// The transaction and the id of the last row that was read, now or earlier; none before the first. Rows up to it, in this
    /// order, are not needed any more once the commit is made.
    pub position: Option<Position>,
}

/// A place in an outbox: a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The transaction that wrote it.
    pub transaction: i64,
    /// Its id.
    pub id: i64,
}

/// Reads an outbox as far as it can be read now. With `from_start` from its start, otherwise from where the index ends.
///
/// Blocks. What it read is merged when it returns, and committed soon after: see [`Engine::wait_idle`].
pub fn read_outbox(
    config: &Config,
    secrets: &Secrets,
    engine: &Engine,
    from_start: bool,
    stop: &CancellationToken,
    progress: &mut dyn FnMut(&OutboxReport),
) -> Result<OutboxReport, PostgresError> {
    let mut reader = Reader::connect(config, secrets, engine, stop)?;
    reader.from_start = from_start;
    while reader.read_on(progress)? {}
    Ok(reader.report)
}

/// An outbox that is being read.
pub(super) struct Reader<'a> {
    database: Database,
    table: String,
    engine: &'a Engine,
    stop: &'a CancellationToken,
    /// Whether to begin at the start, whatever the index says.
    from_start: bool,
    /// The outbox that was read last, with how far.
    at: Option<(Names, Option<Position>)>,
    pub(super) report: OutboxReport,
}

/// The names of the two numbers in the payload of a commit.
#[derive(Clone, PartialEq, Eq)]
struct Names {
    transaction: String,
    id: String,
}

impl Names {
    fn position(&self, offsets: &BTreeMap<String, i64>) -> Option<Position> {
        Some(Position { transaction: *offsets.get(&self.transaction)?, id: *offsets.get(&self.id)? })
    }

    fn offsets(&self, position: Option<Position>) -> BTreeMap<String, i64> {
        let Some(Position { transaction, id }) = position else { return BTreeMap::new() };
        BTreeMap::from([(self.transaction.clone(), transaction), (self.id.clone(), id)])
    }
}

impl<'a> Reader<'a> {
    pub(super) fn connect(
        config: &Config,
        secrets: &Secrets,
        engine: &'a Engine,
        stop: &'a CancellationToken,
    ) -> Result<Self, PostgresError> {
        let database = Database::connect(config, secrets, stop)?;
        let (table, report) = (config.table(TABLE), OutboxReport::default());
        Ok(Self { database, table, engine, stop, from_start: false, at: None, report })
    }

    /// Waits for a while; true when it is to stop.
    pub(super) fn rest(&self, time: std::time::Duration) -> bool {
        self.database.rest(time)
    }

    /// Reads what one snapshot shows, and says whether there may be more.
    pub(super) fn read_on(&mut self, progress: &mut dyn FnMut(&OutboxReport)) -> Result<bool, PostgresError> {
        let snapshot = self.database.snapshot()?;
        let (names, next_transaction) = identify(&snapshot, &self.table)?;
        let known = match &self.at {
            Some((at, position)) if *at == names => *position,
            _ if self.from_start => None,
            _ => names.position(&self.engine.committed_offsets()),
        };
        // A transaction that did not begin yet was read from a server that lost it in a crash: numbers are given anew.
        let start = known.filter(|position| position.transaction < next_transaction);
        if start != known {
            tracing::warn!(
                table = self.table,
                "the server has forgotten what was read of it; it is read from its start"
            );
        }
        self.report.position = start;
        let mut position = start;
        let rows = Rows::open(&snapshot, &self.table, start)?;
        let before = self.report;
        let mut intake = Intake::new(self.engine, self.stop);
        let mut read = 0;
        let mut may_be_more = true;
        while may_be_more && !snapshot.is_stopped() {
            let fetched;
            (fetched, may_be_more) = snapshot.fetch("read the outbox", &rows.portal)?;
            for row in fetched {
                let at = take(&row, &self.table, &mut intake)?;
                position = Some(at);
                read += 1;
                if intake.is_full() {
                    intake.flush(&names.offsets(position))?;
                    self.report = OutboxReport { rows: before.rows + read, position, ..before.with(intake.taken) };
                    progress(&self.report);
                }
            }
        }
        intake.flush(&if position == start { BTreeMap::new() } else { names.offsets(position) })?;
        self.report = OutboxReport { rows: before.rows + read, position, ..before.with(intake.taken) };
        let is_whole = read < SNAPSHOT_ROWS_MAX as u64 && !snapshot.is_stopped();
        if is_whole {
            self.report.held_back = held_back(&snapshot, &self.table)?;
        }
        progress(&self.report);
        self.at = Some((names, position));
        Ok(!is_whole && !snapshot.is_stopped())
    }
}

impl OutboxReport {
    fn with(self, taken: Taken) -> Self {
        let accepted = self.taken.accepted + taken.accepted;
        let unchanged = self.taken.unchanged + taken.unchanged;
        let rejected = self.taken.rejected + taken.rejected;
        Self { taken: Taken { accepted, unchanged, rejected }, ..self }
    }
}

/// The rows that can be read, in order.
struct Rows {
    portal: tokio_postgres::Portal,
}

impl Rows {
    fn open(snapshot: &Snapshot<'_>, table: &str, after: Option<Position>) -> Result<Self, PostgresError> {
        // `pg_current_snapshot()` is that of this transaction, so the rows that are seen are those of all transactions below
        // its `xmin` that were not taken back.
        let query = format!(
            "SELECT t.transaction::text, t.id::int8, octet_length(e.event)::int8, \
                    CASE WHEN octet_length(e.event) <= $3 THEN e.event END \
             FROM (SELECT o.transaction, o.id, o.event FROM {table} o \
                   WHERE (o.transaction, o.id) > ($1::text::xid8, $2::int8) \
                     AND o.transaction < pg_snapshot_xmin(pg_current_snapshot()) \
                   ORDER BY o.transaction, o.id LIMIT {SNAPSHOT_ROWS_MAX}) t, \
             LATERAL (SELECT t.event::text AS event OFFSET 0) e"
        );
        let Position { transaction, id } = after.unwrap_or(Position { transaction: 0, id: i64::MIN });
        let bytes_max = EVENT_BYTES_MAX as i32;
        let portal = snapshot.open("read the outbox", &query, &[&transaction.to_string(), &id, &bytes_max])?;
        Ok(Self { portal })
    }
}

/// Takes a row, and says which it was.
fn take(row: &tokio_postgres::Row, table: &str, intake: &mut Intake<'_>) -> Result<Position, PostgresError> {
    let unreadable = failed("read a row of the outbox");
    let transaction: &str = row.try_get(0).map_err(&unreadable)?;
    let transaction = transaction.parse().map_err(|_| PostgresError::Unreadable { what: "transaction" })?;
    let id: i64 = row.try_get(1).map_err(&unreadable)?;
    let bytes: Option<i64> = row.try_get(2).map_err(&unreadable)?;
    let event: Option<&str> = row.try_get(3).map_err(&unreadable)?;
    let name = RowName { table: Arc::from(table), row: Arc::from(id.to_string()) };
    let now_ms = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    let (text, error) = match (event, bytes) {
        (Some(event), _) => match Event::decode(event.as_bytes(), now_ms) {
            Ok(decoded) => {
                intake.good(decoded, event.len(), name);
                return Ok(Position { transaction, id });
            }
            Err(error) => (event.as_bytes().to_vec(), error),
        },
        (None, Some(bytes)) => {
            let reason = format!("{bytes} bytes, the limit is {EVENT_BYTES_MAX}: it is in the table alone");
            (Vec::new(), InvalidEvent::new(InvalidCode::LimitExceeded, "", reason))
        }
        (None, None) => (Vec::new(), InvalidEvent::new(InvalidCode::Malformed, "", "the event is null")),
    };
    intake.bad(text, error, name);
    Ok(Position { transaction, id })
}

/// Which outbox it is, and the number of the next transaction to begin on its server.
fn identify(snapshot: &Snapshot<'_>, table: &str) -> Result<(Names, i64), PostgresError> {
    let doing = "ask which outbox it is";
    let asked = snapshot.one(
        doing,
        "SELECT pg_is_in_recovery(), to_regclass($1)::oid::int8::text, \
                pg_snapshot_xmax(pg_current_snapshot())::text",
        &[&table],
    )?;
    if asked.try_get::<_, bool>(0).map_err(failed(doing))? {
        return Err(PostgresError::Standby);
    }
    let Some(relation) = asked.try_get::<_, Option<String>>(1).map_err(failed(doing))? else {
        return Err(PostgresError::NoTable { table: table.to_owned() });
    };
    let next: String = asked.try_get(2).map_err(failed(doing))?;
    let next = next.parse().map_err(|_| PostgresError::Unreadable { what: "transaction" })?;
    // The numbers of transactions are those of one server until another takes over from it, which begins a timeline.
    let place = snapshot.one(
        doing,
        "SELECT (SELECT system_identifier::text FROM pg_control_system()) || '.' || \
                substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.' || \
                (SELECT oid::int8::text FROM pg_database WHERE datname = current_database())",
        &[],
    )?;
    let place: String = place.try_get(0).map_err(failed(doing))?;
    let name = |number| format!("postgres/{place}.{relation}/{number}");
    Ok((Names { transaction: name("transaction"), id: name("id") }, next))
}

/// How many rows are there and cannot be read yet.
fn held_back(snapshot: &Snapshot<'_>, table: &str) -> Result<u64, PostgresError> {
    let query = format!(
        "SELECT count(*) FROM (SELECT FROM {table} o \
         WHERE o.transaction >= pg_snapshot_xmin(pg_current_snapshot()) LIMIT {HELD_BACK_MAX}) held"
    );
    let row = snapshot.one("count what cannot be read yet", &query, &[])?;
    let count: i64 = row.try_get(0).map_err(failed("count what cannot be read yet"))?;
    Ok(count.unsigned_abs())
}
