//! What the operating system says of a process and its files, as far as `/proc` and the usual tools tell.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// What it allocated and touched: this is what the process itself takes.
    pub(crate) anon: u64,
    /// Pages of mapped files that are in memory: the kernel takes them back when others need the room.
    pub(crate) file: u64,
    /// The most of both together since the start.
    pub(crate) peak: u64,
}

impl Memory {
    /// That of this process.
    pub(crate) fn now() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// That of a process.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).context("it is not there")?;
        let kib = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
        };
        Ok(Self { anon: kib("RssAnon"), file: kib("RssFile") + kib("RssShmem"), peak: kib("VmHWM") })
    }

    pub(crate) fn total(self) -> u64 {
        self.anon + self.file
    }
}

/// Processor time of this process so far, in seconds, all threads together. Unlike time it does not grow when others want
/// the cores, too.
pub(crate) fn processor_seconds() -> Result<f64> {
    /// Linux counts in hundredths of a second, on every machine.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").context("/proc is not there")?;
    // The name of the program stands in parentheses and may hold anything; of what follows, user and system time are the
    // twelfth and the thirteenth.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_ascii_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}

/// Processes that wanted a core, over the last minute: what else the machine was doing.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Asks the kernel to forget the cached contents of all files of a folder, as after a start of the machine; false when it
/// cannot be asked.
pub(crate) fn forget_cached(dir: &Path) -> Result<bool> {
    let mut forgotten = true;
    for_each_file(dir, &mut |path| {
        // An empty copy that asks for the cache of its source to be dropped: what `dd` offers for just this.
        let file = format!("if={}", path.display());
        let status = Command::new("dd").args([file.as_str(), "iflag=nocache", "count=0", "status=none"]).status();
        forgotten &= status.is_ok_and(|status| status.success());
        Ok(())
    })?;
    Ok(forgotten)
}

/// Bytes of all files of a folder.
pub(crate) fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for_each_file(dir, &mut |path| {
        // Merges may take a file away meanwhile.
        bytes += fs::metadata(path).map_or(0, |file| file.len());
        Ok(())
    })?;
    Ok(bytes)
}

/// Makes a folder with the same files, without copying what is in them: files of an index are never written again.
pub(crate) fn link_tree(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    for_each_file(from, &mut |path| {
        // A lock is of a file, whatever its name: linked, it would be held in both folders.
        if path.extension().is_some_and(|extension| extension == "lock") {
            return Ok(());
        }
        let target = to.join(path.strip_prefix(from)?);
        fs::create_dir_all(target.parent().context("a file is in a folder")?)?;
        fs::hard_link(path, &target).with_context(|| format!("cannot link {}", target.display()))
    })
}

/// Visits the files of a folder and of those in it.
pub(crate) fn for_each_file(dir: &Path, each: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            for_each_file(&path, each)?;
        } else {
            each(&path)?;
        }
    }
    Ok(())
}
