//! Runs of letters, digits and joining punctuation: plain words, and identifiers with their parts.
//!
//! `ID3DX11DataLoader::Decompress` is one token, its segments `id3dx11dataloader` and `decompress` are tokens, and so
//! are the parts `id` `3` `dx` `11` `data` `loader` `decompress`. Each part takes one position; what covers several
//! parts stands at the position of the first. Hyphenated words are written together (`e-mail` is also `email`),
//! possessives and elided articles (`John's`, `l'homme`) go.
//!
//! Invariant: the parts of a run tile it, so a phrase of parts matches wherever the run is written the same way.

use super::normalize::MappedChar;
use super::script::{Class, Script, ascii_digit, class_of};
use super::segment::{Cursor, Piece, truncate};
use super::{MAX_TERM_BYTES, TokenKind};

/// Letters-and-digits stretches in one identifier; a longer one goes on as another.
const MAX_ATOMS: usize = 48;
/// Normalised characters of one stretch that are looked at for parts; a longer one is one part.
const MAX_SPLIT_CHARS: usize = 64;
/// Characters of punctuation between two stretches of one identifier.
const MAX_SEPARATOR_CHARS: usize = 3;

/// How a stretch hangs on the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    /// It is the first.
    First,
    /// By a hyphen.
    Hyphen,
    /// By underscores.
    Underscore,
    /// By a dot.
    Dot,
    /// By a digit-grouping mark between digits.
    Grouping,
    /// By other punctuation, or none (`c++11`).
    Other,
}

impl Join {
    /// Whether the two stay together in one segment.
    fn is_inner(self) -> bool {
        matches!(self, Self::Hyphen | Self::Underscore)
    }
}

/// A stretch of letters and digits: characters `from..to`, with its `++` or `#` up to `end`.
#[derive(Debug, Clone, Copy)]
struct Atom {
    join: Join,
    from: usize,
    to: usize,
    end: usize,
    /// Its parts, as a range of `SpanReader::parts`.
    first_part: usize,
    last_part: usize,
}

/// A part: characters `from..to`.
#[derive(Debug, Clone, Copy)]
struct Part {
    from: usize,
    to: usize,
    content: Content,
}

/// What a part is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Letters(Script),
    Digits,
    /// Letters and digits too entangled to take apart, such as a hash.
    Mixed,
}

/// Reads runs, with the buffers it reuses.
#[derive(Debug, Default)]
pub(super) struct SpanReader {
    atoms: Vec<Atom>,
    parts: Vec<Part>,
}

