//! Notion exports as a source: the zip of "Markdown & CSV" (and, with less structure, of "HTML").
//!
//! A page is `Title 32hex.md` with its children in the folder of that name (newer exports leave the digits out of the
//! folder's name); a database is `Title 32hex.csv` with its rows in the folder. The 32 digits are the page's id, so
//! links keep leading to pages whatever happens to paths.

mod archive;
mod database;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use schemas::ids::PageId;
use schemas::page::{PageKind, PropertyValue};
use zip::result::ZipError;

use self::archive::{Archive, Place};
use self::database::{Database, title_of};
use super::document::{Document, Documents, Format, Span, Spill};
use super::tree::{File, page_id};

const ID_CHARS: usize = 32;
/// How much of a row's page is read to know its title.
const HEAD_BYTES: usize = 8 << 10;

/// Where a page comes from.
#[derive(Clone, Debug)]
enum Origin {
    /// A page file.
    Page { place: Place, format: Format, row_of: Option<usize> },
    /// A database without a page file of its own.
    Database,
    /// A record without a page file.
    Record { database: usize, span: Span },
}

/// An export that was opened.
#[derive(Debug)]
pub struct Export {
    archive: Archive,
    files: Vec<File>,
    origins: Vec<Origin>,
    titles: Vec<String>,
    ids: HashSet<PageId>,
    databases: Vec<Database>,
    spill: Spill,
}

/// A page file of the archive.
struct Page {
    /// Where it stands in the tree: folders named as the pages they belong to.
    path: String,
    name: Name,
    place: Place,
    format: Format,
}

/// A file or folder name, taken apart.
#[derive(Clone, Debug, PartialEq)]
struct Name {
    title: String,
    id: Option<PageId>,
}

impl Name {
    fn of(stem: &str) -> Self {
        let split = stem.len().checked_sub(ID_CHARS).filter(|&at| stem.is_char_boundary(at));
        let id = split.and_then(|at| {
            let (title, digits) = stem.split_at(at);
            let apart = title.is_empty() || title.ends_with([' ', '-']);
            let is_id = apart && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_id.then(|| PageId::new(digits.to_ascii_lowercase()).ok().map(|id| (title, id))).flatten()
        });
        match id {
            Some((title, id)) => Self { title: title_of(title.trim_end_matches([' ', '-'])), id: Some(id) },
            None => Self { title: title_of(stem), id: None },
        }
    }
}

