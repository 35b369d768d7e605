//! Snapshots of a shard, kept in a folder or in object storage.
//!
//! ```text
//! <destination>/
//!   objects/1f/1f…e2-19ab…    the bytes of one file: its BLAKE3, then when it was sent
//!   snapshots/<id>.json       a manifest: which files made up the index at one commit; written last
//!   retired/<id>.json         a manifest on its way out
//! ```
//!
//! A snapshot is taken beside a running writer: the files of one commit are hard-linked aside under the lock that garbage
//! collection takes, and sent from there. A file whose content is already there is not sent again. Only the generation in use
//! is part of a snapshot; dead letters are not. Two shards must not share a destination.
//!
//! Invariants: a manifest names only objects that were completely stored before it; an object is never written twice, and is
//! removed only when no manifest named it for [`GRACE`]; an index is replaced by a restored one in one step, after every byte
//! of it was compared with its hash.
//!
//! The functions block, on a runtime of their own: they must not be called from async code.

mod error;
mod manifest;
mod prune;
mod restore;
mod save;
mod stage;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::runtime::Runtime;

pub use error::ArchiveError;
pub use manifest::{ArchivedFile, Manifest};
pub use prune::PruneReport;
pub use restore::RestoreReport;
pub use save::SaveReport;
pub use stage::clear_leftovers;
pub use verify::{Damage, VerifyReport};

/// How long after its last manifest was retired an object is kept, and how old an object that no manifest names has to be
/// before it is removed. Twice [`SAVE_LONGEST`], so that clocks may differ by hours.
pub const GRACE: Duration = Duration::from_hours(24);
/// The longest that taking a snapshot may last: what it counts on is not removed meanwhile.
pub const SAVE_LONGEST: Duration = Duration::from_hours(12);

/// Requests that fail are repeated for this long.
const RETRY_LONGEST: Duration = Duration::from_mins(1);

/// What transfers may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files sent or fetched side by side; 4.
    pub transfers: usize,
    /// Bytes of one part of a large file; 8 MiB, at least the 5 MiB that S3 asks for. At most two parts of each transfer are
    /// in memory: 64 MiB by default.
    pub part_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transfers: 4, part_bytes: 8 << 20 }
    }
}

/// How far an operation has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes of files dealt with.
    pub done_bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
}

