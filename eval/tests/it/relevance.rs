//! Whole evaluations of a small collection: through the write path, the engine, the server, the personas, the report, the gate.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eval::baselines;
use eval::configuration::Configuration;
use eval::dataset::Dataset;
use eval::drive::{Answers, InProcess, Server, ask_all};
use eval::evaluate::{Found, Plan, Site, evaluate};
use eval::evaluation::Evaluation;
use eval::gate::{Outcome, Rule, check};
use eval::personas::{Judge, judge};
use eval::statistics::Effort;
use eval::workspace::{Built, Names, Options};
use models::embed::Embedder;
use query::http::auth::{Auth, AuthConfig, Secrets};
use query::http::ingest::{Ingest, IngestError, Kept, Refused, Submitted};
use query::http::{App, HttpConfig};
use schemas::api::operate::IngestStatus;
use schemas::event::Event;
use tokio_util::sync::CancellationToken;

const DOCUMENTS: usize = 120;
const TOPICS: [&str; 12] = [
    "harbour", "lantern", "meadow", "copper", "violet", "timber", "glacier", "orchard", "saddle", "beacon", "quarry",
    "ribbon",
];

/// A collection in the layout of BEIR: each query names a topic and a number that one document holds, and a title that would
/// be markup if it were not escaped.
fn collection(parent: &Path) -> PathBuf {
    let folder = parent.join("small");
    std::fs::create_dir_all(folder.join("qrels")).unwrap();
    let (mut corpus, mut queries, mut qrels) =
        (String::new(), String::new(), "query-id\tcorpus-id\tscore\n".to_owned());
    for at in 0..DOCUMENTS {
        let (topic, other) = (TOPICS[at % 12], TOPICS[(at * 7 + 3) % 12]);
        let title = format!("{topic} <img src=x onerror=alert(1)>");
        let text = format!("About the {topic}.\n\nItem number{at} lies beside the {other}.");
        let row = serde_json::json!({ "_id": format!("doc {at}"), "title": title, "text": text });
        writeln!(corpus, "{row}").unwrap();
        if at % 3 == 0 {
            let row = serde_json::json!({ "_id": format!("q{at}"), "text": format!("number{at} {topic}") });
            writeln!(queries, "{row}").unwrap();
            writeln!(qrels, "q{at}\tdoc {at}\t2").unwrap();
        }
    }
    std::fs::write(folder.join("corpus.jsonl"), corpus).unwrap();
    std::fs::write(folder.join("queries.jsonl"), queries).unwrap();
    std::fs::write(folder.join("qrels/test.tsv"), qrels).unwrap();
    folder
}

/// A collection and a place for what is kept.
struct Desk {
    dir: tempfile::TempDir,
    dataset: Dataset,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dataset = Dataset::find(&collection(dir.path())).unwrap().remove(0);
        Self { dir, dataset }
    }

    fn options(&self) -> Options {
        Options {
            cache: self.dir.path().join("cache"),
            embedder: Some(Embedder::fake(64)),
            indexer: indexer::config::Config {
                commit_interval_ms: 1,
                embed_interval_ms: 1,
                ..indexer::config::Config::default()
            },
            without_titles: false,
            sections: false,
        }
    }

    /// Opens the workspace; gives what was done for it, too.
    fn open(&self) -> (Built, BTreeSet<String>) {
        let mut steps = BTreeSet::new();
        let built = Built::open(&self.dataset, &self.options(), &mut |step| _ = steps.insert(step.what.to_owned()));
        (built.unwrap(), steps)
    }
}

fn named(name: &str) -> Configuration {
    Configuration::named(name, &query::config::Config::default()).unwrap()
}

fn plan(names: &[&str]) -> Plan {
    Plan {
        configurations: names.iter().map(|name| named(name)).collect(),
        metrics: ["nDCG@10", "R@100"].iter().map(|name| name.parse().unwrap()).collect(),
        depth: 50,
        queries_max: None,
        personas: false,
        latency: false,
        shown_max: 12,
        effort: Effort { permutations: 1_000, resamples: 200, ..Effort::default() },
    }
}

