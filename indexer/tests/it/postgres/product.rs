//! A product over PostgreSQL: it changes rows, and says so in its outbox in the same transaction.
//!
//! Some rows it deletes for good, others it keeps as deleted; events name what changed alone, rows all there is.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::event::Event;
use serde_json::{Value, json};

use super::Session;

const PAGES: usize = 40;
const BLOCKS: usize = 400;
const WORDS: [&str; 8] = ["dome", "mirror", "night", "shift", "archive", "cooling", "tracking", "weather"];

pub(super) struct Product {
    random: SmallRng,
    /// The rows, by their id.
    pages: BTreeMap<String, Value>,
    blocks: BTreeMap<String, Value>,
    /// How often each page and block was written, also those that are gone.
    counters: BTreeMap<String, u64>,
    written: u64,
}

/// What one transaction does.
pub(super) struct Edit {
    /// The rows it replaces or deletes: table, id, and what is to be there.
    rows: Vec<(&'static str, String, Option<Value>)>,
    /// The events that say so.
    pub(super) events: Vec<Event>,
}

impl Edit {
    /// Does it in a transaction that is left open.
    pub(super) fn begin(&self, session: &Session) {
        session.run("BEGIN");
        for (table, id, row) in &self.rows {
            session.execute(&format!("DELETE FROM tessera.{table} WHERE workspace = 'acme' AND id = $1"), &[id]);
            if let Some(row) = row {
                session.insert(table, row);
            }
        }
        for event in &self.events {
            session.send(&event.encode());
        }
    }

    /// Whether both change one row, so that one would wait for the other.
    pub(super) fn shares_rows_with(&self, other: &Self) -> bool {
        self.rows
            .iter()
            .any(|(table, id, _)| other.rows.iter().any(|(other, other_id, _)| (table, id) == (other, other_id)))
    }

    /// Does it.
    pub(super) fn run(&self, session: &Session) {
        self.begin(session);
        session.run("COMMIT");
    }
}

impl Product {
    pub(super) fn new(seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        let (pages, blocks, counters) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { random, pages, blocks, counters, written: 0 }
    }

    fn text(&mut self) -> String {
        let words: Vec<_> = (0..6).map(|_| WORDS[self.random.random_range(0..WORDS.len())]).collect();
        format!("{} {}", words.join(" "), self.written)
    }

    fn version(&mut self, entity: &str) -> Value {
        self.written += 1;
        let counter = self.counters.entry(entity.to_owned()).or_insert(0);
        *counter += 1;
        json!({"clock": {"eu": *counter}, "timestamp": {"wall_ms": self.written}, "region": "eu"})
    }

    /// Makes the event, and notes its version in the row.
    fn event(&mut self, kind: &str, subject: &str, mut data: Value, row: &mut Value) -> Event {
        let version = self.version(subject);
        row["version"] = version.clone();
        data["version"] = version;
        let event = json!({
            "specversion": "1.0", "id": self.written.to_string(), "source": "/product", "type": kind, "workspaceid": "acme",
            "subject": subject, "data": data,
        });
        Event::decode(event.to_string().as_bytes(), u64::MAX / 2).unwrap()
    }

    /// Changes something.
    pub(super) fn edit(&mut self) -> Edit {
        let page = format!("p{}", self.random.random_range(0..PAGES));
        let Some(row) = self.pages.get(&page).cloned() else { return self.make_page(page) };
        if row["deleted"] == true || self.random.random_bool(0.8) {
            let on = self.random.random_range(0..self.pages.len());
            let on = self.pages.keys().nth(on).unwrap().clone();
            return self.edit_block(&on);
        }
        self.edit_page(page, row)
    }

    fn make_page(&mut self, page: String) -> Edit {
        let title = self.text();
        let grants = json!([{"principal": "workspace", "level": "view"}]);
        let mut row = json!({
            "workspace": "acme", "id": page, "parent": null, "title": title, "kind": "page", "icon": "🔭",
            "properties": {"tags": ["night"], "points": 12.50}, "created_by": "ada", "created_at": "2026-01-02T03:04:05Z",
            "trashed": false, "deleted": false, "grants": grants, "restricted": false,
        });
        let data = json!({"grants": grants, "restricted": false});
        let access = self.event("page.access_changed", &page, data, &mut row);
        let data = json!({
            "title": title, "parent": {"type": "workspace"}, "kind": "page", "icon": "🔭", "properties": row["properties"],
            "created_by": "ada", "created_at": "2026-01-02T03:04:05Z",
        });
        let made = self.event("page.upserted", &page, data, &mut row);
        self.pages.insert(page.clone(), row.clone());
        Edit { rows: vec![("pages", page, Some(row))], events: vec![access, made] }
    }

