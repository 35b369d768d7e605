//! The sample workspace, imported through the engine.

use std::path::Path;

use indexer::engine::{Engine, ImportTarget};
use indexer::import::report::Report;
use indexer::import::{Options, Source, run};
use schemas::ids::WorkspaceId;

use crate::site::{Site, settle};

fn import(engine: &Engine, workspace: &WorkspaceId) -> Report {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/northwind-observatory");
    let options = Options::new(workspace.clone(), jiff::Timestamp::UNIX_EPOCH);
    let mut target = ImportTarget::new(engine.clone(), workspace.clone());
    let report = run(&Source::Markdown(samples), &options, &mut target, &mut |_| {}).unwrap();
    assert_eq!(target.rejected(), 0);
    settle(engine);
    report
}

#[test]
fn importing_the_same_folder_again_writes_and_embeds_nothing() {
    let site = Site::new();
    let workspace = WorkspaceId::new("northwind").unwrap();
    let engine = site.open();
    let report = import(&engine, &workspace);
    assert!(report.pages_changed > 20 && report.events > 300, "{report:?}");
    let stats = engine.workspace_status(&workspace).unwrap().stats;
    assert_eq!(stats.pages, engine.pages(&workspace).len() as u64);
    assert!(stats.passages > stats.pages && stats.vectors == stats.embeddable, "{stats:?}");
    let digest = engine.content_digest(&workspace).unwrap();

    assert!(engine.close());
    drop(engine);
    let engine = site.open();
    let again = import(&engine, &workspace);
    assert_eq!((again.pages_changed, again.events), (0, 0));
    let status = engine.status();
    assert_eq!((status.embedded_passages_total, status.passages_written_total), (0, 0));
    assert_eq!(engine.content_digest(&workspace).unwrap(), digest);
}
