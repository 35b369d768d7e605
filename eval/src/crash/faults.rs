//! Files that fail, and processes that die at a file operation: the shared object of `faults/faults.c`, built and set up.
//!
//! It is loaded into the process under test alone. What it can do and what it does not see is said in its source.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

const SOURCE: &str = include_str!("../../faults/faults.c");

/// The built shared object, and the files through which it is told what to do.
#[derive(Debug)]
pub struct Faults {
    dir: PathBuf,
}

/// A file operation at which a process is killed.
#[derive(Clone, Debug)]
pub struct KillPoint {
    /// Its number among those counted, from 1.
    pub operation: u64,
    /// Threads whose operations are counted, by the beginning of their name; empty for all.
    pub thread: &'static str,
}

impl Faults {
    /// Builds it into a folder, with the C compiler that linking needs anyway.
    pub fn build(dir: &Path) -> anyhow::Result<Self> {
        let source = dir.join("faults.c");
        std::fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(dir.join("faults.so")).arg(&source).arg("-ldl");
        let status = compiler.status().context("cannot run the C compiler `cc`")?;
        ensure!(status.success(), "the C compiler failed on faults.c: {status}");
        Ok(Self { dir: dir.to_owned() })
    }

    /// Loads it into a program that works in `concerned`.
    pub fn load_into(&self, program: &mut Command, concerned: &Path, kill_point: Option<&KillPoint>) {
        program.env("LD_PRELOAD", self.dir.join("faults.so"));
        program.env("FAULTS_DIR", concerned).env("FAULTS_CONTROL", self.control()).env("FAULTS_TOLD", self.told());
        if let Some(KillPoint { operation, thread }) = kill_point {
            program.env("FAULTS_KILL_AT", operation.to_string()).env("FAULTS_THREAD", thread);
        }
    }

    /// Lets operations fail from now on: `error` is `EIO` or `ENOSPC`, `operations` as in the source, separated by commas.
    pub fn begin(&self, error: &str, operations: &str) -> anyhow::Result<()> {
        // Renamed into place: it is never read half written.
        let next = self.dir.join("control.next");
        std::fs::write(&next, format!("{error} {operations}"))?;
        Ok(std::fs::rename(next, self.control())?)
    }

    /// Lets all succeed again.
    pub fn end(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.control())?)
    }

    /// Operations at which processes were killed since this was last asked: operation, thread and path.
    pub fn take_told(&self) -> Vec<[String; 3]> {
        let text = std::fs::read_to_string(self.told()).unwrap_or_default();
        // It is there only once something was told.
        let _ = std::fs::remove_file(self.told());
        let parts = |line: &str| -> Option<[String; 3]> {
            let parts: Vec<_> = line.splitn(3, ' ').map(str::to_owned).collect();
            parts.try_into().ok()
        };
        text.lines().filter_map(parts).collect()
    }

    fn control(&self) -> PathBuf {
        self.dir.join("control")
    }

    fn told(&self) -> PathBuf {
        self.dir.join("told")
    }
}
