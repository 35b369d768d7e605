//! Reading the tables of a product whole: members and groups, then pages, then blocks, as they are in one state of the database.
//!
//! There is no position to go on from. One state is read from end to end, so that what was read fits together; reading it again
//! after a crash changes nothing that was committed. A stream of the same changes may go on meanwhile or be read later: the
//! versions decide. What is not in the tables is left as it is, for it may have been made since.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::event::{Change, Event, InvalidCode, InvalidEvent};
use schemas::ids::WorkspaceId;
use schemas::limits::EVENT_BYTES_MAX;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::PostgresError;
use super::config::{Config, Secrets};
use super::connection::{Database, Snapshot, failed};
use super::intake::{Intake, RowName, Taken};
use super::rows::{self, Table};
use crate::engine::Engine;

/// What reading the tables did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesReport {
    /// Rows that were read, by table; none of a table that is not there.
    pub rows: BTreeMap<&'static str, u64>,
    /// What became of their events.
    pub taken: Taken,
}

/// Reads all tables, of one workspace or of all.
///
/// Blocks. What it read is merged when it returns, and committed soon after: see [`Engine::wait_idle`].
pub fn read_tables(
    config: &Config,
    secrets: &Secrets,
    engine: &Engine,
    workspace: Option<&WorkspaceId>,
    stop: &CancellationToken,
    progress: &mut dyn FnMut(&TablesReport),
) -> Result<TablesReport, PostgresError> {
    let mut database = Database::connect(config, secrets, stop)?;
    let snapshot = database.snapshot()?;
    let mut present = Vec::new();
    for table in Table::ALL {
        let name = config.table(table.name());
        let found = snapshot.one("look for the tables", "SELECT to_regclass($1) IS NOT NULL", &[&name])?;
        if found.try_get(0).map_err(failed("look for the tables"))? {
            present.push((table, name));
        } else if !table.is_optional() {
            return Err(PostgresError::NoTable { table: name });
        }
    }
    let mut report = TablesReport::default();
    let mut intake = Intake::new(engine, stop);
    for (table, name) in present {
        read_table(&snapshot, table, &name, workspace, engine, &mut intake, &mut |rows, taken| {
            report.rows.insert(table.name(), rows);
            report.taken = taken;
            progress(&report);
        })?;
    }
    intake.flush(&BTreeMap::new())?;
    report.taken = intake.taken;
    Ok(report)
}

fn read_table(
    snapshot: &Snapshot<'_>,
    table: Table,
    name: &str,
    workspace: Option<&WorkspaceId>,
    engine: &Engine,
    intake: &mut Intake<'_>,
    progress: &mut dyn FnMut(u64, Taken),
) -> Result<(), PostgresError> {
    let of_workspace = if workspace.is_some() { "WHERE o.workspace::text = $2" } else { "WHERE $2::text IS NULL" };
    // The order is made before the rows are written as JSON, so that what is sorted stays small.
    let query = format!(
        "SELECT left(t.workspace::text, 200), left(t.id::text, 200), octet_length(j.row)::int8, \
                CASE WHEN octet_length(j.row) <= $1 THEN j.row END \
         FROM (SELECT o.* FROM {name} o {of_workspace} ORDER BY {}) t, \
         LATERAL (SELECT row_to_json(t)::text AS row OFFSET 0) j",
        table.order().replace("t.", "o.")
    );
    let bytes_max = EVENT_BYTES_MAX as i32;
    let workspace = workspace.map(WorkspaceId::as_str);
    let portal = snapshot.open("read a table", &query, &[&bytes_max, &workspace])?;
    let shared_name: Arc<str> = Arc::from(name);
    let mut read = 0;
    let mut may_be_more = true;
    progress(read, intake.taken);
    while may_be_more {
        let fetched;
        (fetched, may_be_more) = snapshot.fetch("read a table", &portal)?;
        for row in fetched {
            take(&row, table, &shared_name, engine, intake)?;
            read += 1;
            if intake.is_full() {
                intake.flush(&BTreeMap::new())?;
                progress(read, intake.taken);
            }
        }
    }
    progress(read, intake.taken);
    Ok(())
}

fn take(
    row: &tokio_postgres::Row,
    table: Table,
    name: &Arc<str>,
    engine: &Engine,
    intake: &mut Intake<'_>,
) -> Result<(), PostgresError> {
    let unreadable = failed("read a row");
    let workspace: Option<&str> = row.try_get(0).map_err(&unreadable)?;
    let id: Option<&str> = row.try_get(1).map_err(&unreadable)?;
    let bytes: i64 = row.try_get(2).map_err(&unreadable)?;
    let json: Option<&str> = row.try_get(3).map_err(&unreadable)?;
    let row = Arc::from(format!("{}/{}", workspace.unwrap_or("null"), id.unwrap_or("null")));
    let name = RowName { table: Arc::clone(name), row };
    let now_ms = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    let said = if let Some(json) = json {
        rows::events(table, json, now_ms)
    } else {
        let reason = format!("{bytes} bytes, the limit is {EVENT_BYTES_MAX}: it is in the table alone");
        Err(InvalidEvent::new(InvalidCode::LimitExceeded, "", reason))
    };
    match said {
        Ok(said) => {
            for (mut event, bytes) in said.events {
                if said.names_all_properties {
                    take_other_properties_away(engine, &mut event)?;
                }
                intake.good(event, bytes, name.clone());
            }
        }
        Err(error) => intake.bad(letter(workspace, &name, json), error, name),
    }
    Ok(())
}

/// Makes a page that names all of its properties take away those that the index has beside them. The version of the row has
/// seen theirs, or they stay.
fn take_other_properties_away(engine: &Engine, event: &mut Event) -> Result<(), PostgresError> {
    let Change::PageUpserted { page, patch } = &mut event.change else { return Ok(()) };
    let Some(record) = engine.page_record(&event.workspace, page)? else { return Ok(()) };
    for (name, register) in &record.properties {
        if register.value().is_some_and(Option::is_some) {
            patch.properties.entry(name.clone()).or_insert(None);
        }
    }
    Ok(())
}

/// What is kept of a row that says nothing: the row, with the workspace in the place where an event has it, so that it goes when
/// that is erased.
fn letter(workspace: Option<&str>, name: &RowName, json: Option<&str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Letter<'a> {
        workspaceid: Option<&'a str>,
        table: &'a str,
        row: Option<&'a RawValue>,
    }
    let row = json.and_then(|json| serde_json::from_str(json).ok());
    let letter = Letter { workspaceid: workspace, table: &name.table, row };
    serde_json::to_vec(&letter).expect("text and JSON are JSON")
}
