//! Values of properties: read from what a model wrote, or found in sentences, and of the right type or none.
//!
//! Pure. Without a model a value is taken only where it is sure: a sentence names the property and holds one value of the type, and no
//! other sentence that names it holds another one.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::civil::Date;
use schemas::api::generate::{FilledValue, PropertyKind, PropertySpec};

use crate::answer::asking::{Lack, says_not_found};
use crate::answer::defuse::for_prompt;

/// Longest value of words, in characters.
const TEXT_CHARS_MAX: usize = 2_000;
/// Words that turn around what is said; a sentence with one is not sure of an option.
const NEGATIONS: [&str; 16] = [
    "not", "no", "never", "without", "cannot", "neither", "nicht", "kein", "keine", "pas", "jamais", "sin", "nunca",
    "non", "niet", "geen",
];
/// Ways in which what a model wrote for an option is read, at most.
const READINGS_MAX: usize = 32;
/// What a model may put around a value.
const QUOTES: [char; 6] = ['"', '\'', '`', '*', '“', '”'];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// An option as it is compared: in lower case, with single spaces.
pub fn folded(option: &str) -> String {
    option.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// An option as a model is told it, compared as [`folded`]: without what is not seen, and with round brackets around numbers.
fn told(option: &str) -> String {
    folded(&for_prompt(option))
}

/// As [`told`], where a model put spaces in or left some out.
fn joined(option: &str) -> String {
    told(option).replace(' ', "")
}

/// Whether a model says that there is no value, after the name of the property as well.
pub fn is_lacking(written: &str, property: &PropertySpec) -> bool {
    let text = written.trim().trim_matches(QUOTES);
    says_not_found(named_value(text, &property.name).unwrap_or(text), Lack::WithReason)
}

/// The value that a model wrote, if it is one of the property: words, days and numbers as they may be shown, an option as it was written, for
/// an option may have signs that are shown to nobody.
pub fn read(written: &str, property: &PropertySpec) -> Option<FilledValue> {
    let text = written.trim().trim_matches(QUOTES).trim();
    let value = named_value(text, &property.name).unwrap_or(text).trim_matches(QUOTES).trim();
    let bare = value.trim_end_matches(['.', '。']).trim_matches(QUOTES).trim();
    match property.kind {
        PropertyKind::Text => {
            let fits = !value.is_empty() && value.chars().count() <= TEXT_CHARS_MAX;
            fits.then(|| FilledValue::Text(value.to_owned()))
        }
        PropertyKind::Select => chosen(written, property).map(|option| FilledValue::Select(option.clone())),
        PropertyKind::Date => bare.parse::<Date>().ok().filter(|_| bare.len() == 10).map(FilledValue::Date),
        PropertyKind::Number => {
            let is_plain = bare.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
            bare.parse::<f64>().ok().filter(|number| is_plain && number.is_finite()).map(FilledValue::Number)
        }
    }
}

/// The option that a model wrote: the same but for case and space, else as it was told.
fn chosen<'a>(written: &str, property: &'a PropertySpec) -> Option<&'a String> {
    let readings = readings(written, &property.name);
    let find = |fold: fn(&str) -> String| {
        let options: Vec<String> = property.options.iter().map(|option| fold(option)).collect();
        let place = |text: String| options.iter().position(|option| *option == text && !text.is_empty());
        readings.iter().find_map(|text| place(fold(text)))
    };
    find(folded).or_else(|| find(told)).or_else(|| find(joined)).map(|at| &property.options[at])
}

/// What a model may have written for an option, from the whole of it on: without the name of the property, without markers, a full stop and
/// quotes around it.
fn readings<'a>(written: &'a str, name: &str) -> Vec<&'a str> {
    let whole = written.trim();
    let mut readings = vec![whole];
    readings.extend(named_value(whole.trim_start_matches(QUOTES), name));
    let mut at = 0;
    while let Some(&text) = readings.get(at) {
        let bare = [before_marker(text), Some(text.trim_end_matches(['.', '。'])), Some(text.trim_matches(QUOTES))];
        for bare in bare.into_iter().flatten().map(str::trim) {
            if readings.len() < READINGS_MAX && !readings.contains(&bare) {
                readings.push(bare);
            }
        }
        at += 1;
    }
    readings
}

