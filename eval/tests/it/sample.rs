//! The small gate: search over the project's own sample is no worse than the baseline that is checked in.
//!
//! By words it runs on every machine; by meaning too where the model is there. After a change that was meant to change
//! ranking: `tessera eval gate --only northwind --record`.

use std::path::Path;

use eval::baselines;
use eval::configuration::Configuration;
use eval::gate::{Outcome, Rule, check};
use eval::workspace::Options;
use models::embed::Embedder;

#[test]
fn the_sample_is_searched_no_worse_than_before() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let defaults = models::embed::Config::default();
    let (library, model_dir) = (root.join(&defaults.library), root.join(&defaults.model_dir));
    let embedder = if library.is_file() && model_dir.is_dir() {
        Some(Embedder::start(models::embed::Config { library, model_dir, ..defaults }).unwrap())
    } else {
        eprintln!("SKIPPED: the gate by meaning; {} is not there, fetch it with `make models`", library.display());
        None
    };
    // Kept from run to run: embedding the sample takes most of the time.
    let options = Options {
        cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample-gate"),
        embedder: None,
        indexer: indexer::config::Config::default(),
        without_titles: false,
        sections: false,
    };
    let mut checked = 0;
    for (path, baseline) in baselines::find(&root.join("eval/baselines")).unwrap() {
        if !baseline.collection.starts_with("northwind-observatory/") {
            continue;
        }
        let configuration = Configuration::named(&baseline.configuration, &query::config::Config::default()).unwrap();
        if configuration.needs_meaning() && embedder.is_none() {
            continue;
        }
        let (dataset, split) = baselines::collection_of(&baseline, &[root.join("samples")]).unwrap().unwrap();
        let now =
            baselines::measure(&dataset, &split, &configuration, embedder.as_ref(), &options, &mut |_| {}).unwrap();
        for verdict in check(&baseline, &now, &Rule::default()).unwrap() {
            let file = path.display();
            println!("{file}: {} {:.4} -> {:.4}: {:?}", verdict.metric, verdict.baseline, verdict.now, verdict.outcome);
            assert_ne!(verdict.outcome, Outcome::Dropped, "{file}: {verdict:?}");
        }
        checked += 1;
    }
    assert!(checked > 0, "there is no baseline of the sample");
}
