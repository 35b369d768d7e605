//! What befalls a broker and the way to it: it is killed, stopped, frozen, and its connections are cut.
//!
//! The broker is that of `scripts/kafka.sh`, which tells clients of its second listener to come back through a proxy: the one
//! here, which passes bytes on until it is cut.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Folder and port of the broker, and the port of the proxy, as `scripts/kafka.sh start` takes them.
const BROKER: &str = "TESSERA_TEST_KAFKA_BROKER";

/// A broker that can be troubled.
pub(super) struct Broker {
    arguments: Vec<String>,
    proxy: Proxy,
}

impl Broker {
    /// The one that `make test-services` started, with a proxy before it.
    pub(super) fn of_script() -> Option<Self> {
        let named = std::env::var_os(BROKER)?.into_string().unwrap();
        let arguments: Vec<_> = named.split(' ').map(str::to_owned).collect();
        let [_, port, via] = &arguments[..] else { panic!("{BROKER} is `DIR PORT VIA`, not {named}") };
        let behind = port.parse::<u16>().unwrap() + 2;
        let proxy = Proxy::start(&format!("127.0.0.1:{via}"), format!("127.0.0.1:{behind}")).unwrap();
        Some(Self { arguments, proxy })
    }

    /// Where clients come through the proxy.
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.arguments[2])
    }

    #[track_caller]
    fn script(command: &str, arguments: &[String]) {
        let status = Command::new("scripts/kafka.sh")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg(command)
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success(), "scripts/kafka.sh {command} failed");
    }

    /// Ends it, by `kill` or by `stop`, and starts it again.
    pub(super) fn restart(&self, by: &str) {
        Self::script(by, &self.arguments[..1]);
        Self::script("start", &self.arguments);
    }

    /// Freezes it: connections stay, and nothing answers.
    pub(super) fn freeze(&self) {
        Self::script("freeze", &self.arguments[..1]);
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        Self::script("thaw", &self.arguments[..1]);
    }

    /// Cuts all connections through the proxy, and lets none through until [`Broker::mend`].
    pub(super) fn cut(&self) {
        self.proxy.cut();
    }

    /// Lets connections through again.
    pub(super) fn mend(&self) {
        self.proxy.0.is_cut.store(false, Ordering::SeqCst);
    }
}

struct Proxy(Arc<Connections>);

#[derive(Default)]
struct Connections {
    is_cut: AtomicBool,
    /// Both ends of each, by a number.
    open: Mutex<HashMap<u64, [TcpStream; 2]>>,
}

impl Proxy {
    /// Passes on what comes, for as long as the process lives.
    fn start(listen: &str, target: String) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let connections = Arc::new(Connections::default());
        let passing = Arc::clone(&connections);
        std::thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                // A broker that is not there refuses, and so does the proxy: by closing.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(&target)) {
                    let _ = passing.pass(number, client, server);
                }
            }
        });
        Ok(Self(connections))
    }

    fn cut(&self) {
        self.0.is_cut.store(true, Ordering::SeqCst);
        for (_, ends) in self.0.open.lock().unwrap().drain() {
            close(&ends);
        }
    }
}

impl Connections {
    fn pass(self: &Arc<Self>, number: u64, client: TcpStream, server: TcpStream) -> io::Result<()> {
        let ends = [client.try_clone()?, server.try_clone()?];
        {
            let mut open = self.open.lock().unwrap();
            // Looked at under the lock, so that none slips in after a cut.
            if self.is_cut.load(Ordering::SeqCst) {
                return Ok(());
            }
            open.insert(number, ends);
        }
        for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            let connections = Arc::clone(self);
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                if let Some(ends) = connections.open.lock().unwrap().remove(&number) {
                    close(&ends);
                }
            });
        }
        Ok(())
    }
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        // It may be closed already.
        let _ = end.shutdown(Shutdown::Both);
    }
}
