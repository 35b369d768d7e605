//! The step between async-openai and the network: one request is sent once, and what comes back is checked before it is read.
//!
//! The library's own step retries by itself, writes what it cannot read to the log, and keeps whatever comes; so what it
//! is handed here is a stream of events of which every line is bounded and can be read, or an end with a [`Fault`].

use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures_util::stream::{Stream, StreamExt as _, unfold};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Response, StatusCode};

use super::fault::Fault;
use super::wire::{Chunk, Refusal};

/// By which an endpoint can go on with a trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Most bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Bytes of events for each byte of text, at most: a piece of a few letters comes with some hundred bytes around it.
const EVENT_OVERHEAD: usize = 128;
/// No endpoint is left alone for longer because it says so.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What is said of a stream that ends before its text does.
pub(super) const CUT: &str = "the stream was cut";
const MALFORMED: &str = "an event of the stream cannot be read";
const LONG: &str = "the stream is longer than allowed";
const REASONS: [&str; 2] = [MALFORMED, LONG];

/// Bounds of what an endpoint may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) line_bytes_max: usize,
    pub(super) text_bytes_max: usize,
}

/// Sends a request, once, with the trace that it is in, and hands back a stream of events that can be read.
pub(super) async fn send(
    http: reqwest::Client,
    request: HttpRequestFactory,
    traceparent: Option<String>,
    limits: Limits,
) -> Result<Response, OpenAIError> {
    let mut request = request.build().await?;
    if let Some(traceparent) = traceparent.and_then(|traceparent| HeaderValue::try_from(traceparent).ok()) {
        request.headers_mut().insert(TRACEPARENT, traceparent);
    }
    let response = http.execute(request).await.map_err(|error| boxed(unreachable(&error)))?;
    if !response.status().is_success() {
        return Err(boxed(refusal(response).await));
    }
    if !is_event_stream(response.headers()) {
        return Err(boxed(Fault::unavailable("answers with something else than a stream of events")));
    }
    Ok(http::Response::new(Body::wrap_stream(readable_events(response, limits))).into())
}

/// What went wrong, of an error that came through the library.
pub(super) fn fault_of(error: OpenAIError) -> Fault {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(_) => Fault::unavailable("the request could not be made"),
        },
        OpenAIError::StreamError(error) => {
            // The library keeps no more than the words of an error within a stream.
            let words = error.to_string();
            Fault::unavailable(REASONS.into_iter().find(|reason| words.contains(reason)).unwrap_or(CUT))
        }
        OpenAIError::JSONDeserialize(..) => Fault::unavailable(MALFORMED),
        _ => Fault::unavailable("the request could not be made"),
    }
}

fn boxed(fault: Fault) -> OpenAIError {
    OpenAIError::Boxed(Box::new(fault))
}

/// Of an error of the connection only its kind is told: its text may hold the address.
fn unreachable(error: &reqwest::Error) -> Fault {
    Fault::unavailable(if error.is_connect() { "cannot be connected to" } else { "the connection broke off" })
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// What a status other than success means.
async fn refusal(mut response: Response) -> Fault {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
    let reason = match refusal.name() {
        Some(name) => format!("answers with status {} ({name})", status.as_u16()),
        None => format!("answers with status {}", status.as_u16()),
    };
    match status {
        // Paid for no more: time alone does not mend it.
        StatusCode::TOO_MANY_REQUESTS if refusal.name() == Some("insufficient_quota") => {
            Fault::Refused { reason, every_request: true }
        }
        StatusCode::TOO_MANY_REQUESTS => Fault::Busy { retry_after },
        StatusCode::REQUEST_TIMEOUT => Fault::Unavailable { reason, retry_after },
        status if status.is_server_error() => Fault::Unavailable { reason, retry_after },
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Fault::Refused { reason, every_request: false }
        }
        // Redirects too: a key is not sent to where it was not meant for.
        _ => Fault::Refused { reason, every_request: true },
    }
}

