//! Rolling restarts under load, behind whatever tries again as a load balancer does.
//!
//! A data folder has one process, so one server over one folder is restarted with a pause, in which clients are told to come again or cannot
//! connect; how long it lasts is printed, not asserted. Two servers, each over a folder of its own, are restarted one after the other: then
//! somebody always answers. Either way no request fails that is sent again, and no acknowledged event is lost.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::server::Process;
use super::shutdown::{Outcome, events, send};

const RESTARTS: usize = 3;
/// Requests that must be answered between two restarts.
const ANSWERED_BETWEEN: usize = 30;
/// Before a request is sent again to a server that is away.
const PAUSE: Duration = Duration::from_millis(5);
/// How long one request may be sent again and again before it counts as failed.
const PATIENCE: Duration = Duration::from_mins(2);

fn start(dir: &Path, data: &str, address: &str) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command.current_dir(dir).env("TESSERA__MODELS__ENABLED", "false").env("TESSERA__HTTP__STOP_DELAY_MS", "200");
    let (process, [api]) = Process::start(command.args(["--data-dir", data, "serve", "--dev", "--listen", address]));
    (process, api)
}

/// What clients saw.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    answered: AtomicUsize,
    /// Times that a request was sent again.
    again: AtomicUsize,
    /// Times that no server answered a request at the first try.
    unserved: AtomicUsize,
    acknowledged: Mutex<Vec<String>>,
    unexpected: Mutex<Vec<String>>,
    /// The longest that a request was not answered because no server was there.
    longest: Mutex<Duration>,
}

