//! What a PDF of ours says, read back from its bytes: all that could be copied out of it, and what stands in it uncompressed.
//!
//! No reader for any PDF, and no layout: the strings of glyphs of each page are looked up in what their font says that its glyphs mean. A
//! file that is built in another way than ours is an error, so that nothing is passed over. What is looked for is words that stand nowhere
//! else.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};
use flate2::read::ZlibDecoder;

const OBJECT: &[u8] = b" 0 obj\n";
const STREAM: &[u8] = b"\nstream\n";
const END: &[u8] = b"\nendobj";
/// Bytes of one stream when it is unpacked.
const STREAM_BYTES_MAX: u64 = 64 << 20;

/// What the glyphs of a font mean.
type Meanings = HashMap<u16, String>;

struct Object {
    /// All before its stream.
    head: String,
    /// Unpacked; empty without one.
    stream: Vec<u8>,
}

/// The text of a document.
pub fn text_of(pdf: &[u8]) -> Result<String> {
    let objects = objects(pdf)?;
    let mut text = String::from_utf8_lossy(pdf).into_owned();
    let pages: Vec<&Object> = objects.values().filter(|object| object.head.contains("/Type/Page/")).collect();
    ensure!(!pages.is_empty(), "a document has pages");
    ensure!(objects.values().all(|object| !object.head.contains("/Subtype/Form")), "text is on pages alone");
    for page in pages {
        let of = |name: &str| referred(&objects, &page.head, name);
        let (resources, contents) = (of("/Resources ")?, of("/Contents ")?);
        let fonts = fonts(&objects, &resources.head)?;
        let mut meanings = None;
        let mut beside = String::new();
        text.push('\n');
        for piece in pieces(&contents.stream) {
            let string = match piece {
                Piece::Name(name) => {
                    meanings = fonts.get(&name).or(meanings);
                    continue;
                }
                Piece::String(string) => string,
            };
            let glyphs = string.chunks_exact(2).map(|glyph| u16::from_be_bytes([glyph[0], glyph[1]]));
            let meant = glyphs.filter_map(|glyph| meanings?.get(&glyph));
            text.extend(meant.map(String::as_str));
            // Text that is said beside its glyphs.
            beside.push('\n');
            beside.push_str(&match string.strip_prefix(b"\xfe\xff") {
                Some(utf16) => wide(utf16),
                None => String::from_utf8_lossy(&string).into_owned(),
            });
        }
        text.push_str(&beside);
    }
    Ok(text)
}

/// All objects by their numbers.
fn objects(pdf: &[u8]) -> Result<BTreeMap<u32, Object>> {
    let (mut objects, mut at) = (BTreeMap::new(), 0);
    while let Some(found) = find(&pdf[at..], OBJECT) {
        let digits = pdf[at..at + found].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let number =
            std::str::from_utf8(&pdf[at + found - digits..at + found])?.parse().context("an object has a number")?;
        let start = at + found + OBJECT.len();
        let end = start + find(&pdf[start..], END).context("an object ends")?;
        let Some(packed) = find(&pdf[start..end], STREAM) else {
            let head = String::from_utf8_lossy(&pdf[start..end]).into_owned();
            objects.insert(number, Object { head, stream: Vec::new() });
            at = end;
            continue;
        };
        let head = String::from_utf8_lossy(&pdf[start..start + packed]).into_owned();
        let length = number_after(&head, "/Length ").context("a stream has a length")? as usize;
        let packed = start + packed + STREAM.len();
        let bytes = pdf.get(packed..packed + length).context("a stream is as long as it says")?;
        let mut stream = Vec::new();
        if head.contains("/FlateDecode") {
            ZlibDecoder::new(bytes).take(STREAM_BYTES_MAX).read_to_end(&mut stream).context("unpack a stream")?;
        } else {
            stream.extend_from_slice(bytes);
        }
        objects.insert(number, Object { head, stream });
        at = packed + length;
    }
    Ok(objects)
}

fn number_after(head: &str, name: &str) -> Option<u32> {
    let rest = &head[head.find(name)? + name.len()..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

/// The object that another one refers to by a name.
fn referred<'a>(objects: &'a BTreeMap<u32, Object>, head: &str, name: &str) -> Result<&'a Object> {
    let number = number_after(head, name).with_context(|| format!("{name} refers to an object: {head}"))?;
    objects.get(&number).with_context(|| format!("object {number} is there"))
}

/// What the glyphs of the fonts mean that resources name.
fn fonts(objects: &BTreeMap<u32, Object>, resources: &str) -> Result<HashMap<String, Meanings>> {
    let Some((_, named)) = resources.split_once("/Font<<") else { return Ok(HashMap::new()) };
    let named = named.split(">>").next().unwrap_or_default();
    let names = named.split('/').filter_map(|entry| entry.split_once(' ')).map(|(name, _)| name);
    names
        .map(|name| {
            let font = referred(objects, resources, &format!("/{name} "))?;
            let meanings = meanings(&referred(objects, &font.head, "/ToUnicode ")?.stream);
            Ok((name.to_owned(), meanings.context("a font says what its glyphs mean")?))
        })
        .collect()
}

/// What the glyphs of a font mean, if a stream says that.
fn meanings(stream: &[u8]) -> Option<Meanings> {
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

/// A part of a stream that says what is on a page.
enum Piece {
    Name(String),
    String(Vec<u8>),
}

/// The names and strings of a stream, in their order.
fn pieces(stream: &[u8]) -> Vec<Piece> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        match stream[at] {
            b'/' => {
                let name: Vec<u8> = stream[at + 1..].iter().copied().take_while(u8::is_ascii_alphanumeric).collect();
                at += 1 + name.len();
                pieces.push(Piece::Name(String::from_utf8_lossy(&name).into_owned()));
            }
            b'<' if stream.get(at + 1) == Some(&b'<') => at += 2,
            b'<' => {
                let end = stream[at..].iter().position(|byte| *byte == b'>').map_or(stream.len(), |of| at + of);
                pieces.push(Piece::String(hex(&stream[at + 1..end])));
                at = end + 1;
            }
            b'(' => {
                let (string, length) = literal(&stream[at..]);
                pieces.push(Piece::String(string));
                at += length;
            }
            _ => at += 1,
        }
    }
    pieces
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
