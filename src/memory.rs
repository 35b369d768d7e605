//! One budget for memory: what each part may take of it, and what is left for what grows with the content.
//!
//! A part whose key is not set gets its share of `memory_bytes`; a key that is set holds, and must fit with the rest. Mapped
//! files of the index are no part of it: the kernel takes them back when others need the room. What is kept in memory
//! of every page and passage is no cache and cannot be bounded, so it is foretold ([`Content`]) and warned of.

use anyhow::{Context, bail};
use index::Index;
use toml::{Table, Value};

use crate::config::Config;

/// What the whole process may allocate, unless the configuration says otherwise.
pub(crate) const BYTES_DEFAULT: u64 = 1 << 30;
/// The least that every part can work with.
pub(crate) const BYTES_MIN: u64 = 256 << 20;
/// Shares are counted in this part of the budget.
const WHOLE: u64 = 64;

/// What the program itself takes, its threads and the runtime of the embedding model included; measured.
const PROGRAM_BYTES: u64 = 60 << 20;
/// A block of a page on its way into a commit, with its text, its versions and its place in the record.
const PENDING_BLOCK_BYTES: u64 = 1_300;
/// Beside its numbers of four bytes, what the cache keeps of a query's vector.
const QUERY_ENTRY_BYTES: u64 = 200;
/// A batch of events takes its body, what it is decoded to, and the copies that are merged.
const BODY_COPIES: u64 = 4;
/// A search at work: buffers for text with their stems, candidates, one bit for each passage and page.
const SEARCH_BYTES: u64 = 2 << 20;
/// Searches by words and by meaning run in pools of their own.
const POOLS: u64 = 2;

/// What is kept in memory of each workspace, page and passage; measured by `cargo bench -p eval --bench scale`.
const WORKSPACE_BYTES: u64 = 1_600;
const PAGE_BYTES: u64 = 650;
const PASSAGE_BYTES: u64 = 10;

/// A part of the process with a bound of its own.
#[derive(Clone, Copy, Debug)]
struct Part {
    holds: &'static str,
    /// The key that bounds it, as `section.key`.
    key: &'static str,
    /// Its share, in sixty-fourths of the budget.
    share: u64,
    /// Bytes that one of what the key counts takes.
    unit_bytes: fn(&Table) -> u64,
    /// The least and the most that a share sets the key to.
    range: fn() -> (u64, u64),
}

/// The parts; what their shares leave is for the program and the content.
const PARTS: [Part; 10] = [
    Part {
        holds: "the segment being written",
        key: "index.writer_memory_bytes",
        share: 4,
        unit_bytes: |_| 1,
        range: || (15 << 20, 2 << 30),
    },
    Part {
        holds: "stored text kept unpacked",
        key: "index.store_cache_bytes",
        share: 2,
        unit_bytes: |_| 1,
        range: || (1 << 20, 1 << 30),
    },
    Part {
        holds: "events not committed yet",
        key: "indexer.pending_bytes_max",
        share: 4,
        unit_bytes: |_| 1,
        range: || (schemas::limits::BATCH_BYTES_MAX as u64, 1 << 30),
    },
    Part {
        holds: "blocks of their pages",
        key: "indexer.pending_blocks_max",
        share: 10,
        unit_bytes: |_| PENDING_BLOCK_BYTES,
        range: || (2 * schemas::limits::PAGE_BLOCKS_MAX as u64, 10_000_000),
    },
    Part {
        holds: "pages that wait for vectors",
        key: "indexer.recent_bytes_max",
        share: 1,
        unit_bytes: |_| 1,
        range: || (1 << 20, 1 << 30),
    },
    Part {
        holds: "events of a stream not merged yet",
        key: "kafka.in_flight_bytes_max",
        share: 2,
        unit_bytes: |_| 1,
        range: || (1 << 20, 1 << 30),
    },
    Part {
        holds: "messages fetched ahead",
        key: "kafka.fetch_bytes_max",
        share: 1,
        unit_bytes: |_| 1,
        range: || (1 << 20, 256 << 20),
    },
    Part {
        holds: "vectors of recent queries",
        key: "models.embed.query_cache_len",
        share: 1,
        unit_bytes: |table| QUERY_ENTRY_BYTES + 4 * number(table, "models.embed.dimensions").unwrap_or(384),
        range: || (100, 1_000_000),
    },
    Part {
        holds: "bodies of requests",
        key: "http.bodies_bytes_max",
        share: 8,
        unit_bytes: |_| BODY_COPIES,
        range: || (schemas::limits::BATCH_BYTES_MAX as u64, 1 << 30),
    },
    Part {
        holds: "searches at work",
        key: "query.tasks_max",
        share: 2,
        unit_bytes: |_| POOLS * SEARCH_BYTES,
        range: || (2, 2 * std::thread::available_parallelism().map_or(1, usize::from) as u64),
    },
];

