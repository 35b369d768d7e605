//! `tessera config`: checks the configuration, shows all of it with its defaults, or says what a key means.

use std::io::Write;

use anyhow::bail;
use clap::Subcommand;

use crate::config::Config;
use crate::memory;

/// Every key with its default and what it means, as a file to begin with.
const DOCUMENTED: &str = include_str!("../config.example.toml");

/// What to do with the configuration.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Reads the file and the environment and says what is wrong, and which part may take how much memory.
    Check,
    /// Prints the effective configuration as TOML, with the memory of each part. It holds no secrets.
    Show,
    /// Prints every key with its default, its unit and what it means, as TOML; of one section, or of one key, where that is named.
    Docs {
        /// A section or a key, as `http.rate` or `query.depth`.
        #[arg(value_name = "KEY")]
        key: Option<String>,
    },
}

/// Runs it. The configuration was read and checked before.
pub(crate) fn run(config: &Config, command: &Command) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Check => {
            config.auth(config.secrets()?).map(drop).or_else(|error| {
                // A laptop needs no identities: `serve --dev` brings its own.
                writeln!(out, "note: {error:#}").map_err(anyhow::Error::from)
            })?;
            for endpoint in config.endpoints_without_key() {
                writeln!(out, "note: the endpoint {} is left out: {} is not set", endpoint.name, endpoint.key_env)?;
            }
            writeln!(out, "the configuration is good\n\n{}", memory::table_of(config)?.replace("# ", ""))?;
        }
        Command::Show => write!(out, "{}\n{}", memory::table_of(config)?, toml::to_string(config)?)?,
        Command::Docs { key } => docs(&mut out, key.as_deref())?,
    }
    Ok(())
}

/// Prints what keys mean: of all, of a section with those below it, or of one key. Reads no configuration.
pub(crate) fn docs(out: &mut impl Write, key: Option<&str>) -> anyhow::Result<()> {
    let Some(key) = key else { return Ok(write!(out, "{DOCUMENTED}")?) };
    let parts: Vec<Part> = parts().collect();
    let is_within = |part: &&Part| part.section == key || part.section.starts_with(&format!("{key}."));
    let of_section: Vec<&Part> = parts.iter().filter(is_within).collect();
    let of_key = parts.iter().find(|part| part.names(key));
    if of_section.is_empty() && of_key.is_none() {
        bail!("there is no section and no key `{key}`; `tessera config docs` prints all of them");
    }
    for part in of_section {
        writeln!(out, "{}", part.lines.join("\n"))?;
    }
    if let Some(Part { said, lines, .. }) = of_key {
        let key = lines.last().into_iter();
        writeln!(out, "{}", said.iter().chain(key).copied().collect::<Vec<_>>().join("\n"))?;
    }
    Ok(())
}

/// A key or the head of a section, with the lines that say what it means.
struct Part {
    /// Where it is; empty at the top.
    section: String,
    /// The key; none for the head of a section.
    key: Option<String>,
    /// What is said of it.
    said: Vec<&'static str>,
    /// All of it that belongs to no other part.
    lines: Vec<&'static str>,
}

impl Part {
    fn names(&self, path: &str) -> bool {
        let Some(key) = &self.key else { return false };
        if self.section.is_empty() { path == key } else { path == format!("{}.{key}", self.section) }
    }
}

/// The parts of the documented file, in order.
fn parts() -> impl Iterator<Item = Part> {
    let (mut section, mut lines, mut said) = (String::new(), Vec::new(), Vec::new());
    DOCUMENTED.lines().filter_map(move |line| {
        if line.is_empty() {
            lines.clear();
            return None;
        }
        lines.push(line);
        // A key whose default is a share of something else stands behind a `#`.
        let setting = line.strip_prefix("# ").unwrap_or(line).split_once(" = ");
        let key = setting.map(|(key, _)| key).filter(|key| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            head.trim_matches(['[', ']']).clone_into(&mut section);
        } else if key.is_none() {
            return None;
        }
        // What is said of a key is said of those right below it, too.
        let lines = std::mem::take(&mut lines);
        if lines.len() > 1 || key.is_none() {
            said = lines[..lines.len() - 1].to_vec();
        }
        Some(Part { section: section.clone(), key: key.map(str::to_owned), said: said.clone(), lines })
    })
}

#[cfg(test)]
mod tests {
    use toml::{Table, Value};

    use super::*;

    fn told(key: Option<&str>) -> String {
        let mut out = Vec::new();
        docs(&mut out, key).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// All keys of a table, as `http.rate.caller_burst`.
    fn keys(table: &Table, path: &str, all: &mut Vec<String>) {
        for (key, value) in table {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                Value::Table(inner) if !inner.is_empty() => keys(inner, &path, all),
                _ => all.push(path),
            }
        }
    }

    /// What follows from other keys, or is no key of the file.
    const SET_BY_THE_PROGRAM: [&str; 1] = ["indexer.data_dir"];

    #[test]
    fn every_key_is_documented() {
        let mut all = Vec::new();
        keys(&Table::try_from(Config::default()).unwrap(), "", &mut all);
        assert!(all.len() > 150, "{}", all.len());
        let reference = include_str!("../docs/configuration.md");
        let mut untold = Vec::new();
        for key in all.iter().filter(|key| !SET_BY_THE_PROGRAM.contains(&key.as_str())) {
            let part = parts().find(|part| part.names(key) || part.key.is_none() && part.section == *key);
            let is_told = part.is_some_and(|part| part.said.iter().any(|line| line.starts_with("# ")));
            let last = key.rsplit('.').next().unwrap();
            let is_referred_to =
                ["`{}`", ".{}`", "{}]]`"].iter().any(|form| reference.contains(&form.replace("{}", last)));
            if !is_told || !is_referred_to {
                untold.push((key, is_told, is_referred_to));
            }
        }
        assert!(untold.is_empty(), "not in config.example.toml, or not in docs/configuration.md: {untold:?}");
    }

    #[test]
    fn a_section_and_a_key_are_told_by_name() {
        assert_eq!(told(None), DOCUMENTED);
        let drain = told(Some("http.drain_ms"));
        assert!(drain.starts_with("# ") && drain.ends_with("drain_ms = 10000\n"), "{drain}");
        let rate = told(Some("http.rate"));
        assert!(
            rate.contains("[http.rate]\n") && rate.contains("caller_burst = 200\n") && !rate.contains("drain_ms"),
            "{rate}"
        );
        assert!(told(Some("http")).contains("[http.rate]") && told(Some("data_dir")).contains(".tessera"));
        assert!(told(Some("models.embed.query_cache_len")).contains("# query_cache_len = "), "a share of the memory");
        let unknown = docs(&mut Vec::new(), Some("http.nothing")).unwrap_err();
        assert!(unknown.to_string().contains("`http.nothing`"));
    }
}