/// When to come again: in milliseconds, in seconds, or at a time, counted from the server's own.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp());
    let wait = if let Some(ms) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        Duration::from_millis(ms)
    } else {
        let said = text(RETRY_AFTER.as_str())?;
        match said.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => date(said)?.duration_since(date(text(DATE.as_str())?)?).try_into().unwrap_or_default(),
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The events of a response, each of one line, as long as all can be read and none is too long.
fn readable_events(response: Response, limits: Limits) -> impl Stream<Item = Result<Vec<u8>, Fault>> + Send {
    struct Reading<S> {
        bytes: S,
        /// What has come of the next line.
        rest: Vec<u8>,
        bytes_left: usize,
    }
    let bytes_left = limits.text_bytes_max.saturating_mul(EVENT_OVERHEAD);
    let reading = Reading { bytes: response.bytes_stream(), rest: Vec::new(), bytes_left };
    unfold(Ok(reading), move |reading: Result<_, Option<&str>>| async move {
        let mut reading = match reading {
            Ok(reading) => reading,
            Err(reason) => return Some((Err(Fault::unavailable(reason?)), Err(None))),
        };
        loop {
            // A line that has no end is not handed on: the text was cut there.
            let bytes = reading.bytes.next().await?.unwrap_or_default();
            let Some(bytes_left) = reading.bytes_left.checked_sub(bytes.len()) else {
                return Some((Err(Fault::unavailable(LONG)), Err(None)));
            };
            reading.bytes_left = bytes_left;
            reading.rest.extend_from_slice(&bytes);
            let (events, read) = take_events(&mut reading.rest, limits.line_bytes_max);
            match read {
                // What came before it in the same packet is handed on first.
                Err(reason) => return Some((Ok(events), Err(Some(reason)))),
                Ok(()) if !events.is_empty() => return Some((Ok(events), Ok(reading))),
                Ok(()) => {}
            }
        }
    })
}

/// Takes whole lines away from the bytes that have come: the events in them, and what is wrong with the line after those.
fn take_events(bytes: &mut Vec<u8>, line_bytes_max: usize) -> (Vec<u8>, Result<(), &'static str>) {
    let (mut events, mut start) = (Vec::new(), 0);
    while let Some(length) = bytes[start..].iter().position(|&byte| byte == b'\n') {
        let line = &bytes[start..start + length];
        start += length + 1;
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { continue };
        if line.len() > line_bytes_max {
            return (events, Err(LONG));
        }
        // The end is that of the response: read so far, its connection can be used again.
        if data == b"[DONE]" {
            continue;
        }
        if !is_event(data) {
            return (events, Err(MALFORMED));
        }
        events.extend_from_slice(b"data: ");
        events.extend_from_slice(data);
        events.extend_from_slice(b"\n\n");
    }
    bytes.drain(..start);
    let is_long = bytes.len() > line_bytes_max;
    (events, if is_long { Err(LONG) } else { Ok(()) })
}

/// Whether the data of a line can be read; the library sees an end of line in a carriage return too.
fn is_event(data: &[u8]) -> bool {
    !data.contains(&b'\r') && serde_json::from_slice::<Chunk>(data).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_come_again_is_read_in_all_its_forms() {
        #[track_caller]
        fn check(headers: &[(&'static str, &str)], expected: Option<Duration>) {
            let headers = headers.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            assert_eq!(retry_after(&headers.collect()), expected);
        }
        check(&[], None);
        check(&[("retry-after", "7")], Some(Duration::from_secs(7)));
        check(&[("retry-after", "7"), ("retry-after-ms", "20")], Some(Duration::from_millis(20)));
        check(&[("retry-after", "86400")], Some(RETRY_AFTER_MAX));
        check(&[("retry-after", "soon")], None);
        let (date, later) = ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:30 GMT");
        check(&[("retry-after", later), ("date", date)], Some(Duration::from_secs(30)));
        check(&[("retry-after", date), ("date", later)], Some(Duration::ZERO));
        check(&[("retry-after", later)], None);
    }

    #[test]
    fn events_are_the_same_wherever_packets_are_cut() {
        let stream =
            "data: {\"usage\":null}\r\n\n: comment\nevent: x\ndata:{}\n\ndata: [DONE]\n\ndata: {\"é\":1}\n".as_bytes();
        let expected = "data: {\"usage\":null}\n\ndata: {}\n\ndata: {\"é\":1}\n\n".as_bytes();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let (mut rest, mut events) = (Vec::new(), Vec::new());
                for packet in [&stream[..first], &stream[first..second], &stream[second..]] {
                    rest.extend_from_slice(packet);
                    let (some, read) = take_events(&mut rest, 1_000);
                    read.unwrap();
                    events.extend(some);
                }
                assert_eq!((events.as_slice(), rest.as_slice()), (expected, &b""[..]), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_comes_before_a_line_that_cannot_be_read_is_handed_on() {
        for (bad, reason) in [("data: {\n", MALFORMED), ("data: \"0123456789\"\n", LONG), ("data: 01234567890", LONG)] {
            let mut bytes = format!("data: {{}}\n\n{bad}").into_bytes();
            assert_eq!(take_events(&mut bytes, 16), (b"data: {}\n\n".to_vec(), Err(reason)), "{bad}");
        }
    }

    #[test]
    fn data_is_an_event() {
        for data in [r#"{"choices":[]}"#, "{}", r#"{"choices":null,"usage":null,"more":[1]}"#] {
            assert!(is_event(data.as_bytes()), "{data}");
        }
        for data in ["", "{", "1", r#"{"choices":3}"#, "[DONE]x", "{\r}"] {
            assert!(!is_event(data.as_bytes()), "{data}");
        }
    }
}
