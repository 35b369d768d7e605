//! The latest evaluation, as a server shows it to operators: the means of an `evaluation.json`, read again when that changes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use eval::evaluation::{CollectionResult, Evaluation};
use eval::metrics::mean;
use query::http::evaluation::Evaluated;
use schemas::api::evaluation::{EvaluatedCollection, EvaluatedSystem, EvaluationSummary};

/// Largest file that is read, in bytes: it is held whole while it is, some times over.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What was read of which file: when it was changed and how long it was.
type Kept = Option<((SystemTime, u64), Option<EvaluationSummary>)>;

/// How the evaluation at a path is read; none where no path is named. A file that is not there yet may come.
pub(crate) fn reader(path: &Path) -> Option<Arc<Evaluated>> {
    if path.as_os_str().is_empty() {
        return None;
    }
    let (path, kept) = (path.to_owned(), Mutex::<Kept>::default());
    Some(Arc::new(move || read(&path, &mut kept.lock().unwrap_or_else(PoisonError::into_inner))))
}

fn read(path: &Path, kept: &mut Kept) -> Option<EvaluationSummary> {
    let metadata = std::fs::metadata(path).ok()?;
    let of = (metadata.modified().ok()?, metadata.len());
    if kept.as_ref().is_none_or(|(known, _)| *known != of) {
        let summary = summary(path, of.1);
        let summary = summary.inspect_err(|error| tracing::warn!(error = &**error, "the evaluation cannot be shown"));
        *kept = Some((of, summary.ok()));
    }
    kept.as_ref().and_then(|(_, summary)| summary.clone())
}

fn summary(path: &Path, bytes: u64) -> anyhow::Result<EvaluationSummary> {
    let file = path.display();
    ensure!(
        bytes <= FILE_BYTES_MAX,
        "{file} is larger than {FILE_BYTES_MAX} bytes: evaluate fewer collections at once"
    );
    let evaluation = Evaluation::read(path).with_context(|| format!("cannot read {file}"))?;
    Ok(EvaluationSummary {
        made_at: evaluation.made_at,
        leaks: evaluation.leaks() as u64,
        collections: evaluation.collections.iter().map(collection).collect(),
        release: evaluation.release,
        machine: evaluation.machine,
        model_id: evaluation.model_id,
        request_id: String::new(),
    })
}

fn collection(result: &CollectionResult) -> EvaluatedCollection {
    let system = |system: &eval::evaluation::SystemResult| EvaluatedSystem {
        name: system.configuration.name.clone(),
        means: system.scores.iter().map(|(metric, scores)| (metric.to_string(), mean(scores))).collect(),
        p99_ms: system.latency.map(|latency| latency.p99_ms),
    };
    EvaluatedCollection {
        name: result.id(),
        queries: result.queries.len() as u64,
        metrics: result.metrics.iter().map(ToString::to_string).collect(),
        systems: result.systems.iter().map(system).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(release: &str) -> String {
        let json = serde_json::json!({
            "made_at": "2026-03-01T00:00:00Z", "release": release, "machine": "a machine", "model_id": null, "server": null, "collections": [],
        });
        json.to_string()
    }

    #[test]
    fn a_file_is_read_again_when_it_changes_and_nothing_else_is_shown() {
        assert!(reader(Path::new("")).is_none());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evaluation.json");
        let read = reader(&path).unwrap();
        assert_eq!(read(), None, "it is not there yet");
        std::fs::write(&path, evaluation("1.0")).unwrap();
        assert_eq!(read().unwrap().release, "1.0");
        std::fs::write(&path, evaluation("1.0.1")).unwrap();
        assert_eq!(read().unwrap().release, "1.0.1");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read(), None, "what is no evaluation is not shown, nor the one before");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(read(), None);
    }
}
