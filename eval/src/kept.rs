//! Answers that were taken down before, so that a rerun asks nothing twice.
//!
//! They are kept under a hash of all that decides on them: the index, the configuration, the queries, who asks, and the bytes
//! of the program itself, because any change of the code may change an answer. Invariant: what is read is what this very
//! program would be answered; only the age of pages, of which recent ones rank a little higher, is that of the first run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use anyhow::{Context, ensure};

use crate::configuration::Configuration;
use crate::drive::Answers;
use crate::workspace::write_whole;

/// Most answers that are kept of one workspace; of more the oldest go.
const KEPT_MAX: usize = 64;
/// Largest file in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A place for the answers to one set of queries.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Place {
    /// The place below a workspace's folder for what these arguments decide.
    pub fn of(
        folder: &Path,
        fingerprint: &str,
        configuration: &Configuration,
        queries: &BTreeMap<String, String>,
        asker: &str,
        depth: u32,
    ) -> anyhow::Result<Self> {
        let asked = serde_json::to_vec(&(fingerprint, configuration, queries, asker, depth))
            .context("cannot put a configuration into JSON")?;
        let mut hasher = blake3::Hasher::new_derive_key("tessera 2026 evaluation answers");
        hasher.update(program()?.as_bytes()).update(&asked);
        Ok(Self(folder.join("answers").join(format!("{}.json", &hasher.finalize().to_hex()[..32]))))
    }

    /// What is there; `None` where there is nothing, or nothing that can be read.
    pub fn read(&self) -> Option<Answers> {
        let size = fs::metadata(&self.0).ok()?.len();
        if size > FILE_BYTES_MAX {
            return None;
        }
        serde_json::from_slice(&fs::read(&self.0).ok()?).ok()
    }

    /// Keeps answers.
    pub fn write(&self, answers: &Answers) -> anyhow::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new(""));
        let failed = || format!("cannot keep answers in {}", folder.display());
        fs::create_dir_all(folder).with_context(failed)?;
        let bytes = serde_json::to_vec(answers).context("cannot put answers into JSON")?;
        ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "the answers take more than {FILE_BYTES_MAX} bytes");
        write_whole(&self.0, &bytes)?;
        let mut files: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(folder).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            files.push((entry.metadata().and_then(|about| about.modified()).with_context(failed)?, entry.path()));
        }
        files.sort();
        let surplus = files.len().saturating_sub(KEPT_MAX);
        files.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path)).with_context(failed)
    }
}

/// Hashes the program that runs; once.
fn program() -> anyhow::Result<&'static str> {
    static HASH: OnceLock<String> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(hash);
    }
    let hash = || -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut fs::File::open(std::env::current_exe()?)?, &mut hasher)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    let hash = hash().context("cannot read this program")?;
    Ok(HASH.get_or_init(|| hash))
}