/// Evaluates; gives what was asked, too.
fn run(desk: &Desk, plan: &Plan, site: &mut Site<'_>) -> (Found, BTreeSet<String>) {
    let mut steps = BTreeSet::new();
    let found = evaluate(&desk.dataset, "test", plan, site, &mut |step| _ = steps.insert(step.what.to_owned()));
    (found.unwrap(), steps)
}

#[test]
fn what_was_built_and_answered_is_kept_and_what_was_cut_short_is_finished() {
    let desk = Desk::new();
    let (built, steps) = desk.open();
    assert!(steps.contains("importing"), "{steps:?}");
    // Each has one passage and a title, which is embedded by itself.
    assert_eq!((built.facts.documents, built.facts.vectors), (DOCUMENTS as u64, 2 * DOCUMENTS as u64));
    assert!(built.facts.build_seconds.is_some());
    let (first, asked) = run(&desk, &plan(&["hybrid"]), &mut Site::Here(&built));
    assert!(asked.contains("hybrid"), "{asked:?}");
    let folder = built.folder.clone();
    drop(built);

    let (built, steps) = desk.open();
    assert!(steps.is_empty(), "a whole workspace was built again: {steps:?}");
    let (again, asked) = run(&desk, &plan(&["hybrid"]), &mut Site::Here(&built));
    assert!(asked.is_empty(), "answers that were kept were asked for: {asked:?}");
    assert_eq!(again.results, first.results);
    drop(built);

    std::fs::remove_file(folder.join("whole.json")).unwrap();
    let (built, steps) = desk.open();
    assert!(steps.contains("importing"), "a folder without its mark was taken for whole: {steps:?}");
    assert_eq!((built.facts.documents, built.facts.build_seconds), (DOCUMENTS as u64, None));
    let (other, asked) = run(&desk, &plan(&["hybrid"]), &mut Site::Here(&built));
    assert!(asked.contains("hybrid"), "another generation of the index may answer otherwise");
    assert_eq!(other.runs, first.runs);
}

#[test]
fn another_corpus_or_other_rules_are_another_workspace() {
    let desk = Desk::new();
    let folder = |options: &Options| Built::open(&desk.dataset, options, &mut |_| {}).unwrap().folder.clone();
    let plain = folder(&desk.options());
    assert_ne!(plain, folder(&Options { without_titles: true, ..desk.options() }));
    assert_ne!(plain, folder(&Options { embedder: None, ..desk.options() }));
    let corpus = desk.dir.path().join("small/corpus.jsonl");
    let text = std::fs::read_to_string(&corpus).unwrap();
    std::fs::write(&corpus, text + "{\"_id\": \"one more\", \"text\": \"late\"}\n").unwrap();
    assert_ne!(plain, folder(&desk.options()));
}

/// Takes no events: whoever evaluates only asks.
struct NoIngest;

impl Ingest for NoIngest {
    fn submit(&self, _: Vec<Event>, _: schemas::api::events::Wait, _: query::deadline::Deadline) -> Submitted {
        Box::pin(async { Err(IngestError::Closed) })
    }

    fn reject(&self, _: Vec<Refused>) -> Kept {
        Box::pin(async { Err(IngestError::Closed) })
    }

    fn status(&self) -> IngestStatus {
        IngestStatus::default()
    }
}