impl SpanReader {
    /// Reads the run that starts at `at`, a letter or digit; hands over its pieces and returns where it ends.
    pub(super) fn read(
        &mut self,
        chars: &[MappedChar],
        at: usize,
        cursor: &mut Cursor,
        text: &mut String,
        sink: &mut impl FnMut(Piece<'_>),
    ) -> usize {
        let end = self.read_atoms(chars, at);
        let has_leading_dot = has_leading_dot(chars, self.atoms[0].from);
        let mut writer = Writer { chars, cursor: *cursor, text, sink };
        if is_dotted_acronym(chars, &self.atoms, &self.parts) {
            writer.acronym(&self.atoms, &self.parts);
            cursor.position += 1;
        } else {
            let is_whole_only = self.parts.len() == 1 && !has_leading_dot && self.atoms[0].end == self.atoms[0].to;
            if !is_whole_only {
                writer.whole(&self.atoms, &self.parts, has_leading_dot);
            }
            for segment in segments(&self.atoms) {
                writer.cursor.position = cursor.position + segment[0].first_part as u32;
                let parts = &self.parts[segment[0].first_part..segment[segment.len() - 1].last_part];
                let has_suffix = segment.iter().any(|atom| atom.end > atom.to);
                let covers_run = segment.len() == self.atoms.len() && !has_leading_dot;
                if !covers_run && (parts.len() > 1 || has_suffix) {
                    writer.whole(segment, &self.parts, false);
                }
                for part in parts {
                    writer.part(*part);
                    writer.cursor.position += 1;
                }
            }
            cursor.position += self.parts.len() as u32;
        }
        cursor.unit += 1;
        end
    }

    fn read_atoms(&mut self, chars: &[MappedChar], start: usize) -> usize {
        self.atoms.clear();
        self.parts.clear();
        let mut join = Join::First;
        let mut from = start;
        let mut in_url = false;
        loop {
            let word = read_word(chars, from);
            let first_part = self.parts.len();
            split_parts(chars, word.from, word.to, &mut self.parts);
            let end = if word.next == word.to { suffix_end(chars, word.from, word.to) } else { word.to };
            let last_part = self.parts.len();
            self.atoms.push(Atom { join, from: word.from, to: word.to, end, first_part, last_part });
            let next = word.next.max(end);
            if self.atoms.len() == MAX_ATOMS {
                return next;
            }
            let Some((next_join, next_from)) = join_after(chars, word.to, next, end > word.to, &mut in_url) else {
                return next;
            };
            join = next_join;
            from = next_from;
        }
    }
}

/// A word as it will be shown: characters `from..to` without an elided article or possessive ending, and where reading
/// goes on.
struct WordRange {
    from: usize,
    to: usize,
    next: usize,
}

/// Reads letters and digits from `from` on, and across apostrophes between letters.
fn read_word(chars: &[MappedChar], mut from: usize) -> WordRange {
    let mut to = word_end(chars, from);
    loop {
        let is_inner_apostrophe = chars.get(to).is_some_and(|m| is_apostrophe(m.c))
            && is_letter(chars, to - 1)
            && chars.get(to + 1).is_some_and(|m| matches!(class_of(m.c), Class::Letter(_)));
        if !is_inner_apostrophe {
            return WordRange { from, to, next: to };
        }
        let next_end = word_end(chars, to + 1);
        let next_length = next_end - to - 1;
        if next_length == 1 && matches!(chars[to + 1].c, 's' | 'S') {
            return WordRange { from, to, next: next_end };
        }
        if next_length >= 2 && is_elided_article(&chars[from..to]) {
            from = to + 1;
        }
        to = next_end;
    }
}

fn word_end(chars: &[MappedChar], from: usize) -> usize {
    let rest = &chars[from..];
    let is_inside = |m: &MappedChar| matches!(class_of(m.c), Class::Letter(_) | Class::Digit | Class::Mark);
    from + rest.iter().position(|m| !is_inside(m)).unwrap_or(rest.len())
}

fn is_letter(chars: &[MappedChar], at: usize) -> bool {
    matches!(class_of(chars[at].c), Class::Letter(_) | Class::Mark)
}

/// The apostrophe in its forms, the modifier letters among them, and the Hebrew geresh and gershayim.
fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '‘' | '\u{05F3}' | '\u{05F4}')
}

/// French, Italian and Catalan words that lose their vowel before another word.
fn is_elided_article(chars: &[MappedChar]) -> bool {
    const ARTICLES: [&str; 24] = [
        "l", "d", "j", "m", "t", "s", "n", "c", "qu", "jusqu", "lorsqu", "puisqu", "quoiqu", "un", "dell", "all",
        "dall", "nell", "sull", "coll", "quell", "quest", "degl", "gl",
    ];
    ARTICLES.iter().any(|article| {
        article.len() == chars.len() && article.chars().zip(chars).all(|(a, m)| m.c.eq_ignore_ascii_case(&a))
    })
}

/// The end of `C++`, `C#`, `F#` after the letters, or `to`.
fn suffix_end(chars: &[MappedChar], from: usize, to: usize) -> usize {
    let c = |at: usize| chars.get(at).map_or(' ', |m| m.c);
    if !is_letter(chars, to - 1) {
        return to;
    }
    if c(to) == '+' && c(to + 1) == '+' && c(to + 2) != '+' {
        return to + 2;
    }
    let is_followed = chars.get(to + 1).is_some_and(|m| matches!(class_of(m.c), Class::Letter(_) | Class::Digit));
    if c(to) == '#' && to - from <= 2 && !is_followed {
        return to + 1;
    }
    to
}

fn has_leading_dot(chars: &[MappedChar], from: usize) -> bool {
    from > 0
        && chars[from - 1].c == '.'
        && is_letter(chars, from)
        && (from == 1 || matches!(chars[from - 2].c, '(' | '[' | '"' | '\'' | '`' | '/' | '*' | ','))
}

