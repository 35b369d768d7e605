//! What an index offers to be watched: its segments, documents and bytes on disk, and what merging them took.
//!
//! Sums alone, over all workspaces together: no id, no text. Sizes are looked up when they are asked for, so nothing is
//! counted while the index is written or searched, but for the files of merges.

use std::time::Duration;

use prometheus::{
    Counter, IntCounter, IntGauge, Registry, TextEncoder, register_counter_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};

use crate::open::Index;

/// What the last commit taken in comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Segments.
    pub segments: u64,
    /// Documents that searches can find: passages, and the records of pages, groups and members.
    pub documents: u64,
    /// Documents that are deleted and still in the files.
    pub deleted_documents: u64,
    /// Bytes of all files of the generation in use.
    pub bytes: u64,
    /// Merges of segments that began since this process opened the generation in use.
    pub merges: u64,
    /// What they took, from the first file of each to the last one that it has finished.
    pub merging: Duration,
}

impl Index {
    /// What it comes to. Cost: a look at each file of the generation in use.
    pub fn sizes(&self) -> Sizes {
        let snapshot = self.snapshot();
        let mut sizes = Sizes::default();
        for segment in snapshot.engine.segment_readers() {
            sizes.segments += 1;
            sizes.documents += u64::from(segment.num_docs());
            sizes.deleted_documents += u64::from(segment.num_deleted_docs());
        }
        // A file that a merge takes away meanwhile has no size.
        let files = std::fs::read_dir(&self.generation().dir).into_iter().flatten().flatten();
        sizes.bytes = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        (sizes.merges, sizes.merging) = self.generation().merges().taken();
        sizes
    }
}

/// The sizes of all indexes of a process as Prometheus reads them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    segments: IntGauge,
    documents: IntGauge,
    deleted_documents: IntGauge,
    bytes: IntGauge,
    merges: IntCounter,
    merging: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::declare().expect("the names are valid, and each is there once")
    }
}

impl Metrics {
    fn declare() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        Ok(Self {
            segments: gauge("tessera_index_segments", "Segments of the index.")?,
            documents: gauge("tessera_index_documents", "Passages and records that are in the index.")?,
            deleted_documents: gauge(
                "tessera_index_deleted_documents",
                "Documents that are deleted and still in the files, until their segments are merged.",
            )?,
            bytes: gauge("tessera_index_bytes", "Bytes of the files of the index.")?,
            merges: register_int_counter_with_registry!(
                "tessera_index_merges_total",
                "Merges of segments that began, since the generation in use was opened.",
                registry
            )?,
            merging: register_counter_with_registry!(
                "tessera_index_merge_seconds_total",
                "Time that merges of segments took, since the generation in use was opened.",
                registry
            )?,
            registry,
        })
    }

    /// The sizes of these indexes together, in the text format of Prometheus.
    pub fn text(&self, indexes: &[Index]) -> String {
        let mut all = Sizes::default();
        for index in indexes {
            let sizes = index.sizes();
            all.segments += sizes.segments;
            all.documents += sizes.documents;
            all.deleted_documents += sizes.deleted_documents;
            all.bytes += sizes.bytes;
            all.merges += sizes.merges;
            all.merging += sizes.merging;
        }
        self.segments.set(all.segments as i64);
        self.documents.set(all.documents as i64);
        self.deleted_documents.set(all.deleted_documents as i64);
        self.bytes.set(all.bytes as i64);
        // Kept elsewhere; another generation begins anew, which is how counters may fall.
        self.merges.reset();
        self.merges.inc_by(all.merges);
        self.merging.reset();
        self.merging.inc_by(all.merging.as_secs_f64());
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("what was declared has a name and a value")
    }
}