impl Seen {
    /// Sends a request to the servers in turn, the one that answered last first, until one answers with success.
    fn ask(&self, servers: &[String], last: &mut usize, request: &str, body: &str) -> bool {
        let mut since = None;
        loop {
            for turn in 0..servers.len() {
                let at = (*last + turn) % servers.len();
                match send(&servers[at], &mut None, false, request, body) {
                    Outcome::Answered { status: 200 | 202, .. } => {
                        *last = at;
                        self.answered.fetch_add(1, Ordering::SeqCst);
                        if let Some(since) = since.map(|since: Instant| since.elapsed()) {
                            let mut longest = self.longest.lock().unwrap();
                            *longest = since.max(*longest);
                        }
                        return true;
                    }
                    // Nobody listens; or the server says that it stops; or the connection was never taken.
                    Outcome::Refused | Outcome::Closed(_) => {}
                    Outcome::Answered { status: 503, body, .. } if body.contains("is stopping") => {}
                    Outcome::Answered { status, head, body } => {
                        return self.fails(format!("{request}: {status} {head}{body}"));
                    }
                    Outcome::Cut(answer) => return self.fails(format!("{request}: cut off: {answer}")),
                }
                self.again.fetch_add(1, Ordering::SeqCst);
            }
            let since = since.get_or_insert_with(|| {
                self.unserved.fetch_add(1, Ordering::SeqCst);
                Instant::now()
            });
            if since.elapsed() > PATIENCE {
                return self.fails(format!("{request}: nobody answers"));
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    fn fails(&self, what: String) -> bool {
        self.unexpected.lock().unwrap().push(what);
        false
    }

    /// Sends one kind of request until it is over.
    fn drive(&self, servers: &[String], mut next: impl FnMut(usize) -> (String, String, Option<String>)) {
        let mut last = 0;
        for number in 0.. {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let (request, body, page) = next(number);
            if !self.ask(servers, &mut last, &request, &body) {
                return;
            }
            self.acknowledged.lock().unwrap().extend(page);
        }
    }

    /// Waits until some more were answered, or something went wrong.
    fn wait_for_more(&self) {
        let before = self.answered.load(Ordering::SeqCst);
        while self.answered.load(Ordering::SeqCst) < before + ANSWERED_BETWEEN
            && self.unexpected.lock().unwrap().is_empty()
        {
            std::thread::yield_now();
        }
    }
}

/// Ends the load also where the test fails in the midst of it.
struct Ending<'a>(&'a Seen);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

#[test]
fn one_server_is_restarted_with_a_pause_and_without_a_failed_request() {
    let dir = tempfile::tempdir().unwrap();
    let (mut process, address) = start(dir.path(), "data", "127.0.0.1:0");
    let servers = [address.clone()];
    let seen = Seen::default();
    // The last one, which is asked for everything in the end.
    let _process = std::thread::scope(|scope| {
        let ending = Ending(&seen);
        for writer in 0..4 {
            let (seen, servers) = (&seen, &servers);
            scope.spawn(move || {
                seen.drive(servers, |count| {
                    let page = format!("p-{writer}-{count}");
                    ("POST /v1/events?wait=durable".to_owned(), events(&page), Some(page))
                });
            });
        }
        for word in ["page", "absent"] {
            let (seen, servers) = (&seen, &servers);
            scope.spawn(move || seen.drive(servers, |_| (format!("GET /v1/search?query={word}"), String::new(), None)));
        }
        for _ in 0..RESTARTS {
            seen.wait_for_more();
            // A second process over the folder is no way to begin before the first has ended: it is refused.
            let refused = Command::new(env!("CARGO_BIN_EXE_tessera"))
                .current_dir(dir.path())
                .args(["--data-dir", "data", "serve", "--dev", "--listen", "127.0.0.1:0"])
                .env("TESSERA__MODELS__ENABLED", "false")
                .output()
                .unwrap();
            assert!(!refused.status.success(), "two processes over one folder");
            let status = process.terminate();
            assert!(status.success(), "{status}");
            let (next, again) = start(dir.path(), "data", &address);
            assert_eq!(again, address);
            process = next;
        }
        seen.wait_for_more();
        drop(ending);
        process
    });
    assert_eq!(*seen.unexpected.lock().unwrap(), Vec::<String>::new());
    let acknowledged = seen.acknowledged.lock().unwrap();
    assert!(!acknowledged.is_empty());
    for page in acknowledged.iter() {
        let found = send(&address, &mut None, false, &format!("GET /v1/pages/{page}"), "");
        assert!(matches!(found, Outcome::Answered { status: 200, .. }), "{page} was acknowledged and is lost");
    }
    eprintln!(
        "{RESTARTS} restarts of one server: {} requests answered, {} acknowledged pages found, {} sent again, the longest pause {:?}",
        seen.answered.load(Ordering::SeqCst),
        acknowledged.len(),
        seen.again.load(Ordering::SeqCst),
        seen.longest.lock().unwrap()
    );
}

#[test]
fn two_servers_are_restarted_one_after_the_other_and_somebody_always_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut processes = Vec::new();
    let mut servers = Vec::new();
    // Each over a folder of its own, given the same changes, as by a stream that both read.
    for data in ["first", "second"] {
        let (process, address) = start(dir.path(), data, "127.0.0.1:0");
        for page in ["p-1", "p-2"] {
            let taken = send(&address, &mut None, false, "POST /v1/events?wait=searchable", &events(page));
            assert!(matches!(taken, Outcome::Answered { status: 200, .. }), "{page} at {data}");
        }
        processes.push(process);
        servers.push(address);
    }
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let ending = Ending(&seen);
        for page in ["p-1", "p-2", "p-1"] {
            let (seen, servers) = (&seen, &servers);
            scope.spawn(move || {
                seen.drive(servers, |count| {
                    let request = if count % 2 == 0 {
                        format!("GET /v1/pages/{page}")
                    } else {
                        "GET /v1/search?query=page".to_owned()
                    };
                    (request, String::new(), None)
                });
            });
        }
        for _ in 0..RESTARTS {
            for (at, data) in ["first", "second"].into_iter().enumerate() {
                seen.wait_for_more();
                let status = processes.remove(at).terminate();
                assert!(status.success(), "{status}");
                let (next, _) = start(dir.path(), data, &servers[at]);
                processes.insert(at, next);
            }
        }
        seen.wait_for_more();
        drop(ending);
    });
    assert_eq!(*seen.unexpected.lock().unwrap(), Vec::<String>::new());
    assert_eq!(seen.unserved.load(Ordering::SeqCst), 0, "one of the two answers at any moment");
    eprintln!(
        "{} restarts of two servers: {} requests answered, {} sent to the other one",
        2 * RESTARTS,
        seen.answered.load(Ordering::SeqCst),
        seen.again.load(Ordering::SeqCst)
    );
}