/// How the letters and digits after `at` hang on the word that ends at `word_to`, and where they start; `None` where
/// the run ends.
fn join_after(
    chars: &[MappedChar],
    word_to: usize,
    at: usize,
    has_suffix: bool,
    in_url: &mut bool,
) -> Option<(Join, usize)> {
    let is_alphanumeric = |m: &MappedChar| matches!(class_of(m.c), Class::Letter(_) | Class::Digit);
    let length = chars[at..].iter().take(MAX_SEPARATOR_CHARS + 1).position(is_alphanumeric)?;
    if length == 0 {
        return has_suffix.then_some((Join::Other, at));
    }
    if length > MAX_SEPARATOR_CHARS {
        return None;
    }
    let from = at + length;
    let mut separator = ['\0'; MAX_SEPARATOR_CHARS];
    for (slot, m) in separator.iter_mut().zip(&chars[at..from]) {
        *slot = m.c;
    }
    let digits_around = class_of(chars[word_to - 1].c) == Class::Digit && class_of(chars[from].c) == Class::Digit;
    let join = match &separator[..length] {
        ['_', ..] if separator[..length].iter().all(|c| *c == '_') => Join::Underscore,
        ['-' | '\u{2010}'] => Join::Hyphen,
        ['.'] => Join::Dot,
        [',' | '\u{66B}' | '\u{66C}'] if digits_around && word_end(chars, from) - from == 3 => Join::Grouping,
        [':'] if class_of(chars[from].c) == Class::Digit => Join::Other,
        ['/' | '\\' | '@'] | [':', ':' | '\\' | '/'] | ['-', '>'] | ['\\', '\\'] => Join::Other,
        [':', '/', '/'] => {
            *in_url = true;
            Join::Other
        }
        ['&'] if chars[word_to - 1].c.is_uppercase() && chars[from].c.is_uppercase() => Join::Other,
        inner if *in_url && inner.iter().all(|c| "/?#&=%~+:;,._@!$*-".contains(*c)) => Join::Other,
        _ => return None,
    };
    Some((join, from))
}

/// `U.S.A`, `e.g`: single letters with dots between them.
fn is_dotted_acronym(chars: &[MappedChar], atoms: &[Atom], parts: &[Part]) -> bool {
    atoms.len() > 1
        && parts.len() == atoms.len()
        && atoms.iter().all(|atom| {
            atom.end - atom.from == 1 && matches!(atom.join, Join::First | Join::Dot) && is_letter(chars, atom.from)
        })
}

/// The stretches that underscores and hyphens hold together.
fn segments(atoms: &[Atom]) -> impl Iterator<Item = &[Atom]> {
    atoms.chunk_by(|_, next| next.join.is_inner())
}

/// Appends the parts of the characters `from..to`: cut at letter-digit borders, changes of script and camel case.
fn split_parts(chars: &[MappedChar], from: usize, to: usize, parts: &mut Vec<Part>) {
    let first = parts.len();
    let word = &chars[from..to];
    let start_content = content_of(word[0].c).unwrap_or(Content::Mixed);
    let mut part = Part { from, to, content: start_content };
    if word.len() <= MAX_SPLIT_CHARS && !is_plural_acronym(word) {
        let mut previous = word[0].c;
        for at in from + 1..to {
            let c = chars[at].c;
            let Some(content) = content_of(c) else { continue };
            let ends_capitals = || {
                previous.is_uppercase()
                    && chars[at + 1..to].first().is_some_and(|next| next.c.is_lowercase())
                    && c.is_uppercase()
            };
            let is_border = content != part.content || (previous.is_lowercase() && c.is_uppercase()) || ends_capitals();
            if is_border {
                parts.push(Part { to: at, ..part });
                part = Part { from: at, to, content };
            }
            previous = c;
        }
    } else if word.iter().any(|m| content_of(m.c).is_some_and(|content| content != start_content)) {
        part.content = Content::Mixed;
    }
    parts.push(part);
    let count = parts.len() - first;
    if count >= 5 && word.len() * 2 < count * 5 {
        parts.truncate(first);
        parts.push(Part { from, to, content: Content::Mixed });
    }
}

/// What a letter or digit makes a part; `None` for marks and apostrophes, which go with what is before them.
fn content_of(c: char) -> Option<Content> {
    match class_of(c) {
        Class::Letter(script) => Some(Content::Letters(script)),
        Class::Digit => Some(Content::Digits),
        _ => None,
    }
}

/// `APIs`, `URLs`: a plural, not camel case.
fn is_plural_acronym(word: &[MappedChar]) -> bool {
    let (last, rest) = (word[word.len() - 1], &word[..word.len() - 1]);
    last.c == 's' && rest.len() >= 2 && rest.iter().all(|m| m.c.is_uppercase())
}

/// Writes pieces of one run.
struct Writer<'a, S> {
    chars: &'a [MappedChar],
    cursor: Cursor,
    text: &'a mut String,
    sink: &'a mut S,
}

