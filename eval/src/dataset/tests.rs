//! Layouts, and what is said of files that are not as they should be. Real collections are read in `tests/it`.

use std::fs;

use super::*;

/// Writes files into a folder called `name`.
fn folder(name: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join(name);
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    (parent, folder)
}

fn documents(corpus: &Corpus) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    corpus.each(&mut |document| {
        documents.push(document);
        Ok(())
    })?;
    Ok(documents)
}

#[track_caller]
fn check_error(files: &[(&str, &str)], expected: &str) {
    let (parent, folder) = folder("set", files);
    let found = Dataset::find(&folder);
    let error = found.and_then(|found| documents(&found[0].corpus).map(|_| ())).unwrap_err();
    let prefix = format!("{}/", parent.path().display());
    assert_eq!(format!("{error:#}").replace(&prefix, ""), expected);
}

const QUERIES: (&str, &str) =
    ("queries.jsonl", "{\"_id\": \"q1\", \"text\": \"Wie?\", \"metadata\": {\"answer\": \"So.\", \"page\": 3}}\n");
const QRELS: (&str, &str) = ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n");
const CORPUS: (&str, &str) = (
    "corpus.jsonl",
    "{\"_id\": \"d1\", \"title\": \"One\", \"text\": \"first\", \"metadata\": {}}\n\n{\"_id\": \"d2\"}\n",
);

#[test]
fn a_beir_folder_is_read() {
    let train = ("qrels/train.tsv", "query-id\tcorpus-id\tscore\n");
    let (_parent, folder) = folder("set-de", &[QUERIES, QRELS, train, CORPUS, ("qrels/notes.txt", "of no use")]);
    let found = Dataset::find(&folder).unwrap();
    let [dataset] = &found[..] else { panic!("{found:?}") };
    assert_eq!(dataset.name, "set-de");
    assert_eq!(dataset.splits.keys().collect::<Vec<_>>(), ["test", "train"]);
    assert_eq!(dataset.split("dev").unwrap_err().to_string(), "set-de has no split dev, but test, train");
    let query = &dataset.queries["q1"];
    assert_eq!(
        (query.text.as_str(), query.language.as_deref(), query.answer.as_deref()),
        ("Wie?", Some("de"), Some("So."))
    );
    assert!(query.tags.is_empty() && query.sources.is_empty());
    let documents = documents(&dataset.corpus).unwrap();
    assert_eq!(documents.iter().map(|document| document.title.as_str()).collect::<Vec<_>>(), ["One", ""]);
}

#[test]
fn pages_with_link_texts_are_read() {
    let queries = "{\"_id\": \"a1\", \"text\": \"Home\", \"metadata\": {\"equals_title\": true, \"source_pages\": [\"b.md\"]}}\n\
                   {\"_id\": \"a2\", \"text\": \"home\", \"metadata\": {\"equals_title\": false, \"language\": \"en\"}}\n";
    let pages = "{\"path\": \"a.md\", \"title\": \"Home\", \"markdown\": \"# Home\"}\n{\"path\": \"b.md\", \"markdown\": \"\"}\n";
    let (_parent, folder) = folder(
        "handbook",
        &[
            ("pages.jsonl", pages),
            ("anchor-queries/queries.jsonl", queries),
            ("anchor-queries/qrels.tsv", "query-id\tcorpus-id\tscore\na1\ta.md\t1\na2\ta.md\t1\n"),
        ],
    );
    let dataset = Dataset::find(&folder).unwrap().remove(0);
    assert_eq!(dataset.split(ANCHORS).unwrap().queries().len(), 2);
    assert!(dataset.queries["a1"].tags.contains("title") && dataset.queries["a2"].tags.contains("not title"));
    assert_eq!(dataset.queries["a1"].sources.first().map(String::as_str), Some("b.md"));
    assert_eq!(dataset.queries["a2"].language.as_deref(), Some("en"));
    let documents = documents(&dataset.corpus).unwrap();
    assert_eq!((documents[0].id.as_str(), documents[0].text.as_str()), ("a.md", "# Home"));
    assert_eq!(documents.len(), 2);
}