/// Gives each part whose key is not set its share of the budget.
pub(crate) fn share_out(table: &mut Table) -> anyhow::Result<()> {
    let bytes = number(table, "memory_bytes").unwrap_or(BYTES_DEFAULT);
    for part in PARTS {
        if value(table, part.key).is_some() {
            continue;
        }
        let (least, most) = (part.range)();
        let units = (bytes * part.share / WHOLE / (part.unit_bytes)(table)).clamp(least, most.max(least));
        set(table, part.key, i64::try_from(units)?)?;
    }
    Ok(())
}

/// What the parts take of the budget by the keys that hold: part, key, bytes.
fn taken(config: &Config) -> anyhow::Result<Vec<(&'static str, &'static str, u64)>> {
    let table = Table::try_from(config)?;
    let taken = PARTS.iter().map(|part| {
        let units = number(&table, part.key).with_context(|| format!("`{}` is not a number", part.key))?;
        Ok((part.holds, part.key, units.saturating_mul((part.unit_bytes)(&table))))
    });
    taken.collect()
}

/// What the index of one partition takes to be written.
pub(crate) fn bytes_of_writing(config: &Config) -> u64 {
    let blocks = config.indexer.pending_blocks_max as u64 * PENDING_BLOCK_BYTES;
    let indexer = &config.indexer;
    let texts = indexer.pending_bytes_max + indexer.recent_bytes_max;
    (config.index.writer_memory_bytes + config.index.store_cache_bytes + texts) as u64 + blocks
}

/// What is left of the budget for the content.
fn left(config: &Config) -> anyhow::Result<u64> {
    let parts: u64 = taken(config)?.iter().map(|(_, _, bytes)| bytes).sum();
    let taken = parts.saturating_add(PROGRAM_BYTES).saturating_add(model_bytes(config));
    Ok(config.memory_bytes.saturating_sub(taken))
}

/// Refuses a budget that is too small for its parts.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    if config.memory_bytes < BYTES_MIN {
        bail!(
            "`memory_bytes` is {} and must be at least {BYTES_MIN}: give it more in the configuration or as TESSERA__MEMORY_BYTES",
            config.memory_bytes
        );
    }
    let parts: u64 = taken(config)?.iter().map(|(_, _, bytes)| bytes).sum();
    if parts > config.memory_bytes {
        bail!(
            "the parts may take {parts} bytes together, `memory_bytes` is {}: raise it, or lower the largest of those that `tessera config show` lists",
            config.memory_bytes
        );
    }
    Ok(())
}

/// How the budget is divided, one part on a line, as comments of TOML.
pub(crate) fn table_of(config: &Config) -> anyhow::Result<String> {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let mut lines = vec![format!("# Of `memory_bytes`, {} MiB:", mib(config.memory_bytes))];
    let mut line = |holds: &str, bytes: u64, key: &str| {
        lines.push(format!("# {holds:<30} {:>6} MiB  {key}", mib(bytes)).trim_end().to_owned());
    };
    for (holds, key, bytes) in taken(config)? {
        line(holds, bytes, key);
    }
    line("the program and its threads", PROGRAM_BYTES, "");
    line("the embedding model", model_bytes(config), "");
    let left = left(config)?;
    let pages = left / Content { pages: 1, passages: 4, ..Content::default() }.bytes();
    line("left for the content", left, &format!("about {pages} pages of 4 passages"));
    Ok(lines.join("\n") + "\n")
}

/// What is kept in memory of the content, which no key bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    workspaces: u64,
    pages: u64,
    passages: u64,
}

