//! A provider on loopback that answers as a script says, and keeps what it was asked.
//!
//! For each request the next reply of the script is played, the last one again and again. Bodies end with the connection, so
//! that a script cuts a text by ending; but those of replies that are kept alive.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running provider; stops when dropped.
pub(super) struct Provider {
    pub(super) base_url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Its first line and its headers.
    pub(super) head: String,
    pub(super) body: serde_json::Value,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    head: String,
    steps: Vec<Step>,
    /// The body ends with its last chunk, and the connection goes on.
    is_kept_alive: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Send(String),
    Pause(Duration),
    /// Nothing more comes, and the connection stays.
    Hang,
}

impl Reply {
    /// The beginning of a stream.
    pub(super) fn stream() -> Self {
        Self::with("200 OK", "content-type: text/event-stream; charset=utf-8\r\n")
    }

    /// Another status with a body.
    pub(super) fn status(status: &str, headers: &str, body: &str) -> Self {
        Self::with(status, &format!("content-type: application/json\r\n{headers}")).raw(body)
    }

    /// Any status and headers; each header ends its line.
    pub(super) fn with(status: &str, headers: &str) -> Self {
        let head = format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n");
        Self { head, steps: Vec::new(), is_kept_alive: false }
    }

    /// Not even a status.
    pub(super) fn none() -> Self {
        Self { head: String::new(), steps: Vec::new(), is_kept_alive: false }
    }

    /// A whole text with what it took.
    pub(super) fn whole(text: &str, prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self::stream().text(text).stop("stop").usage(prompt_tokens, completion_tokens).done()
    }

    /// The same over a connection that goes on.
    pub(super) fn kept_alive(mut self) -> Self {
        self.head = self.head.replace("connection: close", "transfer-encoding: chunked");
        self.is_kept_alive = true;
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        let content = serde_json::to_string(text).unwrap();
        self.event(&format!(r#"{{"choices":[{{"index":0,"delta":{{"content":{content}}},"finish_reason":null}}]}}"#))
    }

    pub(super) fn stop(self, reason: &str) -> Self {
        self.event(&format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#))
    }

    pub(super) fn usage(self, prompt_tokens: u64, completion_tokens: u64) -> Self {
        self.event(&format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":{prompt_tokens},"completion_tokens":{completion_tokens}}}}}"#
        ))
    }

    pub(super) fn done(self) -> Self {
        self.event("[DONE]")
    }

    pub(super) fn event(self, data: &str) -> Self {
        self.raw(&format!("data: {data}\n\n"))
    }

    pub(super) fn raw(mut self, bytes: &str) -> Self {
        self.steps.push(Step::Send(bytes.to_owned()));
        self
    }

    pub(super) fn pause(mut self, ms: u64) -> Self {
        self.steps.push(Step::Pause(Duration::from_millis(ms)));
        self
    }

    pub(super) fn hang(mut self) -> Self {
        self.steps.push(Step::Hang);
        self
    }
}

impl Provider {
    /// Begins to answer by a script.
    pub(super) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let (script, kept) = (Arc::clone(&script), Arc::clone(&kept));
                tokio::spawn(async move {
                    // Whoever asked may go away at any time.
                    while let Ok(true) = answer(&mut connection, &script, &kept).await {}
                });
            }
        });
        Self { base_url, asked, connections, accepting }
    }

    /// What was asked until now.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers one request, and says whether there may be another.
async fn answer(
    connection: &mut TcpStream,
    script: &Mutex<VecDeque<Reply>>,
    asked: &Mutex<Vec<Asked>>,
) -> std::io::Result<bool> {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if connection.read_buf(&mut bytes).await? == 0 {
            return Ok(false);
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        break (head.clone(), end + 4 + length.parse::<usize>().unwrap());
    };
    while bytes.len() < length {
        connection.read_buf(&mut bytes).await?;
    }
    let body = &bytes[head.len() + 4..length];
    asked.lock().unwrap().push(Asked { head, body: serde_json::from_slice(body).unwrap_or_default() });
    let reply = {
        let mut script = script.lock().unwrap();
        let reply = script.front().cloned().expect("a script has a reply");
        if script.len() > 1 {
            script.pop_front();
        }
        reply
    };
    connection.write_all(reply.head.as_bytes()).await?;
    for step in reply.steps {
        match step {
            Step::Send(text) if reply.is_kept_alive => {
                connection.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?;
            }
            Step::Send(text) => connection.write_all(text.as_bytes()).await?,
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Hang => {
                // Until the other side closes.
                let _ = connection.read_buf(&mut bytes).await?;
                return Ok(false);
            }
        }
    }
    if reply.is_kept_alive {
        connection.write_all(b"0\r\n\r\n").await?;
    } else {
        connection.shutdown().await?;
    }
    Ok(reply.is_kept_alive)
}
