//! The control socket: how a command talks to the server that runs over the same data folder.
//!
//! `control.sock` in the data folder, for the owner of the folder alone. One request as a line of JSON, answered by lines of
//! JSON until the connection ends. It serves operators; nothing of it is reachable over the network.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::reindex::{self, Request, Site, Update};

const FILE: &str = "control.sock";
/// Longest request.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// Requests at a time.
const CONNECTIONS_MAX: usize = 4;
/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Reindex(Request),
}

/// The server's end.
pub(crate) struct Control {
    path: PathBuf,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Listens in the data folder, in place of a server that is gone.
pub(crate) fn listen(data_dir: &Path, site: Site) -> anyhow::Result<Control> {
    let path = data_dir.join(FILE);
    // The index is locked by this process, so whoever left a socket is gone.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).context("cannot protect the control socket")?;
    let is_stopping = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&is_stopping);
    let accept = move || accept(&listener, &site, &stopping);
    let thread = std::thread::Builder::new().name("control".to_owned()).spawn(accept);
    Ok(Control { path, is_stopping, thread: Some(thread.context("cannot start a thread")?) })
}

fn accept(listener: &UnixListener, site: &Site, is_stopping: &AtomicBool) {
    let open = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            if is_stopping.load(Ordering::Acquire) {
                return;
            }
            if open.load(Ordering::Acquire) >= CONNECTIONS_MAX {
                continue;
            }
            open.fetch_add(1, Ordering::AcqRel);
            let open = &open;
            scope.spawn(move || {
                if let Err(error) = serve(&stream, site) {
                    tracing::warn!(error = format!("{error:#}"), "a command from the control socket failed");
                }
                open.fetch_sub(1, Ordering::AcqRel);
            });
        }
    });
}

fn serve(stream: &UnixStream, site: &Site) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).take(REQUEST_BYTES_MAX).read_line(&mut line)?;
    let mut out = stream;
    let mut tell = |update: Update| -> anyhow::Result<()> {
        let mut line = serde_json::to_string(&update)?;
        line.push('\n');
        out.write_all(line.as_bytes()).context("nobody listens any more")
    };
    let done = match serde_json::from_str(&line).context("not a command of this release") {
        Ok(Command::Reindex(request)) => reindex::perform(site, &request, &mut tell),
        Err(error) => Err(error),
    };
    if let Err(error) = &done {
        tell(Update::Failed { reason: format!("{error:#}") })?;
    }
    done
}

impl Control {
    /// Ends it; commands that run end with the write side, which must be closed before.
    pub(crate) fn stop(mut self) {
        self.is_stopping.store(true, Ordering::Release);
        let _ = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so in the log.
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A command's end.
pub(crate) struct Server(UnixStream);

/// Connects to the server over a data folder; `None` when there is none.
pub(crate) fn connect(data_dir: &Path) -> anyhow::Result<Option<Server>> {
    match UnixStream::connect(data_dir.join(FILE)) {
        Ok(stream) => Ok(Some(Server(stream))),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot reach the server over {}", data_dir.display())),
    }
}

impl Server {
    /// Has the server reindex; gives on what it tells.
    pub(crate) fn reindex(
        mut self,
        request: &Request,
        show: &mut dyn FnMut(&Update) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(&Command::Reindex(request.clone()))?;
        line.push('\n');
        self.0.write_all(line.as_bytes()).context("the server went away")?;
        let mut is_last = false;
        for line in BufReader::new(&self.0).lines() {
            let update = serde_json::from_str(&line.context("the server went away")?)?;
            is_last = matches!(update, Update::Switched { .. } | Update::Kept { .. } | Update::Failed { .. });
            show(&update)?;
        }
        anyhow::ensure!(is_last, "the server went away; run it again to go on where it stopped");
        Ok(())
    }
}
