//! Encodings of messages, each with its decoder, picked by a header of the message.
//!
//! Another encoding is a row here and a file with its function. Decoders are pure and never panic, whatever the bytes.

use schemas::event::{Event, InvalidCode, InvalidEvent};
use schemas::ids::WorkspaceId;

/// Names the encoding and its version, as `json/1`. Goes before [`CONTENT_TYPE`].
pub(crate) const ENCODING: &str = "tessera-encoding";
/// Names the encoding as CloudEvents do; parameters after a `;` are passed over.
const CONTENT_TYPE: &str = "content-type";

/// Decodes the payload of a message by the receiver's clock, in milliseconds since 1970.
type Decode = fn(&[u8], u64) -> Result<Event, InvalidEvent>;

/// The encodings by both of their names.
const DECODERS: [(&str, &[&str], Decode); 1] =
    [("json/1", &["application/cloudevents+json", "application/json"], Event::decode)];

/// What a decoder sees of a message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Encoded<'a> {
    /// The key.
    pub(super) key: Option<&'a [u8]>,
    /// The value of [`ENCODING`], if there is one.
    pub(super) encoding: Option<&'a [u8]>,
    /// The value of [`CONTENT_TYPE`], if there is one.
    pub(super) content_type: Option<&'a [u8]>,
    /// The payload.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Encoded<'a> {
    /// Notes a header, if it is one of ours.
    pub(super) fn header(&mut self, name: &str, value: Option<&'a [u8]>) {
        if name == ENCODING {
            self.encoding = value;
        } else if name.eq_ignore_ascii_case(CONTENT_TYPE) {
            self.content_type = value;
        }
    }

    /// Decodes a message. Its key must be the workspace of its event: it decided on the partition.
    pub(super) fn decode(&self, now_ms: u64) -> Result<Event, InvalidEvent> {
        let bad = |field: &str, reason: &str| Err(InvalidEvent::new(InvalidCode::Malformed, field, reason));
        let Some(payload) = self.payload else { return bad("", "the message has no payload") };
        let event = self.decoder()?(payload, now_ms)?;
        let key = self.key.and_then(|key| std::str::from_utf8(key).ok()).and_then(|key| WorkspaceId::new(key).ok());
        if key.as_ref() != Some(&event.workspace) {
            let reason = "is not the key of the message";
            return Err(InvalidEvent::new(InvalidCode::WrongWorkspace, "workspaceid", reason));
        }
        Ok(event)
    }

    fn decoder(&self) -> Result<Decode, InvalidEvent> {
        let unknown = |header: &str| {
            Err(InvalidEvent::new(InvalidCode::UnknownType, header, "names no encoding that this release knows"))
        };
        let text = |value: &'a [u8]| std::str::from_utf8(value).ok();
        if let Some(name) = self.encoding {
            let found = DECODERS.iter().find(|(ours, ..)| text(name) == Some(ours));
            return found.map_or_else(|| unknown(ENCODING), |(.., decode)| Ok(*decode));
        }
        let Some(value) = self.content_type else { return Ok(DECODERS[0].2) };
        let media_type = text(value).and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        let is_named = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(media_type));
        let found = DECODERS.iter().find(|(_, names, _)| is_named(names));
        found.map_or_else(|| unknown(CONTENT_TYPE), |(.., decode)| Ok(*decode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &[u8] = br#"{"specversion":"1.0","id":"1","source":"/p","type":"member.changed","workspaceid":"w",
        "subject":"ada","data":{"role":"member","version":{"clock":{"eu":1},"timestamp":{"wall_ms":1,"logical":0},"region":"eu"}}}"#;

    #[track_caller]
    fn check(encoding: Option<&str>, content_type: Option<&str>, key: &str, expected: Result<(), (InvalidCode, &str)>) {
        let bytes = |text: Option<&'static str>| text.map(str::as_bytes);
        let leak = |text: Option<&str>| text.map(|text| &*Box::leak(text.to_owned().into_boxed_str()));
        let encoded = Encoded {
            key: Some(key.as_bytes()),
            encoding: bytes(leak(encoding)),
            content_type: bytes(leak(content_type)),
            payload: Some(EVENT),
        };
        let decoded = encoded.decode(1_000).map(|_| ()).map_err(|error| (error.code, error.field));
        assert_eq!(decoded, expected.map_err(|(code, field)| (code, field.to_owned())));
    }

    #[test]
    fn a_header_picks_the_decoder_and_unknown_ones_are_refused() {
        check(None, None, "w", Ok(()));
        check(Some("json/1"), Some("application/x-protobuf"), "w", Ok(()));
        check(None, Some("application/cloudevents+json; charset=UTF-8"), "w", Ok(()));
        check(Some("json/2"), None, "w", Err((InvalidCode::UnknownType, ENCODING)));
        check(None, Some("application/x-protobuf"), "w", Err((InvalidCode::UnknownType, CONTENT_TYPE)));
    }

    #[test]
    fn a_key_that_is_not_the_workspace_is_refused() {
        check(None, None, "other", Err((InvalidCode::WrongWorkspace, "workspaceid")));
        let no_key = Encoded { payload: Some(EVENT), ..Encoded::default() };
        assert_eq!(no_key.decode(1_000).unwrap_err().code, InvalidCode::WrongWorkspace);
        assert_eq!(Encoded::default().decode(1_000).unwrap_err().code, InvalidCode::Malformed);
    }
}
