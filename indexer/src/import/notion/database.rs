//! Databases of an export: a CSV file with one record for each row, of which most also have a page file.

use std::collections::HashMap;
use std::io;

use schemas::page::PropertyValue;

use crate::import::document::{Span, Spill};
use crate::import::front;

/// Most records of one database that are read.
pub(super) const RECORDS_MAX: usize = 1_000_000;

/// What all values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnKind {
    Number,
    Checkbox,
    Tags,
    Text,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    kind: ColumnKind,
}

/// A database: its columns, and where its records lie.
#[derive(Debug, Default)]
pub(super) struct Database {
    columns: Vec<Column>,
    /// Records by title; the title is the first column.
    by_title: HashMap<String, Vec<Span>>,
    /// Titles in the order of their first record.
    titles: Vec<String>,
}

impl Database {
    /// Reads a CSV file; its records go to the spill. The flag tells whether there were too many.
    pub(super) fn read(csv: &str, spill: &mut Spill) -> io::Result<(Self, bool)> {
        let text = csv.strip_prefix('\u{feff}').unwrap_or(csv);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let headers = reader.headers()?.clone();
        let mut kinds = vec![None; headers.len()];
        let mut database = Self::default();
        let mut record = csv::StringRecord::new();
        let mut count = 0;
        while reader.read_record(&mut record)? {
            count += 1;
            if count > RECORDS_MAX {
                break;
            }
            for (kind, value) in kinds.iter_mut().zip(&record) {
                *kind = merged(*kind, value);
            }
            let values: Vec<&str> = record.iter().collect();
            let json = serde_json::to_vec(&values)?;
            let title = title_of(record.get(0).unwrap_or(""));
            if !database.by_title.contains_key(&title) {
                database.titles.push(title.clone());
            }
            database.by_title.entry(title).or_default().push(spill.put(&json)?);
        }
        let columns = headers.iter().zip(kinds).map(|(name, kind)| Column {
            kind: if name.eq_ignore_ascii_case("tags") { ColumnKind::Tags } else { kind.unwrap_or(ColumnKind::Text) },
            name: name.to_owned(),
        });
        database.columns = columns.collect();
        Ok((database, count > RECORDS_MAX))
    }

    /// The records that have no page: of each title, those beyond its pages. `pages` holds how many pages have a title.
    pub(super) fn without_page(&self, pages: &HashMap<String, usize>) -> Vec<(String, usize, Span)> {
        let mut rows = Vec::new();
        for title in &self.titles {
            let with_page = pages.get(title).copied().unwrap_or(0);
            let spans = self.by_title[title].iter().enumerate().skip(with_page);
            rows.extend(spans.map(|(nth, span)| (title.clone(), nth, *span)));
        }
        rows
    }

    /// The record of the only row with a title.
    pub(super) fn only(&self, title: &str) -> Option<Span> {
        match self.by_title.get(title).map(Vec::as_slice) {
            Some([span]) => Some(*span),
            _ => None,
        }
    }

    /// The properties of a record, without its title and without empty values.
    pub(super) fn properties(&self, span: Span, spill: &mut Spill) -> io::Result<Vec<(String, PropertyValue)>> {
        let values: Vec<String> = serde_json::from_slice(&spill.get(span)?)?;
        let named = self.columns.iter().zip(&values).skip(1);
        Ok(named.filter_map(|(column, value)| property(column, value)).collect())
    }

    /// Takes the lines `Name: value` from the beginning of a row's page and returns them with the rest.
    pub(super) fn take_properties<'a>(&self, body: &'a str) -> (Vec<(String, PropertyValue)>, &'a str) {
        let mut properties = Vec::new();
        let mut rest = body;
        loop {
            let line_end = rest.find('\n').map_or(rest.len(), |end| end + 1);
            let line = rest[..line_end].trim();
            let named = line.split_once(':').and_then(|(name, value)| {
                let column = self.columns.iter().find(|column| column.name == name.trim())?;
                Some((column, value))
            });
            match named {
                Some((column, value)) => properties.extend(property(column, value)),
                None if line.is_empty() && properties.is_empty() && line_end > 0 => {}
                None => return (properties, rest),
            }
            rest = &rest[line_end..];
        }
    }
}

/// A title as it is compared: an empty one is that of an untitled page.
pub(super) fn title_of(text: &str) -> String {
    match text.trim() {
        "" => "Untitled".to_owned(),
        title => title.to_owned(),
    }
}

fn merged(kind: Option<ColumnKind>, value: &str) -> Option<ColumnKind> {
    let own = match value.trim() {
        "" => return kind,
        "Yes" | "No" => ColumnKind::Checkbox,
        value if front::number(value).is_some() => ColumnKind::Number,
        _ => ColumnKind::Text,
    };
    Some(if kind.is_none_or(|kind| kind == own) { own } else { ColumnKind::Text })
}

fn property(column: &Column, value: &str) -> Option<(String, PropertyValue)> {
    let value = value.trim();
    if value.is_empty() || column.name.is_empty() {
        return None;
    }
    let text = || PropertyValue::Text(value.to_owned());
    Some(match column.kind {
        ColumnKind::Number => (column.name.clone(), front::number(value).map_or_else(text, PropertyValue::Number)),
        ColumnKind::Checkbox => (column.name.clone(), PropertyValue::Checkbox(value == "Yes")),
        ColumnKind::Tags => {
            let tags = value.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty());
            ("tags".to_owned(), PropertyValue::List(tags.collect()))
        }
        ColumnKind::Text => (column.name.clone(), text()),
    })
}
