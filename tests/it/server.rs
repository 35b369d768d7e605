//! The binary as a server in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A server, killed in the end.
pub(super) struct Process(Child);

impl Process {
    /// Starts a server, and waits until it has told where it listens: each address in the order in which it tells them.
    pub(super) fn start<const N: usize>(command: &mut Command) -> (Self, [String; N]) {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let addresses = log.by_ref().filter_map(|line| {
            let told = line.split_once("address=")?.1;
            Some(told.split_whitespace().next()?.to_owned())
        });
        let addresses = addresses.take(N).collect::<Vec<_>>().try_into().expect("the server starts");
        // A server whose log is not read stands still in the end.
        std::thread::spawn(move || log.for_each(drop));
        (Self(process), addresses)
    }

    /// Tells it to stop, and waits until it has.
    pub(super) fn terminate(mut self) -> ExitStatus {
        let told = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.0.wait().unwrap()
    }

    /// Ends it where it stands.
    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