impl Export {
    /// Opens an export and reads its databases. `warn` is told, by path, of what is passed over.
    pub fn open(path: &Path, warn: &mut dyn FnMut(&str, String)) -> Result<Self, ZipError> {
        let archive = Archive::open(path, warn)?;
        let mut export = Self {
            archive,
            files: Vec::new(),
            origins: Vec::new(),
            titles: Vec::new(),
            ids: HashSet::new(),
            databases: Vec::new(),
            spill: Spill::new()?,
        };
        let entries = std::mem::take(&mut export.archive.entries);
        let mut entries: Vec<(String, Place)> =
            entries.into_iter().map(|(path, place)| (without_wrapper(&path).to_owned(), place)).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|a, b| a.0 == b.0);
        let folders = folder_names(&entries);
        let mut pages = Vec::new();
        let mut tables: HashMap<String, (Place, bool)> = HashMap::new();
        for (path, place) in &entries {
            let (folder, stem, extension) = parts(path);
            let folder = folders.get(folder).map_or(folder, String::as_str);
            let at = |stem: &str| if folder.is_empty() { stem.to_owned() } else { format!("{folder}/{stem}") };
            match extension.to_ascii_lowercase().as_str() {
                extension @ ("md" | "html") => {
                    let format = if extension == "md" { Format::Markdown } else { Format::Html };
                    // The list of all pages that an HTML export begins with.
                    if stem != "index" || format == Format::Markdown {
                        pages.push(Page { path: at(stem), name: Name::of(stem), place: *place, format });
                    }
                }
                "csv" => {
                    let (stem, is_whole) = stem.strip_suffix("_all").map_or((stem, false), |stem| (stem, true));
                    let held = tables.entry(at(stem)).or_insert((*place, is_whole));
                    if is_whole {
                        *held = (*place, true);
                    }
                }
                _ => {}
            }
        }
        let database_at = export.read_databases(tables, &pages, warn);
        for page in pages {
            let (folder, _, _) = parts(&page.path);
            let row_of = database_at.get(folder).copied();
            let kind = database_at.contains_key(&page.path).then_some(PageKind::Database);
            let origin = Origin::Page { place: page.place, format: page.format, row_of };
            export.add(&page.path, page.name, kind, origin);
        }
        Ok(export)
    }

    /// Reads the databases, and adds them and their records where they have no page files. Returns them by their path.
    fn read_databases(
        &mut self,
        tables: HashMap<String, (Place, bool)>,
        pages: &[Page],
        warn: &mut dyn FnMut(&str, String),
    ) -> HashMap<String, usize> {
        let mut tables: Vec<(String, Place)> = tables.into_iter().map(|(path, (place, _))| (path, place)).collect();
        tables.sort_by(|a, b| a.0.cmp(&b.0));
        let mut database_at = HashMap::new();
        for (path, place) in tables {
            let read = self.archive.text(place).and_then(|csv| {
                Database::read(&csv, &mut self.spill).map_err(|error| format!("its records cannot be read: {error}"))
            });
            let (database, is_cut) = read.unwrap_or_else(|reason| {
                warn(&path, reason);
                (Database::default(), false)
            });
            if is_cut {
                warn(&path, format!("only its first {} records were read", database::RECORDS_MAX));
            }
            database_at.insert(path, self.databases.len());
            self.databases.push(database);
        }
        let mut titles: HashMap<usize, HashMap<String, usize>> = HashMap::new();
        let paths: HashSet<&str> = pages.iter().map(|page| page.path.as_str()).collect();
        for page in pages {
            let Some(&database) = database_at.get(parts(&page.path).0) else { continue };
            let title = self.heading(page.place).unwrap_or_else(|| page.name.title.clone());
            *titles.entry(database).or_default().entry(title).or_default() += 1;
        }
        let mut by_path: Vec<(&String, &usize)> = database_at.iter().collect();
        by_path.sort();
        for (path, &database) in by_path {
            let name = Name::of(path.rsplit('/').next().unwrap_or(path));
            let key = name.id.clone().map_or_else(|| path.clone(), |id| id.to_string());
            if !paths.contains(path.as_str()) {
                self.add(path, name, Some(PageKind::Database), Origin::Database);
            }
            let rows = self.databases[database].without_page(titles.get(&database).unwrap_or(&HashMap::new()));
            for (title, nth, span) in rows {
                let id = page_id(&format!("{key}/{nth}/{title}"));
                // The path only has to be this row's own; what is shown is the title.
                let path = format!("{path}/{id}");
                self.add(&path, Name { title, id: Some(id) }, None, Origin::Record { database, span });
            }
        }
        database_at
    }

    fn add(&mut self, path: &str, name: Name, kind: Option<PageKind>, origin: Origin) {
        self.ids.extend(name.id.clone());
        self.files.push(File { path: format!("{path}.md"), id: name.id, kind });
        self.titles.push(name.title);
        self.origins.push(origin);
    }

    /// The title in a page's first heading.
    fn heading(&mut self, place: Place) -> Option<String> {
        let (bytes, _) = self.archive.head(place, HEAD_BYTES).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().find(|line| !line.trim().is_empty())?;
        Some(title_of(line.trim().strip_prefix('#')?))
    }

    fn row(&mut self, database: usize, title: &str, text: String) -> io::Result<Document> {
        let database = &self.databases[database];
        let first_line_end = text.find('\n').map_or(text.len(), |end| end + 1);
        let (heading, body) = text.split_at(first_line_end);
        let (mut properties, body) =
            if heading.trim_start().starts_with('#') { database.take_properties(body) } else { (Vec::new(), body) };
        let title = heading.trim().strip_prefix('#').map_or_else(|| title.to_owned(), title_of);
        if let Some(span) = database.only(&title) {
            for (name, value) in database.properties(span, &mut self.spill)? {
                if !properties.iter().any(|(known, _)| *known == name) {
                    properties.push((name, value));
                }
            }
        }
        let text = if properties.is_empty() { text } else { format!("{heading}\n{body}") };
        Ok(with_times(Document { text, properties, ..Document::default() }))
    }
}

