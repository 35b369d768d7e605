//! The binary as a server in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A server, killed in the end.
pub(super) struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
    /// A server whose log is not read stands still in the end.
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a server, and waits until it has told where it listens: each address in the order in which it tells them.
    pub(super) fn start<const N: usize>(command: &mut Command) -> (Self, [String; N]) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        let mut log = lines(child.stderr.take().unwrap(), &said);
        let mut printed = lines(child.stdout.take().unwrap(), &said);
        let addresses = log.by_ref().filter_map(|line| {
            // As lines of text and as JSON.
            let told = line.split_once("address=").or_else(|| line.split_once(r#""address":""#))?.1;
            Some(told.split(['"', ' ']).next()?.to_owned())
        });
        let addresses = addresses.take(N).collect::<Vec<_>>().try_into();
        let readers = vec![
            std::thread::spawn(move || log.by_ref().for_each(drop)),
            std::thread::spawn(move || printed.by_ref().for_each(drop)),
        ];
        let addresses = addresses.unwrap_or_else(|_| panic!("the server does not start: {}", said.lock().unwrap()));
        (Self { child, said, readers }, addresses)
    }

    /// Tells it to stop, and waits until it has.
    pub(super) fn terminate(self) -> ExitStatus {
        self.end().0
    }

    /// Tells it to stop, and gives what it said, to the last line.
    pub(super) fn end(mut self) -> (ExitStatus, String) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let status = self.child.wait().unwrap();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        (status, said)
    }

    /// Ends it where it stands.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The lines of what is read, each kept when it comes.
fn lines<R: Read>(from: R, said: &Arc<Mutex<String>>) -> impl Iterator<Item = String> + use<R> {
    let said = Arc::clone(said);
    BufReader::new(from).lines().map_while(Result::ok).inspect(move |line| {
        let mut said = said.lock().unwrap();
        said.push_str(line);
        said.push('\n');
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
