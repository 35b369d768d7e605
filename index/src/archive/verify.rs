//! Reading snapshots through: is every object there, and is it what was written?
//!
//! It repairs nothing. Each object is read once, however many snapshots name it.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::transfer::Meter;
use super::{Archive, ArchiveError, ArchivedFile, Progress};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Snapshots asked about.
    pub snapshots: usize,
    /// Objects read.
    pub objects: usize,
    /// Their bytes, as the manifests say.
    pub bytes: u64,
    /// What is not as it was written.
    pub damages: Vec<Damage>,
}

/// An object or manifest that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong and with which object.
    pub what: String,
    /// The snapshots that cannot be restored because of it.
    pub snapshots: Vec<String>,
}

pub(super) async fn verify(
    archive: &Archive,
    ids: &[String],
    progress: &dyn Fn(Progress),
) -> Result<VerifyReport, ArchiveError> {
    let mut report = VerifyReport { snapshots: ids.len(), ..VerifyReport::default() };
    let mut named: BTreeMap<String, (ArchivedFile, Vec<String>)> = BTreeMap::new();
    for id in ids {
        match archive.manifest(&archive.live(id)).await {
            Ok(manifest) => {
                for file in manifest.files {
                    let (_, snapshots) = named.entry(file.object.clone()).or_insert_with(|| (file, Vec::new()));
                    // One snapshot may hold the same content twice.
                    if snapshots.last() != Some(id) {
                        snapshots.push(id.clone());
                    }
                }
            }
            Err(error @ ArchiveError::ManifestDamaged(_)) => {
                report.damages.push(Damage { what: error.to_string(), snapshots: vec![id.clone()] });
            }
            Err(error) => return Err(error),
        }
    }
    report.objects = named.len();
    report.bytes = named.values().map(|(file, _)| file.size).sum();
    let meter = Meter::new(report.bytes, progress);
    let read = stream::iter(named.values()).map(|(file, snapshots)| {
        let meter = &meter;
        async move {
            let read = archive.fetch(file, |piece| {
                meter.add(piece.len() as u64);
                Ok(())
            });
            match read.await {
                Ok(()) => Ok(None),
                Err(error @ (ArchiveError::ObjectMissing { .. } | ArchiveError::ObjectDamaged { .. })) => {
                    Ok(Some(Damage { what: error.to_string(), snapshots: snapshots.clone() }))
                }
                Err(error) => Err(error),
            }
        }
    });
    let found: Vec<Option<Damage>> = read.buffer_unordered(archive.limits.transfers).try_collect().await?;
    report.damages.extend(found.into_iter().flatten());
    report.damages.sort_unstable_by(|a, b| a.what.cmp(&b.what));
    Ok(report)
}