/// A place where snapshots are kept.
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    /// Below which everything lies.
    root: Path,
    /// As it was named, for messages.
    destination: String,
    limits: Limits,
    runtime: Runtime,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens a destination: a folder, as a path or `file:///path`, or `s3://bucket/prefix`.
    ///
    /// `options` say how S3 is reached, under the names that AWS gives its environment variables (`AWS_ENDPOINT_URL`,
    /// `AWS_ACCESS_KEY_ID`, …); others are passed over. Nothing is asked of a server yet.
    pub fn open(destination: &str, options: &[(String, String)], limits: Limits) -> Result<Self, ArchiveError> {
        let (store, root): (Arc<dyn ObjectStore>, Path) = if let Some(address) = destination.strip_prefix("s3://") {
            let prefix = address.split_once('/').map_or("", |(_, prefix)| prefix);
            (Arc::new(s3(destination, options)?), Path::from(prefix))
        } else {
            let path = folder_of(destination).ok_or_else(|| ArchiveError::Destination(destination.to_owned()))?;
            let folder = LocalFileSystem::new_with_prefix(path);
            let folder = folder.map_err(|source| ArchiveError::store("open", destination, source))?;
            (Arc::new(folder.with_fsync(true)), Path::default())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ArchiveError::Runtime)?;
        let limits = Limits { transfers: limits.transfers.max(1), part_bytes: limits.part_bytes.max(5 << 20) };
        Ok(Self { store, root, destination: destination.to_owned(), limits, runtime })
    }

    /// As [`Self::open`]; a folder that is not there is made.
    pub fn create(destination: &str, options: &[(String, String)], limits: Limits) -> Result<Self, ArchiveError> {
        if let Some(path) = folder_of(destination) {
            std::fs::create_dir_all(path).map_err(|source| ArchiveError::file("make", path, source))?;
        }
        Self::open(destination, options, limits)
    }

    /// Takes a snapshot of the generation in use of the index in the folder `shard`.
    ///
    /// Reads everything that the newest snapshot does not already hold. It relies on the names of segment files: the engine
    /// draws a random id for each segment and writes its files once, so a file of the same name and size as in the newest
    /// snapshot is taken to be the same, unread. Marks of deleted documents and small files are always read and compared by
    /// their hash. A file that does not fit its own checksum is refused. `now` becomes the time of the snapshot, `release` is
    /// noted in it.
    pub fn save(
        &self,
        shard: &FilePath,
        now: Timestamp,
        release: &str,
        progress: &dyn Fn(Progress),
    ) -> Result<SaveReport, ArchiveError> {
        self.runtime.block_on(save::save(self, shard, now, release, progress))
    }

    /// The ids of the snapshots, oldest first.
    pub fn list(&self) -> Result<Vec<String>, ArchiveError> {
        self.runtime.block_on(self.ids())
    }

    /// The manifest of a snapshot, by its id, the beginning of it that no other shares, or `latest`.
    pub fn find(&self, wanted: &str) -> Result<(String, Manifest), ArchiveError> {
        self.runtime.block_on(async {
            let ids = self.ids().await?;
            let mut fitting = ids.iter().filter(|id| id.starts_with(wanted));
            let id = match (wanted, fitting.next(), fitting.next()) {
                ("latest", ..) => ids.last(),
                (_, Some(_), Some(_)) => return Err(ArchiveError::Ambiguous(wanted.to_owned())),
                (_, only, _) => only,
            };
            let absent =
                || ArchiveError::NoSnapshot { wanted: wanted.to_owned(), destination: self.destination.clone() };
            let id = id.ok_or_else(absent)?.clone();
            let manifest = self.manifest(&self.live(&id)).await?;
            Ok((id, manifest))
        })
    }

    /// Reads every object of the snapshots with these ids, each once, and compares it with its hash. Damage is reported, not
    /// an error.
    pub fn verify(&self, ids: &[String], progress: &dyn Fn(Progress)) -> Result<VerifyReport, ArchiveError> {
        self.runtime.block_on(verify::verify(self, ids, progress))
    }

    /// Fetches a snapshot and puts it in the place of the index in the folder `shard`, which is made if need be.
    ///
    /// An index that is there is replaced only when `replace` says so, and not while a process writes to it. A crash at any
    /// moment leaves the former index or the restored one. Needs room for both.
    pub fn restore(
        &self,
        id: &str,
        manifest: &Manifest,
        shard: &FilePath,
        replace: bool,
        progress: &dyn Fn(Progress),
    ) -> Result<RestoreReport, ArchiveError> {
        self.runtime.block_on(restore::restore(self, id, manifest, shard, replace, progress))
    }

    /// Retires all snapshots but the newest `keep`, at least one, and removes what has not been named since [`GRACE`].
    ///
    /// Manifests go before objects. What is retired now is kept until a later call, so a snapshot that is being taken
    /// elsewhere, and counts on it, comes to no harm.
    pub fn prune(&self, keep: usize, now: Timestamp) -> Result<PruneReport, ArchiveError> {
        self.runtime.block_on(prune::prune(self, keep.max(1), now))
    }

    async fn ids(&self) -> Result<Vec<String>, ArchiveError> {
        let folder = self.root.clone().join("snapshots");
        let listed: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(|source| self.lost(source))?;
        let names = listed.iter().filter_map(|object| object.location.filename()?.strip_suffix(".json"));
        let mut ids: Vec<String> = names.map(str::to_owned).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    async fn manifest(&self, location: &Path) -> Result<Manifest, ArchiveError> {
        let failed = |source| ArchiveError::store("read", location.as_ref(), source);
        let got = self.store.get(location).await.map_err(failed)?;
        let bytes = got.bytes().await.map_err(failed)?;
        Manifest::decode(location.as_ref(), &bytes)
    }

    fn live(&self, id: &str) -> Path {
        self.root.clone().join("snapshots").join(format!("{id}.json"))
    }

    fn retired(&self, id: &str) -> Path {
        self.root.clone().join("retired").join(format!("{id}.json"))
    }

    fn object(&self, name: &str) -> Path {
        self.root.clone().join("objects").join(&name[..2]).join(name)
    }

    fn lost(&self, source: object_store::Error) -> ArchiveError {
        ArchiveError::store("list", &self.destination, source)
    }
}

/// The folder that a destination names, if it names one.
fn folder_of(destination: &str) -> Option<&FilePath> {
    let path = destination.strip_prefix("file://").unwrap_or(destination);
    (!path.is_empty() && !path.contains("://")).then(|| FilePath::new(path))
}

fn s3(destination: &str, options: &[(String, String)]) -> Result<impl ObjectStore, ArchiveError> {
    let retry = RetryConfig { retry_timeout: RETRY_LONGEST, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new().with_url(destination).with_retry(retry);
    for (name, value) in options {
        let Ok(key) = name.to_lowercase().parse() else { continue };
        // Whoever names an address without TLS wants it.
        if matches!(key, AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint) && value.starts_with("http://") {
            builder = builder.with_allow_http(true);
        }
        builder = builder.with_config(key, value);
    }
    builder.build().map_err(|source| ArchiveError::store("open", destination, source))
}