    fn edit_page(&mut self, page: String, mut row: Value) -> Edit {
        let event = match self.random.random_range(0..7) {
            0 => {
                row["title"] = self.text().into();
                let data = json!({"title": row["title"]});
                self.event("page.upserted", &page, data, &mut row)
            }
            1 => {
                // Above it stands a page of a smaller number, so that there is no cycle.
                let number: usize = page[1..].parse().unwrap();
                let above = (number > 0).then(|| format!("p{}", self.random.random_range(0..number)));
                let parent = match &above {
                    Some(above) => json!({"type": "page", "id": above}),
                    None => json!({"type": "workspace"}),
                };
                row["parent"] = above.into();
                self.event("page.upserted", &page, json!({"parent": parent}), &mut row)
            }
            2 => {
                let properties = row["properties"].as_object_mut().unwrap();
                let points = properties.remove("points").is_none().then_some(self.written);
                properties.extend(points.map(|points| ("points".to_owned(), points.into())));
                let data = json!({"properties": {"points": points}});
                self.event("page.upserted", &page, data, &mut row)
            }
            3 => {
                row["icon"] = if row["icon"].is_null() { "🌙".into() } else { Value::Null };
                let data = json!({"icon": row["icon"]});
                self.event("page.upserted", &page, data, &mut row)
            }
            4 => {
                let user = ["ada", "mira"][self.random.random_range(0..2)];
                row["grants"] = json!([{"principal": format!("user:{user}"), "level": "edit"}]);
                row["restricted"] = self.random.random_bool(0.5).into();
                let data = json!({"grants": row["grants"], "restricted": row["restricted"]});
                self.event("page.access_changed", &page, data, &mut row)
            }
            5 => {
                let is_trashed = row["trashed"] == true;
                row["trashed"] = (!is_trashed).into();
                let kind = if is_trashed { "page.restored" } else { "page.trashed" };
                self.event(kind, &page, json!({}), &mut row)
            }
            _ => {
                row["deleted"] = true.into();
                self.event("page.deleted", &page, json!({}), &mut row)
            }
        };
        self.pages.insert(page.clone(), row.clone());
        Edit { rows: vec![("pages", page, Some(row))], events: vec![event] }
    }

    fn edit_block(&mut self, page: &str) -> Edit {
        let block = format!("b{}", self.random.random_range(0..BLOCKS));
        let known = self.blocks.get(&block).filter(|row| row["deleted"] == false).cloned();
        let (mut row, what) = match known {
            Some(row) => (row, self.random.random_range(0..5)),
            None => (json!({"workspace": "acme", "id": block, "parent": null, "deleted": false}), 0),
        };
        let (kind, data) = match what {
            // It moves, with what is in it.
            1 => {
                row["page"] = page.into();
                row["position"] = format!("{:05}", self.written).into();
                ("block.upserted", json!({"page": page, "position": row["position"]}))
            }
            2 => {
                row["deleted"] = true.into();
                ("block.deleted", json!({"page": row["page"]}))
            }
            _ => {
                let text = self.text();
                row["page"] = page.into();
                row["position"] = block.clone().into();
                row["type"] = "paragraph".into();
                row["content"] = json!({"rich_text": [{"plain_text": text}]});
                let content = json!({"type": "paragraph", "rich_text": [{"plain_text": text}]});
                ("block.upserted", json!({"page": page, "position": block, "content": content}))
            }
        };
        let event = self.event(kind, &block, data, &mut row);
        let is_kept = row["deleted"] == false || self.random.random_bool(0.5);
        let row = is_kept.then_some(row);
        match &row {
            Some(row) => self.blocks.insert(block.clone(), row.clone()),
            None => self.blocks.remove(&block),
        };
        Edit { rows: vec![("blocks", block, row)], events: vec![event] }
    }
}