impl Documents for Export {
    fn files(&self) -> &[File] {
        &self.files
    }

    fn read(&mut self, at: usize) -> Result<Document, String> {
        let title = self.titles[at].clone();
        let document = match self.origins[at].clone() {
            Origin::Page { place, format, row_of } => {
                let text = self.archive.text(place)?;
                match row_of {
                    Some(database) if format == Format::Markdown => {
                        self.row(database, &title, text).map_err(|error| error.to_string())?
                    }
                    _ => Document { text, format, ..Document::default() },
                }
            }
            Origin::Database => Document::default(),
            Origin::Record { database, span } => {
                let properties = self.databases[database].properties(span, &mut self.spill);
                let properties = properties.map_err(|error| error.to_string())?;
                with_times(Document { properties, ..Document::default() })
            }
        };
        Ok(Document { title: Some(title), ..document })
    }

    fn page_of_address(&self, address: &str) -> Option<PageId> {
        let path = &address[..address.find(['?', '#']).unwrap_or(address.len())];
        let name = path.rsplit('/').next().unwrap_or(path).replace("%20", " ");
        let stem = [".md", ".csv", ".html"].iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(&name);
        let id = Name::of(stem.strip_suffix("_all").unwrap_or(stem)).id?;
        self.ids.contains(&id).then_some(id)
    }
}

/// Takes the times of a row from the columns that Notion keeps them in.
fn with_times(mut document: Document) -> Document {
    let time = |name: &str| {
        let value = document.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.plain_text())?;
        let civil = jiff::civil::DateTime::strptime("%B %d, %Y %I:%M %p", &value)
            .or_else(|_| jiff::civil::Date::strptime("%B %d, %Y", &value).map(|day| day.at(0, 0, 0, 0)));
        Some(civil.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let (created_at, edited_at) = (time("Created time"), time("Last edited time"));
    document.created_at = document.created_at.or(created_at);
    document.edited_at = document.edited_at.or(edited_at);
    document.properties.retain(|(_, value)| *value != PropertyValue::Text(String::new()));
    document
}

/// A path as folder, stem and extension.
fn parts(path: &str) -> (&str, &str, &str) {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    (folder, stem, extension)
}

/// The path without the folder that each part of an export is wrapped in.
fn without_wrapper(path: &str) -> &str {
    match path.split_once('/') {
        Some((first, rest)) if first.starts_with("Export-") || first.starts_with("ExportBlock-") => rest,
        _ => path,
    }
}

/// Gives folders the full name of the page they belong to, where they lack its id.
fn folder_names(entries: &[(String, Place)]) -> HashMap<String, String> {
    // For each folder, the stems of its page files by title; `None` when two have one title.
    let mut stems: HashMap<&str, HashMap<String, Option<&str>>> = HashMap::new();
    let mut folders: HashSet<&str> = HashSet::new();
    for (path, _) in entries {
        let (mut folder, stem, extension) = parts(path);
        if matches!(extension, "md" | "csv" | "html") {
            let stem = stem.strip_suffix("_all").unwrap_or(stem);
            let held = stems.entry(folder).or_default().entry(Name::of(stem).title).or_insert(Some(stem));
            if *held != Some(stem) {
                *held = None;
            }
        }
        while !folder.is_empty() && folders.insert(folder) {
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    let mut folders: Vec<&str> = folders.into_iter().collect();
    folders.sort_by_key(|folder| folder.split('/').count());
    let mut names: HashMap<String, String> = HashMap::new();
    for folder in folders {
        let (above, name) = folder.rsplit_once('/').unwrap_or(("", folder));
        let owner =
            if Name::of(name).id.is_some() { None } else { stems.get(above).and_then(|by_title| by_title.get(name)) };
        let name = owner.copied().flatten().unwrap_or(name);
        let new_name = match names.get(above) {
            Some(above) => format!("{above}/{name}"),
            None => name.to_owned(),
        };
        names.insert(folder.to_owned(), new_name);
    }
    names
}

#[cfg(test)]
mod tests;