#[test]
fn collections_below_a_folder_are_found_by_name() {
    let files =
        ["zh", "de"].map(|language| [QUERIES, QRELS, CORPUS].map(|(file, text)| (format!("{language}/{file}"), text)));
    let files: Vec<(&str, &str)> = files.iter().flatten().map(|(file, text)| (file.as_str(), *text)).collect();
    let (_parent, folder) = folder("quad", &files);
    let found = Dataset::find(&folder).unwrap();
    assert_eq!(found.iter().map(|dataset| dataset.name.as_str()).collect::<Vec<_>>(), ["quad/de", "quad/zh"]);
    assert_eq!(found[1].queries["q1"].language.as_deref(), Some("zh"));
}

#[test]
fn a_folder_of_markdown_has_its_queries_beside_it() {
    let queries = "{\"_id\": \"q1\", \"text\": \"leave\", \"metadata\": {\"kind\": \"known\", \"lang\": \"en\"}}\n";
    let (_parent, folder) = folder(
        "work",
        &[
            ("people/index.md", "# People"),
            ("people/leave.md", "# Leave\n\nThirty days."),
            ("../work.queries.jsonl", queries),
            ("../work.qrels.tsv", "query-id\tcorpus-id\tscore\nq1\tpeople/leave\t2\nq1\tpeople\t1\n"),
        ],
    );
    let dataset = Dataset::find(&folder).unwrap().remove(0);
    assert_eq!((dataset.name.as_str(), &dataset.corpus), ("work", &Corpus::Markdown(folder.clone())));
    assert_eq!(dataset.queries["q1"].language.as_deref(), Some("en"));
    let documents = documents(&dataset.corpus).unwrap();
    let judged = dataset.split(BESIDE).unwrap().of("q1").unwrap();
    assert!(judged.keys().all(|id| documents.iter().any(|document| document.id == *id)), "{documents:?}");
    assert_eq!(dataset.corpus.files().unwrap(), ["people/index.md", "people/leave.md"].map(|path| folder.join(path)));
}

#[test]
fn queries_may_be_about_a_workspace_that_is_there_already() {
    let (_parent, folder) = folder("mine", &[QUERIES, QRELS]);
    let dataset = Dataset::find(&folder).unwrap().remove(0);
    assert_eq!(dataset.corpus, Corpus::Elsewhere);
    assert!(documents(&dataset.corpus).is_err());
}

#[test]
fn errors_name_the_file_and_the_line() {
    let twice = ("corpus.jsonl", "{\"_id\": \"d\"}\n{\"_id\": \"d\"}\n");
    check_error(&[QUERIES, QRELS, twice], "set/corpus.jsonl, line 2: the document d stands there twice");
    let broken = ("corpus.jsonl", "{\"_id\": \"d\"}\n\n{\"_id\": 7}\n");
    let expected = "set/corpus.jsonl, line 3: invalid type: integer `7`, expected a string at line 1 column 9";
    check_error(&[QUERIES, QRELS, broken], expected);
    let other = ("queries.jsonl", "{\"_id\": \"q2\", \"text\": \"\"}\n");
    check_error(&[other, QRELS, CORPUS], "set/queries.jsonl has no query q1, which is judged in the split test");
    let long = format!("{{\"_id\": \"q1\", \"text\": \"{}\"}}", "x".repeat(QUERY_BYTES_MAX));
    check_error(
        &[("queries.jsonl", &long), QRELS, CORPUS],
        "set/queries.jsonl, line 1: it is longer than 1048576 bytes",
    );
    check_error(&[QRELS, CORPUS], "there is no queries.jsonl for set");
    check_error(&[("qrels/test.tsv", "")], "set is no collection, and neither is a folder in it");
    let queries = ("anchor-queries/queries.jsonl", "");
    let qrels = ("anchor-queries/qrels.tsv", "");
    let pages = ("pages.jsonl", "{\"path\": \"a\", \"markdown\": \"\"}\n{\"path\": \"b\"}\n");
    let expected = "set/pages.jsonl, line 2: it is no page: missing field `markdown` at line 1 column 13";
    check_error(&[queries, qrels, pages], expected);
}
