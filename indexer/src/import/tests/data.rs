//! Imports of real workspaces. The data lies beside the repository, not in it; without it these tests say that they
//! were skipped.

use std::time::Instant;

use super::*;

fn beside(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    path.exists().then_some(path)
}

fn data(path: &str) -> Option<PathBuf> {
    beside(&format!("../shared/data/{path}"))
}

fn describe(name: &str, memory: &Memory, report: &Report, start: Instant) {
    eprintln!(
        "{name}: {} pages, {} events, {} warnings, largest batch {}, {:.1} s",
        report.pages_seen,
        report.events,
        report.warning_count(),
        memory.batches.iter().max().unwrap_or(&0),
        start.elapsed().as_secs_f64()
    );
    for warning in report.warnings.iter().take(8) {
        eprintln!("  {warning}");
    }
}

#[test]
fn the_sample_workspace_is_imported_without_a_warning() {
    let Some(path) = beside("samples/northwind-observatory") else { return };
    let mut memory = Memory::strict();
    let start = Instant::now();
    let report = memory.import(&Source::Markdown(path.clone()));
    describe("sample", &memory, &report, start);
    assert_eq!(report.warnings, []);
    assert_eq!(report.notes, Vec::<String>::new());
    assert_eq!(memory.import(&Source::Markdown(path)).events, 0);
}

#[test]
fn a_real_handbook_is_imported_whole_and_once() {
    let Some(path) = data("handbook-18f/pages.jsonl.gz") else { return };
    let mut memory = Memory::strict();
    let start = Instant::now();
    let report = memory.import(&Source::Pages(path.clone()));
    describe("handbook-18f", &memory, &report, start);
    assert!(report.pages_seen >= 249 && report.events > 5_000);
    assert_eq!(memory.import(&Source::Pages(path)).events, 0);
}

#[test]
fn a_replayed_history_ends_as_the_last_state_imported_at_once() {
    let (Some(base), Some(edits), Some(last)) = (
        data("handbook-sourcegraph/base-2023-01-01.jsonl.zst"),
        data("handbook-sourcegraph/edits-2023-2024.jsonl.zst"),
        data("handbook-sourcegraph/pages.jsonl.gz"),
    ) else {
        return;
    };
    let (mut replayed, mut direct) = (Memory::default(), Memory::default());
    let start = Instant::now();
    let report = replayed.import(&Source::History { base, edits });
    describe("history", &replayed, &report, start);
    direct.import(&Source::Pages(last.clone()));
    let (replayed_text, direct_text) = (replayed.text(), direct.text());
    assert!(replayed_text.keys().eq(direct_text.keys()));
    for (id, text) in &direct_text {
        // Titles that stand only beside the text are not part of the edits.
        let blocks = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert!(blocks(&replayed_text[id]) == blocks(text), "{id}");
    }
    let links = |memory: &Memory| -> Vec<String> {
        let pages = memory.pages.iter().filter(|(_, page)| page.exists());
        let blocks = pages.flat_map(|(id, page)| page.blocks_in_order(id));
        blocks.flat_map(|(_, content, _)| content.links().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    assert!(links(&replayed) == links(&direct), "links that an edit elsewhere made or broke are repaired");
    assert!(links(&direct).iter().filter(|link| link.starts_with("/p/")).count() > 2_000);
}

/// Large ones, run by hand: `cargo test --release -p indexer -- --ignored large_workspaces --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn large_workspaces_are_imported() {
    for name in [
        "wiki-kubernetes-community/pages.jsonl.gz",
        "handbook-sourcegraph/pages.jsonl.gz",
        "handbook-gitlab-ja/pages.jsonl.zst",
        "docs-win32/pages.jsonl.zst",
    ] {
        let Some(path) = data(name) else { continue };
        let mut memory = Memory::default();
        let start = Instant::now();
        let report = memory.import(&Source::Pages(path));
        describe(name, &memory, &report, start);
        assert!(report.pages_seen > 800);
    }
}
