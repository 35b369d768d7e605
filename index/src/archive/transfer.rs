//! Moving the bytes of one file to an object and back.
//!
//! It decides nothing. Invariant: of each transfer at most two parts are in memory.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::Path as FilePath;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStoreExt, WriteMultipart};

use super::{Archive, ArchiveError, ArchivedFile, Progress};

/// Most parts that S3 puts together.
const PARTS_MAX: u64 = 10_000;
/// Bytes read at once from a file.
const READ_BYTES: usize = 1 << 20;

/// Counts bytes and tells of them.
pub(super) struct Meter<'a> {
    done_bytes: Cell<u64>,
    total_bytes: u64,
    report: &'a dyn Fn(Progress),
}

impl<'a> Meter<'a> {
    pub(super) fn new(total_bytes: u64, report: &'a dyn Fn(Progress)) -> Self {
        Self { done_bytes: Cell::new(0), total_bytes, report }
    }

    pub(super) fn add(&self, bytes: u64) {
        self.done_bytes.set(self.done_bytes.get() + bytes);
        (self.report)(Progress { done_bytes: self.done_bytes.get(), total_bytes: self.total_bytes });
    }
}

/// The hash of a file.
pub(super) fn hash_file(path: &FilePath) -> Result<blake3::Hash, ArchiveError> {
    let failed = |source| ArchiveError::file("read", path, source);
    let mut hasher = blake3::Hasher::new();
    read_pieces(File::open(path).map_err(failed)?, |piece| {
        hasher.update(piece);
        Ok(())
    })
    .map_err(failed)?;
    Ok(hasher.finalize())
}

fn read_pieces(mut file: File, mut take: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => take(&buffer[..count])?,
        }
    }
}

impl Archive {
    /// Sends a file of `size` bytes. When it returns without an error the object is whole; otherwise there is none.
    pub(super) async fn send(
        &self,
        path: &FilePath,
        size: u64,
        object: &Path,
        meter: &Meter<'_>,
    ) -> Result<(), ArchiveError> {
        let unread = |source| ArchiveError::file("read", path, source);
        let unsent = |source| ArchiveError::store("write", object.as_ref(), source);
        let part_bytes = self.limits.part_bytes.max(size.div_ceil(PARTS_MAX) as usize);
        let mut file = File::open(path).map_err(unread)?;
        let mut read_part = || -> Result<Bytes, ArchiveError> {
            let mut part = Vec::new();
            (&mut file).take(part_bytes as u64).read_to_end(&mut part).map_err(unread)?;
            Ok(part.into())
        };
        if size <= part_bytes as u64 {
            let part = read_part()?;
            self.store.put(object, part.into()).await.map_err(unsent)?;
            meter.add(size);
            return Ok(());
        }
        let upload = self.store.put_multipart(object).await.map_err(unsent)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, part_bytes);
        loop {
            let part = match read_part() {
                Ok(part) if part.is_empty() => break,
                Ok(part) => part,
                Err(error) => {
                    abandon(upload).await;
                    return Err(error);
                }
            };
            let part_size = part.len() as u64;
            // One part travels while the next is read.
            if let Err(source) = upload.wait_for_capacity(1).await {
                abandon(upload).await;
                return Err(unsent(source));
            }
            upload.put(part);
            meter.add(part_size);
        }
        upload.finish().await.map_err(unsent)?;
        Ok(())
    }

    /// Fetches an object in pieces and compares it with its hash once it is over.
    pub(super) async fn fetch(
        &self,
        file: &ArchivedFile,
        mut take: impl FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let location = self.object(&file.object);
        let failed = |source| match source {
            object_store::Error::NotFound { .. } => {
                ArchiveError::ObjectMissing { object: location.to_string(), file: file.name.clone() }
            }
            source => ArchiveError::store("read", location.as_ref(), source),
        };
        let mut hasher = blake3::Hasher::new();
        let mut take = |piece: &[u8]| {
            hasher.update(piece);
            take(piece)
        };
        let got = self.store.get(&location).await.map_err(failed)?;
        // Served from a folder, the file is at hand: reading it here saves a turn of the runtime for every few kilobytes.
        if let GetResultPayload::File(mut source, path) = got.payload {
            let mut buffer = vec![0; READ_BYTES];
            loop {
                let count = source.read(&mut buffer).map_err(|source| ArchiveError::file("read", &path, source))?;
                if count == 0 {
                    break;
                }
                take(&buffer[..count])?;
            }
        } else {
            let mut pieces = got.into_stream();
            while let Some(piece) = pieces.try_next().await.map_err(failed)? {
                take(&piece)?;
            }
        }
        if hasher.finalize().to_hex().as_str() != file.blake3 {
            return Err(ArchiveError::ObjectDamaged { object: location.to_string(), file: file.name.clone() });
        }
        Ok(())
    }
}

/// Gives up an upload. Parts that cannot be removed either are for the bucket's lifecycle rule.
async fn abandon(upload: WriteMultipart) {
    let _ = upload.abort().await;
}