impl Content {
    fn of(index: &Index) -> Self {
        let mut content = Self::default();
        for workspace in index.catalog().workspaces() {
            let stats = workspace.read().stats();
            content.workspaces += 1;
            content.pages += stats.pages;
            content.passages += stats.passages;
        }
        content
    }

    /// About how many bytes it takes: heads, access graph and the page of each passage.
    pub(crate) fn bytes(self) -> u64 {
        self.workspaces * WORKSPACE_BYTES + self.pages * PAGE_BYTES + self.passages * PASSAGE_BYTES
    }
}

/// Warns when the content does not fit in what the budget leaves for it.
pub(crate) fn warn_of_content(config: &Config, index: &Index) -> anyhow::Result<()> {
    let (content, left) = (Content::of(index), left(config)?);
    let Content { workspaces, pages, passages } = content;
    let needed_bytes = content.bytes();
    if needed_bytes > left {
        tracing::warn!(
            needed_bytes,
            left_bytes = left,
            memory_bytes = config.memory_bytes,
            workspaces,
            pages,
            passages,
            "the content does not fit in what `memory_bytes` leaves for it; raise it, or the process takes more than that"
        );
    }
    Ok(())
}

/// About what the embedding model takes: its weights, which lie in memory once, and half of them again to work.
fn model_bytes(config: &Config) -> u64 {
    if !config.models.enabled {
        return 0;
    }
    let dir = &config.models.embed.model_dir;
    let weights = ["model.onnx", "model.onnx_data", "model.safetensors"];
    let bytes: u64 =
        weights.iter().filter_map(|file| std::fs::metadata(dir.join(file)).ok()).map(|file| file.len()).sum();
    bytes + bytes / 2
}

fn value<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let (section, key) = key.rsplit_once('.').unwrap_or(("", key));
    let sections = section.split('.').filter(|section| !section.is_empty());
    sections.into_iter().try_fold(table, |table, section| table.get(section)?.as_table())?.get(key)
}

fn number(table: &Table, key: &str) -> Option<u64> {
    u64::try_from(value(table, key)?.as_integer()?).ok()
}

fn set(table: &mut Table, key: &str, units: i64) -> anyhow::Result<()> {
    let (section, key) = key.rsplit_once('.').unwrap_or(("", key));
    let mut inner = table;
    for section in section.split('.').filter(|section| !section.is_empty()) {
        let entry = inner.entry(section).or_insert_with(|| Value::Table(Table::new()));
        inner = entry.as_table_mut().with_context(|| format!("`{section}` is a value, not a section"))?;
    }
    inner.insert(key.to_owned(), Value::Integer(units));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> anyhow::Result<Config> {
        let config = Config::of(&text.parse().unwrap())?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn a_larger_budget_gives_every_part_more_and_all_fit() {
        let (small, large) =
            (config("memory_bytes = 268435456").unwrap(), config("memory_bytes = 4294967296").unwrap());
        for (small, large) in taken(&small).unwrap().into_iter().zip(taken(&large).unwrap()) {
            assert!(small.2 <= large.2, "{small:?} {large:?}");
        }
        for config in [small, large] {
            let parts: u64 = taken(&config).unwrap().iter().map(|(_, _, bytes)| bytes).sum();
            assert!(parts <= config.memory_bytes * 3 / 4, "{parts} of {}", config.memory_bytes);
        }
    }

    #[test]
    fn a_key_that_is_set_goes_before_its_share_and_must_fit() {
        let given = config("memory_bytes = 536870912\n[index]\nwriter_memory_bytes = 20000000").unwrap();
        assert_eq!(given.index.writer_memory_bytes, 20_000_000);
        let error = config("[index]\nwriter_memory_bytes = 2000000000").unwrap_err();
        assert!(error.to_string().contains("together"), "{error}");
        let error = config("memory_bytes = 1000").unwrap_err();
        assert!(error.to_string().contains("at least 268435456"), "{error}");
    }

    #[test]
    fn the_table_names_every_part_with_its_key() {
        let table = table_of(&Config::of(&Table::new()).unwrap()).unwrap();
        for part in PARTS {
            assert!(table.contains(part.key) && table.contains(part.holds), "{table}");
        }
        assert!(table.lines().all(|line| line.starts_with('#')), "it may stand in a TOML file");
    }
}
