//! Removing old snapshots without harm to one that is being taken meanwhile, here or elsewhere.
//!
//! A manifest first leaves the list and is kept as a retired one for [`GRACE`]. An object goes when neither a listed nor a
//! retired manifest names it and it is as old as that. Why this is safe: a snapshot counts only on objects of a manifest that
//! was listed when it began, or on objects younger than [`SAVE_LONGEST`]; it ends within [`SAVE_LONGEST`]; until then the
//! manifest it counts on is listed or freshly retired. An object is never written again under its name, so what is removed
//! cannot be something just sent.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

#[cfg(doc)]
use super::SAVE_LONGEST;
use super::{Archive, ArchiveError, GRACE, Manifest};

/// What was retired and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Snapshots retired.
    pub retired: Vec<String>,
    /// Objects removed.
    pub removed_objects: usize,
    /// Their bytes.
    pub removed_bytes: u64,
}

pub(super) async fn prune(archive: &Archive, keep: usize, now: Timestamp) -> Result<PruneReport, ArchiveError> {
    let is_old = |object: &ObjectMeta| now.as_second() - object.last_modified.timestamp() >= GRACE.as_secs() as i64;
    let mut report = PruneReport::default();
    let mut ids = archive.ids().await?;
    let kept = ids.split_off(ids.len().saturating_sub(keep));
    for id in ids {
        retire(archive, &id).await?;
        report.retired.push(id);
    }
    // In this order: a manifest that another process retires meanwhile is found in one place or the other.
    let mut named = HashSet::new();
    for id in &kept {
        if let Some(manifest) = unless_gone(archive.manifest(&archive.live(id)).await)? {
            named.extend(manifest.files.into_iter().map(|file| file.object));
        }
    }
    let mut expired = Vec::new();
    for object in list(archive, "retired").await? {
        if is_old(&object) {
            expired.push(object.location);
        } else if let Some(manifest) = unless_gone(archive.manifest(&object.location).await)? {
            named.extend(manifest.files.into_iter().map(|file| file.object));
        }
    }
    for location in &expired {
        remove(archive, location).await?;
    }
    let mut objects = list(archive, "objects").await?;
    objects.retain(|object| is_old(object) && object.location.filename().is_some_and(|name| !named.contains(name)));
    report.removed_objects = objects.len();
    report.removed_bytes = objects.iter().map(|object| object.size).sum();
    let removals = stream::iter(&objects).map(|object| remove(archive, &object.location));
    removals.buffer_unordered(archive.limits.transfers).try_collect::<()>().await?;
    Ok(report)
}

/// Moves a manifest out of the list; the copy is there before the original goes.
async fn retire(archive: &Archive, id: &str) -> Result<(), ArchiveError> {
    let (from, to) = (archive.live(id), archive.retired(id));
    let bytes = async { archive.store.get(&from).await?.bytes().await };
    let bytes = match bytes.await {
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        read => read.map_err(|source| ArchiveError::store("read", from.as_ref(), source))?,
    };
    let written = archive.store.put(&to, bytes.into()).await;
    written.map_err(|source| ArchiveError::store("write", to.as_ref(), source))?;
    remove(archive, &from).await
}

/// What another process retired or removed since it was listed needs no reading.
fn unless_gone(read: Result<Manifest, ArchiveError>) -> Result<Option<Manifest>, ArchiveError> {
    match read {
        Ok(manifest) => Ok(Some(manifest)),
        Err(ArchiveError::Store { cause: object_store::Error::NotFound { .. }, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn list(archive: &Archive, folder: &str) -> Result<Vec<ObjectMeta>, ArchiveError> {
    let folder = archive.root.clone().join(folder);
    archive.store.list(Some(&folder)).try_collect().await.map_err(|source| archive.lost(source))
}

async fn remove(archive: &Archive, location: &Path) -> Result<(), ArchiveError> {
    match archive.store.delete(location).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(ArchiveError::store("remove", location.as_ref(), source)),
    }
}
