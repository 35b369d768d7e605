//! Events as they are, one a line. What cannot be decoded is reported with its line and the rest goes on.

use std::io;
use std::path::Path;

use schemas::event::Event;
use schemas::limits;

use super::feed::Feed;
use super::input::{self, Line, Lines};
use super::report::Stage;
use super::{ImportError, Options};

/// How often progress is told, in lines.
const PROGRESS_LINES: u64 = 1_000;

/// Brings all events of a file to the target, in their order.
pub(super) fn import(path: &Path, options: &Options, feed: &mut Feed<'_>) -> Result<(), ImportError> {
    let failed = |source: io::Error| ImportError::Read { path: path.to_owned(), source };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let now_ms = u64::try_from(options.now.as_millisecond()).unwrap_or(0);
    let mut lines = Lines::new(input::open(path).map_err(failed)?, limits::EVENT_BYTES_MAX);
    loop {
        let decoded = match lines.next_line().map_err(failed)? {
            None => return Ok(()),
            Some(Line::TooLong) => Err(format!("it is longer than {} bytes", limits::EVENT_BYTES_MAX)),
            Some(Line::Text(line)) => Event::decode(line, now_ms).map_err(|error| error.to_string()),
        };
        match decoded {
            Ok(event) if event.workspace != options.workspace => {
                feed.report.warn(&name, Some(lines.number), format!("it is about workspace {}", event.workspace));
            }
            Ok(event) => feed.push(event)?,
            Err(reason) => feed.report.warn(&name, Some(lines.number), reason),
        }
        if lines.number.is_multiple_of(PROGRESS_LINES) {
            feed.progress(Stage::Write, lines.number, None);
        }
    }
}