/// What stands before a marker at the end.
fn before_marker(text: &str) -> Option<&str> {
    let (before, inner) = text.strip_suffix(']')?.rsplit_once('[')?;
    let is_marker = !inner.is_empty() && inner.chars().all(|c| c.is_ascii_digit() || " ,;^".contains(c));
    is_marker.then_some(before)
}

/// A value as text.
pub fn shown(value: &FilledValue) -> String {
    match value {
        FilledValue::Text(text) | FilledValue::Select(text) => text.clone(),
        FilledValue::Date(date) => date.to_string(),
        FilledValue::Number(number) => number.to_string(),
    }
}

/// Finds the value in sentences, each with its terms; `name` are those of the property's name. Says in which sentence it stands.
pub fn find<'a>(
    property: &PropertySpec,
    name: &BTreeSet<String>,
    sentences: impl Iterator<Item = (&'a str, &'a BTreeSet<String>)>,
) -> Option<(FilledValue, usize)> {
    let mut found: Option<(FilledValue, usize)> = None;
    for (at, (text, terms)) in sentences.enumerate() {
        if name.is_empty() || !name.is_subset(terms) {
            continue;
        }
        let held = match property.kind {
            PropertyKind::Text => {
                let value = named_value(text, &property.name).map(|value| FilledValue::Text(value.to_owned()));
                value.map_or(Held::Nothing, Held::One)
            }
            PropertyKind::Select => option_in(text, property),
            PropertyKind::Date => Held::of(dates(text)).map(FilledValue::Date),
            PropertyKind::Number => number_in(text, &property.name),
        };
        match (held, &found) {
            (Held::Unsure, _) => return None,
            (Held::One(value), Some((known, _))) if *known != value => return None,
            (Held::One(value), None) => found = Some((value, at)),
            (Held::Nothing, _) | (Held::One(_), Some(_)) => {}
        }
    }
    found
}

/// The values that a sentence holds.
enum Held<T> {
    Nothing,
    One(T),
    /// Several that differ, or one that can be read in two ways.
    Unsure,
}

impl<T: PartialEq> Held<T> {
    fn of(values: Vec<T>) -> Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return Self::Nothing };
        if values.all(|other| other == first) { Self::One(first) } else { Self::Unsure }
    }

    fn map<U>(self, to: impl FnOnce(T) -> U) -> Held<U> {
        match self {
            Self::Nothing => Held::Nothing,
            Self::One(value) => Held::One(to(value)),
            Self::Unsure => Held::Unsure,
        }
    }
}

/// What follows the name of the property and a colon or the like.
fn named_value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let text = text.trim().trim_start_matches(['-', '*', '•', ' ']);
    let begins = text.get(..name.len()).filter(|begin| begin.to_lowercase() == name.to_lowercase())?;
    let rest = text[begins.len()..].trim_start_matches(['*', ' ']);
    let value = rest.strip_prefix([':', '=', '|', '：'])?.trim_start_matches('*').trim();
    (!value.is_empty()).then_some(value)
}

fn option_in(text: &str, property: &PropertySpec) -> Held<FilledValue> {
    let text = folded(text).replace('’', "'");
    // The name of the property may hold an option itself.
    let text = text.replacen(&folded(&property.name), " ", 1);
    let mut found: Vec<(Range<usize>, &String)> = Vec::new();
    for option in &property.options {
        let wanted = folded(option);
        let places = text.match_indices(&wanted).map(|(start, _)| start..start + wanted.len());
        found.extend(places.filter(|place| is_whole(&text, place)).map(|place| (place, option)));
    }
    // One that stands in a longer one, as `done` in `not done`, is not said.
    let is_inside = |place: &Range<usize>| {
        found.iter().any(|(other, _)| other.len() > place.len() && other.start <= place.start && place.end <= other.end)
    };
    let said: Vec<&String> = found.iter().filter(|(place, _)| !is_inside(place)).map(|(_, option)| *option).collect();
    let mut rest = text.clone();
    for option in &said {
        rest = rest.replace(&folded(option), " ");
    }
    let mut words = rest.split(|c: char| !c.is_alphanumeric() && c != '\'');
    let is_turned = words.any(|word| NEGATIONS.contains(&word) || word.ends_with("n't"));
    let held = Held::of(said).map(|option| FilledValue::Select(option.clone()));
    if is_turned && matches!(held, Held::One(_)) { Held::Unsure } else { held }
}