impl<S: FnMut(Piece<'_>)> Writer<'_, S> {
    fn acronym(&mut self, atoms: &[Atom], parts: &[Part]) {
        self.text.clear();
        for atom in atoms {
            self.push_lower(atom.from, atom.to);
        }
        let to = atoms[atoms.len() - 1].to;
        let Content::Letters(script) = parts[0].content else { return };
        let apostrophe = self.text.len();
        self.send(TokenKind::Word, false, true, script, apostrophe, (atoms[0].from, to));
    }

    /// The piece that covers all of `atoms`, and for hyphenated words and grouped digits their form without the marks.
    fn whole(&mut self, atoms: &[Atom], parts: &[Part], has_leading_dot: bool) {
        let (first, last) = (atoms[0], atoms[atoms.len() - 1]);
        let parts = &parts[first.first_part..last.last_part];
        let range = (first.from - usize::from(has_leading_dot), last.end);
        let is_plain = atoms.iter().all(|atom| atom.end == atom.to) && !has_leading_dot;
        let is_each_one_part = parts.len() == atoms.len();
        let letters = parts.iter().all(|part| matches!(part.content, Content::Letters(_)));
        let is_hyphenated = atoms[1..].iter().all(|atom| atom.join == Join::Hyphen) && atoms.len() > 1;
        if is_plain && is_each_one_part && letters && is_hyphenated {
            self.text.clear();
            for atom in atoms {
                self.push_lower(atom.from, atom.to);
            }
            let script = common_script(parts);
            let apostrophe = self.text.len();
            self.send(TokenKind::Compound, true, false, script, apostrophe, range);
            return;
        }
        self.text.clear();
        self.push_lower(range.0, range.1);
        let script = if letters && is_plain && atoms.len() == 1 { common_script(parts) } else { Script::Other };
        let apostrophe = self.text.len();
        self.send(TokenKind::Identifier, false, false, script, apostrophe, range);
        if is_grouped_number(self.chars, atoms, parts) {
            self.text.clear();
            for atom in atoms {
                self.push_lower(atom.from, atom.to);
            }
            self.send(TokenKind::Number, false, false, Script::Other, 0, range);
        }
    }

    fn part(&mut self, mut part: Part) {
        // `O'Brien` is cut before the B: the apostrophe belongs to neither part.
        while part.to > part.from + 1 && is_apostrophe(self.chars[part.to - 1].c) {
            part.to -= 1;
        }
        self.text.clear();
        let apostrophe = self.push_lower(part.from, part.to);
        let range = (part.from, part.to);
        match part.content {
            Content::Letters(script) => self.send(TokenKind::Word, true, true, script, apostrophe, range),
            Content::Digits => self.send(TokenKind::Number, false, true, Script::Other, apostrophe, range),
            Content::Mixed => self.send(TokenKind::Identifier, false, true, Script::Other, apostrophe, range),
        }
    }

    /// Appends the characters in lower case, without apostrophes; returns the byte of the text where the first stood.
    fn push_lower(&mut self, from: usize, to: usize) -> usize {
        let mut apostrophe = None;
        for m in &self.chars[from..to] {
            if m.c.is_ascii() && m.c != '\'' {
                self.text.push(m.c.to_ascii_lowercase());
            } else if is_apostrophe(m.c) {
                apostrophe.get_or_insert(self.text.len());
            } else {
                let c = if m.c == '\u{2010}' { '-' } else { ascii_digit(m.c).unwrap_or(m.c) };
                self.text.extend(c.to_lowercase());
            }
            if self.text.len() > 4 * MAX_TERM_BYTES {
                break;
            }
        }
        apostrophe.unwrap_or(self.text.len())
    }

    fn send(
        &mut self,
        kind: TokenKind,
        stemmed: bool,
        in_phrase: bool,
        script: Script,
        apostrophe: usize,
        (from, to): (usize, usize),
    ) {
        truncate(self.text, MAX_TERM_BYTES);
        (self.sink)(Piece {
            kind,
            stemmed,
            in_phrase,
            script,
            apostrophe: apostrophe.min(self.text.len()),
            text: self.text,
            unit: self.cursor.unit,
            position: self.cursor.position,
            start: self.chars[from].start,
            end: self.chars[to - 1].end,
        });
    }
}

/// `1,000` and `1.000.000`: groups of three digits behind one kind of mark.
fn is_grouped_number(chars: &[MappedChar], atoms: &[Atom], parts: &[Part]) -> bool {
    let join = match atoms {
        [_, second, ..] => second.join,
        _ => return false,
    };
    matches!(join, Join::Dot | Join::Grouping)
        && parts.iter().all(|part| part.content == Content::Digits)
        && parts.len() == atoms.len()
        && atoms[0].to - atoms[0].from <= 3
        && chars[atoms[0].from].c != '0'
        && atoms[1..].iter().all(|atom| atom.join == join && atom.to - atom.from == 3)
}

fn common_script(parts: &[Part]) -> Script {
    let Content::Letters(script) = parts[0].content else { return Script::Other };
    if parts.iter().all(|part| part.content == parts[0].content) { script } else { Script::Other }
}