#[test]
fn a_server_answers_what_the_engine_answers() {
    let desk = Desk::new();
    let (built, _) = desk.open();
    let config = query::config::Config::default();
    let engine = query::engine::Engine::new(built.index.clone(), built.embedder.clone(), config.clone()).unwrap();
    let auth = AuthConfig { insecure_development: true, ..AuthConfig::default() };
    let app =
        App::new(engine, Arc::new(NoIngest), Auth::new(&auth, Secrets::default()).unwrap(), HttpConfig::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let serving = runtime.spawn({
        let shutdown = shutdown.clone();
        async move { app.run(listener, shutdown).await }
    });
    let plan = plan(&["hybrid", "lexical", "rrf", "typos:lexical"]);
    let (here, _) = run(&desk, &plan, &mut Site::Here(&built));
    let user = built.people.persons[0].user.clone();
    let mut server = Server::new(&url, built.workspace.clone(), user.clone(), None).unwrap();
    let names = Names::of(&desk.dataset).unwrap();
    let site = &mut Site::There { server: &mut server, names, base: Box::new(config), asked_as: user.to_string() };
    let (there, _) = run(&desk, &plan, site);
    assert_eq!(there.runs, here.runs);
    let stranger = built.people.persons[3].user.clone();
    let mut server = Server::new(&url, built.workspace.clone(), stranger, None).unwrap();
    let answers = ask_all(&mut server, &named("hybrid"), &queries(&desk), &Names::default(), 50, &mut |_| {}).unwrap();
    let found = |answers: &Answers| answers.queries.values().map(|asked| asked.documents.len()).sum::<usize>();
    assert!(found(&answers) < here.runs[0].rankings().map(|(_, ranking)| ranking.len()).sum(), "a guest sees less");
    shutdown.cancel();
    runtime.block_on(serving).unwrap().unwrap();
}

fn queries(desk: &Desk) -> std::collections::BTreeMap<String, String> {
    desk.dataset.queries.iter().map(|(id, query)| (id.clone(), query.text.clone())).collect()
}

#[test]
fn personas_are_told_nothing_that_is_not_theirs_and_a_planted_leak_is_found() {
    let desk = Desk::new();
    let (built, _) = desk.open();
    let (found, _) = run(&desk, &Plan { personas: true, ..plan(&["hybrid"]) }, &mut Site::Here(&built));
    let personas = &found.results[0].personas;
    assert_eq!(personas.iter().map(|persona| persona.leaks + persona.recall_lost).sum::<usize>(), 0, "{personas:?}");
    let documents: Vec<usize> = personas.iter().map(|persona| persona.documents).collect();
    assert_eq!(documents[0], DOCUMENTS, "the administrator sees everything");
    assert!(documents[1] < DOCUMENTS && documents[2] < documents[1] && documents[3] < documents[1], "{documents:?}");
    assert!(documents[2] > 0, "{documents:?}");

    // What the administrator is answered, told to the member.
    let mut all = InProcess::new(&built, &named("hybrid"), built.asker()).unwrap();
    let answers = ask_all(&mut all, &named("hybrid"), &queries(&desk), &built.names, 50, &mut |_| {}).unwrap();
    let member = &built.people.persons[1];
    let metrics = ["nDCG@10".parse().unwrap()];
    let qrels = desk.dataset.split("test").unwrap();
    let of = |answers: &Answers, unfiltered: &Answers| {
        judge(&Judge::of(&built), &built.names, member, answers, unfiltered, qrels, &metrics).unwrap()
    };
    let told = of(&answers, &answers);
    assert!(told.leaks > 0 && !told.leaked.is_empty(), "{told:?}");
    let nothing = of(&Answers::default(), &answers);
    assert_eq!((nothing.leaks, nothing.recall_lost), (0, nothing.judgments), "what is not answered is lost");
}

#[test]
fn the_report_escapes_what_collections_hold() {
    let desk = Desk::new();
    let (built, _) = desk.open();
    let mut plan = Plan { personas: true, latency: true, ..plan(&["hybrid", "lexical"]) };
    plan.configurations[1].name = "<b>lexical</b>".to_owned();
    let (found, _) = run(&desk, &plan, &mut Site::Here(&built));
    let mut evaluation = Evaluation {
        made_at: jiff::Timestamp::UNIX_EPOCH,
        release: "0".to_owned(),
        machine: "a \"machine\"".to_owned(),
        model_id: None,
        server: None,
        collections: found.results,
    };
    let query = "<script>alert(1)</script>".to_owned();
    evaluation.collections[0].queries.values_mut().for_each(|text| text.clone_from(&query));
    let html = eval::report::html(&evaluation);
    for markup in ["<script", "<img", "<b>", "a \"machine\""] {
        assert!(!html.contains(markup), "{markup}");
    }
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;") && html.contains("&lt;script&gt;"));
    assert!(html.len() < 2 << 20, "{} bytes", html.len());
    let path = desk.dir.path().join("evaluation.json");
    evaluation.write(&path).unwrap();
    assert!(eval::report::html(&Evaluation::read(&path).unwrap()) == html, "an evaluation reads back as it was");
}

#[test]
fn the_gate_fails_on_a_planted_drop_alone() {
    let desk = Desk::new();
    let (options, embedder) = (desk.options(), Embedder::fake(64));
    let measure = |configuration: &Configuration| {
        baselines::measure(&desk.dataset, "test", configuration, Some(&embedder), &options, &mut |_| {}).unwrap()
    };
    let path = desk.dir.path().join("baselines").join(baselines::file_name("small/test", "hybrid"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    measure(&named("hybrid")).write(&path).unwrap();
    let found = baselines::find(path.parent().unwrap()).unwrap();
    let [(_, baseline)] = &found[..] else { panic!("{found:?}") };
    let (dataset, split) = baselines::collection_of(baseline, &[desk.dir.path().to_owned()]).unwrap().unwrap();
    assert_eq!((dataset.name.as_str(), split.as_str()), ("small", "test"));
    let outcomes = |configuration: &Configuration| -> Vec<Outcome> {
        let verdicts = check(baseline, &measure(configuration), &Rule::default()).unwrap();
        verdicts.into_iter().map(|verdict| verdict.outcome).collect()
    };
    assert_eq!(outcomes(&named("hybrid")), [Outcome::Held, Outcome::Held]);
    // Words count for nothing, and the vectors are of a fake.
    let mut worse = named("hybrid");
    worse.query.semantic_weight = 1.0;
    worse.mistype = 1.0;
    assert!(outcomes(&worse).contains(&Outcome::Dropped), "{:?}", outcomes(&worse));
}

#[test]
fn documents_that_are_sections_of_one_page_are_ranked_by_passages() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("help");
    std::fs::create_dir_all(folder.join("qrels")).unwrap();
    let (mut corpus, mut queries, mut qrels) = (String::new(), String::new(), String::new());
    for at in 0..30 {
        let (id, topic) = (format!("https://help.example/page{}#part{at}", at / 3), TOPICS[at % 12]);
        let filling = "Some more words about how it is used and what to look out for when it is. ".repeat(12);
        let row = serde_json::json!({ "_id": id, "title": format!("Part {at}"), "text": format!("number{at} {topic}. {filling}") });
        writeln!(corpus, "{row}").unwrap();
        writeln!(queries, "{}", serde_json::json!({ "_id": format!("q{at}"), "text": format!("number{at}") })).unwrap();
        writeln!(qrels, "q{at}\t{id}\t1").unwrap();
    }
    std::fs::write(folder.join("corpus.jsonl"), corpus).unwrap();
    std::fs::write(folder.join("queries.jsonl"), queries).unwrap();
    std::fs::write(folder.join("qrels/test.tsv"), qrels).unwrap();
    let desk = Desk { dataset: Dataset::find(&folder).unwrap().remove(0), dir };
    let options = Options { sections: true, ..desk.options() };
    let built = Built::open(&desk.dataset, &options, &mut |_| {}).unwrap();
    assert_eq!((built.facts.documents, built.facts.pages), (30, 10 + 16), "ten pages in sixteen folders");
    let (found, _) = run(&desk, &Plan { personas: true, ..plan(&["lexical", "hybrid"]) }, &mut Site::Here(&built));
    let result = &found.results[0];
    let recall = "R@100".parse().unwrap();
    assert!(eval::metrics::mean(&result.systems[0].scores[&recall]) > 0.99, "{:?}", result.systems[0].scores);
    let ranking = found.runs[1].of("q4").unwrap();
    assert!(ranking.iter().filter(|ranked| ranked.document.contains("page1#")).count() >= 2, "{ranking:?}");
    assert_eq!(result.personas.iter().map(|persona| persona.leaks).sum::<usize>(), 0);
}