/// Whether a place in a text is bounded by what is no letter and no digit.
fn is_whole(text: &str, place: &Range<usize>) -> bool {
    let before = text[..place.start].chars().next_back();
    let after = text[place.end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

fn number_in(text: &str, name: &str) -> Held<FilledValue> {
    let text = folded(text).replacen(&folded(name), " ", 1);
    let mut numbers = Vec::new();
    let tokens = text.split(|c: char| c.is_whitespace() || "()[]|:;=~≈<>\"'".contains(c));
    for token in tokens.filter(|token| token.contains(|c: char| c.is_ascii_digit())) {
        let token =
            token.trim_end_matches(['.', ',', '!', '?', '%', '°', '€', '$']).trim_start_matches(['$', '€', '£', '+']);
        // Written in a way that can be read in two, or with letters: nothing is sure.
        let Some(number) = number(token) else { return Held::Unsure };
        numbers.push(number);
    }
    Held::of(numbers).map(FilledValue::Number)
}

/// `1500`, `-3`, `2.5`, `1,500,000`; not `1.500`, which is another number in another country, and not `1,5`.
fn number(token: &str) -> Option<f64> {
    let (sign, digits) = token.strip_prefix(['-', '−']).map_or((1.0, token), |digits| (-1.0, digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(',');
    let first = groups.next().filter(|first| !first.is_empty() && is_digits(first))?;
    let rest: Vec<&str> = groups.collect();
    let is_grouped =
        rest.iter().all(|group| group.len() == 3 && is_digits(group)) && (rest.is_empty() || first.len() <= 3);
    let is_ambiguous = decimals.len() == 3 && rest.is_empty() && first.len() <= 3;
    if !is_grouped || !is_digits(decimals) || is_ambiguous || digits.ends_with('.') {
        return None;
    }
    let plain = digits.replace(',', "");
    plain.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| sign * number)
}

/// The days that a text names: `2026-03-01`, `1 March 2026`, `March 1, 2026`.
fn dates(text: &str) -> Vec<Date> {
    let words: Vec<String> = text
        .split(|c: char| c.is_whitespace() || ",|()[];:".contains(c))
        .filter(|word| !word.is_empty())
        .map(|word| word.trim_end_matches('.').to_lowercase())
        .collect();
    let month = |word: &str| {
        let is_named = |name: &&str| *name == word || (word.len() == 3 && name.starts_with(word));
        MONTHS.iter().position(is_named).map(|at| at as i8 + 1)
    };
    let day = |word: &str| word.trim_end_matches(['s', 't', 'n', 'd', 'r', 'h']).parse::<i8>().ok();
    let year = |word: &str| word.parse::<i16>().ok().filter(|_| word.len() == 4);
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let of_iso = word.get(..10).filter(|_| word.len() == 10 || word.as_bytes()[10] == b't');
        found.extend(of_iso.and_then(|iso| iso.parse::<Date>().ok()));
        let (Some(before), Some(month)) = (at.checked_sub(1), month(word)) else {
            if let (Some(month), [second, third, ..]) = (month(word), &words[at + 1..]) {
                found.extend(day(second).zip(year(third)).and_then(|(day, year)| Date::new(year, month, day).ok()));
            }
            continue;
        };
        let after = words.get(at + 1);
        let spoken = day(&words[before]).zip(after.and_then(|word| year(word)));
        let american = after.and_then(|word| day(word)).zip(words.get(at + 2).and_then(|word| year(word)));
        let parts = spoken.or(american);
        found.extend(parts.and_then(|(day, year)| Date::new(year, month, day).ok()));
    }
    found
}

#[cfg(test)]
mod tests;
