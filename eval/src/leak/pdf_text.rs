//! What a PDF of ours says, read back from its bytes: all that could be copied out of it, and what stands in it uncompressed.
//!
//! No reader for any PDF, and no layout: strings of glyphs are looked up in what each font says that its glyphs mean, every string in every
//! font, so that nothing is missed by a mistake about which font is in use. What is looked for is words that stand nowhere else.

use std::collections::HashMap;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use flate2::read::ZlibDecoder;

const STREAM: &[u8] = b"\nstream\n";
/// Bytes of one stream when it is unpacked.
const STREAM_BYTES_MAX: u64 = 64 << 20;

/// The text of a document.
pub fn text_of(pdf: &[u8]) -> Result<String> {
    let streams = streams(pdf)?;
    let meanings: Vec<HashMap<u16, String>> = streams.iter().filter_map(|stream| meanings(stream)).collect();
    let mut text = String::from_utf8_lossy(pdf).into_owned();
    for stream in streams.iter().filter(|stream| find(stream, b" Tf").is_some()) {
        let strings = strings(stream);
        for meanings in &meanings {
            text.push('\n');
            for string in &strings {
                let glyphs = string.chunks_exact(2).map(|glyph| u16::from_be_bytes([glyph[0], glyph[1]]));
                text.extend(glyphs.filter_map(|glyph| meanings.get(&glyph)).map(String::as_str));
            }
        }
        // Text that is said beside its glyphs.
        for string in &strings {
            text.push('\n');
            text.push_str(&match string.strip_prefix(b"\xfe\xff") {
                Some(utf16) => wide(utf16),
                None => String::from_utf8_lossy(string).into_owned(),
            });
        }
    }
    Ok(text)
}

/// All streams, unpacked.
fn streams(pdf: &[u8]) -> Result<Vec<Vec<u8>>> {
    let (mut streams, mut at) = (Vec::new(), 0);
    while let Some(found) = find(&pdf[at..], STREAM) {
        let head = &pdf[at..at + found];
        let head = &head[rfind(head, b" obj").unwrap_or(0)..];
        let length = rfind(head, b"/Length ").context("a stream has a length")? + b"/Length ".len();
        let digits: String =
            head[length..].iter().map(|byte| char::from(*byte)).take_while(char::is_ascii_digit).collect();
        let start = at + found + STREAM.len();
        let end = start + digits.parse::<usize>().context("a length is a number")?;
        let bytes = pdf.get(start..end).context("a stream is as long as it says")?;
        let mut unpacked = Vec::new();
        if find(head, b"/FlateDecode").is_some() {
            ZlibDecoder::new(bytes).take(STREAM_BYTES_MAX).read_to_end(&mut unpacked).context("unpack a stream")?;
        } else {
            unpacked.extend_from_slice(bytes);
        }
        streams.push(unpacked);
        at = end;
    }
    Ok(streams)
}

/// What the glyphs of a font mean, if a stream says that.
fn meanings(stream: &[u8]) -> Option<HashMap<u16, String>> {
    find(stream, b"begincmap")?;
    let text = String::from_utf8_lossy(stream);
    let (mut meanings, mut inside) = (HashMap::new(), false);
    for line in text.lines() {
        if line.ends_with("beginbfchar") {
            inside = true;
        } else if line == "endbfchar" {
            inside = false;
        } else if let Some((glyph, meaning)) = line.split_once("> <").filter(|_| inside) {
            let glyph = u16::from_str_radix(glyph.trim_start_matches('<'), 16).ok()?;
            meanings.insert(glyph, wide(&hex(meaning.trim_end_matches('>').as_bytes())));
        }
    }
    Some(meanings)
}

/// The strings of a stream, in their order.
fn strings(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut strings, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        match stream[at] {
            b'<' if stream.get(at + 1) == Some(&b'<') => at += 2,
            b'<' => {
                let end = stream[at..].iter().position(|byte| *byte == b'>').map_or(stream.len(), |of| at + of);
                strings.push(hex(&stream[at + 1..end]));
                at = end + 1;
            }
            b'(' => {
                let (string, length) = literal(&stream[at..]);
                strings.push(string);
                at += length;
            }
            _ => at += 1,
        }
    }
    strings
}

/// A string between brackets, and how many bytes it takes with them.
fn literal(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut string, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        match byte {
            b'\\' => {
                let escaped = bytes.get(at).copied().unwrap_or_default();
                let octal = bytes[at..].iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                if octal > 0 {
                    let value =
                        bytes[at..at + octal].iter().fold(0_u16, |value, digit| value * 8 + u16::from(digit - b'0'));
                    string.push(value as u8);
                    at += octal;
                    continue;
                }
                string.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'f' => 12,
                    other => other,
                });
                at += 1;
            }
            b'(' => {
                depth += 1;
                if depth > 1 {
                    string.push(byte);
                }
            }
            b')' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
                string.push(byte);
            }
            _ => string.push(byte),
        }
    }
    (string, at)
}

fn hex(digits: &[u8]) -> Vec<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    let digits: Vec<u8> = digits.iter().copied().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| value(pair[0]) * 16 + pair.get(1).map_or(0, |digit| value(*digit))).collect()
}

fn wide(utf16: &[u8]) -> String {
    let units: Vec<u16> = utf16.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]])).collect();
    String::from_utf16_lossy(&units)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn rfind(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).rposition(|window| window == what)
}
