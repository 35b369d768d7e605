//! Runs: what a system found for each query, best first. Read and written in the format of TREC.
//!
//! The order is trec_eval's: by score, highest first; among equal scores by document id, last in byte order first. The
//! rank column of a file and the order of its lines mean nothing. trec_eval 9 compared scores as `f32`, 10 compares them
//! as `f64`; here as `f64`. No document stands twice in a ranking.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::lines;

/// Longest line in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Most lines of one file.
const LINES_MAX: usize = 50_000_000;

/// One document of a ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The id of the document.
    pub document: String,
    /// Its score, finite, in the scale of its system.
    pub score: f64,
}

/// The rankings of one system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    name: String,
    rankings: BTreeMap<String, Vec<Ranked>>,
}

impl Run {
    /// Makes a run without rankings. Its name is the last column of a file.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rankings: BTreeMap::new() }
    }

    /// Adds the ranking of a query, in any order. An empty one is not kept: a file could not hold it.
    ///
    /// Fails where the query has one already, a document stands there twice, or a score is not finite.
    pub fn insert(&mut self, query: &str, mut ranking: Vec<Ranked>) -> anyhow::Result<()> {
        ensure!(!self.rankings.contains_key(query), "the query {query} has two rankings");
        let mut documents = HashSet::new();
        for Ranked { document, score } in &ranking {
            ensure!(score.is_finite(), "the score of {document} for the query {query} is not finite");
            ensure!(documents.insert(document), "the document {document} stands twice in the ranking of {query}");
        }
        ranking.sort_by(|one, other| other.score.total_cmp(&one.score).then_with(|| other.document.cmp(&one.document)));
        if !ranking.is_empty() {
            self.rankings.insert(query.to_owned(), ranking);
        }
        Ok(())
    }

    /// Adds a ranking whose order is given, best first: scores are 1 / rank, so that whoever reads the file comes to the
    /// same order.
    pub fn insert_in_order(&mut self, query: &str, documents: Vec<String>) -> anyhow::Result<()> {
        let scored = documents.into_iter().enumerate();
        let scored = scored.map(|(at, document)| Ranked { document, score: 1.0 / (at + 1) as f64 });
        self.insert(query, scored.collect())
    }

    /// Reads a run: query, a field that is ignored, document, rank, score, name; white space between. `#` begins a
    /// comment line, what follows the name is ignored, and the name is that of the last line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let (mut name, mut count) = (String::new(), 0);
        let mut rankings: BTreeMap<String, Vec<Ranked>> = BTreeMap::new();
        lines::each(path, LINE_BYTES_MAX, &mut |line| {
            if line.starts_with('#') {
                return Ok(());
            }
            count += 1;
            ensure!(count <= LINES_MAX, "there are more than {LINES_MAX} lines");
            let fields: Vec<&str> = line.split_ascii_whitespace().take(6).collect();
            let [query, _, document, _, score, of_system] = fields[..] else {
                bail!("expected query, iteration, document, rank, score and name, found {} fields", fields.len());
            };
            let score: f64 = score.parse().with_context(|| format!("the score {score:?} is no number"))?;
            ensure!(score.is_finite(), "the score is not finite");
            if name != of_system {
                of_system.clone_into(&mut name);
            }
            let ranked = Ranked { document: document.to_owned(), score };
            match rankings.get_mut(query) {
                Some(ranking) => ranking.push(ranked),
                None => _ = rankings.insert(query.to_owned(), vec![ranked]),
            }
            Ok(())
        })?;
        let mut run = Self::new(&name);
        for (query, ranking) in rankings {
            run.insert(&query, ranking).with_context(|| path.display().to_string())?;
        }
        Ok(run)
    }

    /// Writes the run, by query, best first. Scores read back as they were; ids and the name are written as [`trec_id`]
    /// says.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = if self.name.is_empty() { "run".into() } else { trec_id(&self.name) };
        for (query, ranking) in &self.rankings {
            let query = trec_id(query);
            for (at, Ranked { document, score }) in ranking.iter().enumerate() {
                writeln!(out, "{query} Q0 {} {} {score} {name}", trec_id(document), at + 1)?;
            }
        }
        Ok(())
    }

    /// What the system is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rankings, by query.
    pub fn rankings(&self) -> impl ExactSizeIterator<Item = (&str, &[Ranked])> {
        self.rankings.iter().map(|(query, ranking)| (query.as_str(), ranking.as_slice()))
    }

    /// The ranking of one query; `None` where nothing was found.
    pub fn of(&self, query: &str) -> Option<&[Ranked]> {
        self.rankings.get(query).map(Vec::as_slice)
    }

    /// Keeps the first `depth` documents of each ranking.
    pub fn truncate(&mut self, depth: usize) {
        self.rankings.values_mut().for_each(|ranking| ranking.truncate(depth));
        self.rankings.retain(|_, ranking| !ranking.is_empty());
    }

    /// Keeps some documents, by query and document; the others move up.
    pub fn retain(&mut self, keep: &dyn Fn(&str, &str) -> bool) {
        for (query, ranking) in &mut self.rankings {
            ranking.retain(|ranked| keep(query, &ranked.document));
        }
        self.rankings.retain(|_, ranking| !ranking.is_empty());
    }
}

/// An id as TREC's formats can hold it: white space, which separates their columns, becomes `%20`, and in an id that would
/// begin a comment `#` becomes `%23`. Reading does not undo it, so judgments and runs that meet in another tool have both
/// to be written here.
pub fn trec_id(id: &str) -> Cow<'_, str> {
    if id.starts_with('#') || id.contains(char::is_whitespace) {
        return id.replace('#', "%23").replace(char::is_whitespace, "%20").into();
    }
    id.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Run, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        std::fs::write(&path, text).unwrap();
        let prefix = format!("{}/", folder.path().display());
        Run::read(&path).map_err(|error| format!("{error:#}").replace(&prefix, ""))
    }

    fn documents<'a>(run: &'a Run, query: &str) -> Vec<&'a str> {
        run.of(query).unwrap_or_default().iter().map(|ranked| ranked.document.as_str()).collect()
    }

    #[test]
    fn scores_decide_then_document_ids_and_ranks_never() {
        let run = read("# by hand\nq Q0 b 1 1.5 s\nq Q0 a 2 1.5 s\nq Q0 c 3 2e0 s more\np\tQ0 a 1 -1 t\n").unwrap();
        assert_eq!(documents(&run, "q"), ["c", "b", "a"]);
        assert_eq!(run.name(), "t");
        assert_eq!(run.rankings().len(), 2);
    }

    #[test]
    fn scores_that_f32_cannot_tell_apart_are_apart() {
        assert_eq!(documents(&read("q Q0 b 1 16777216 s\nq Q0 a 2 16777217 s\n").unwrap(), "q"), ["a", "b"]);
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut run = Run::new("our system");
        let scored = |document: &str, score| Ranked { document: document.to_owned(), score };
        run.insert("q 1", vec![scored("a page.md", 0.1 + 0.2), scored("b", f64::MIN_POSITIVE)]).unwrap();
        run.insert_in_order("q2", vec!["x".to_owned(), "y".to_owned(), "z".to_owned()]).unwrap();
        run.insert_in_order("#3", vec!["x#1".to_owned()]).unwrap();
        run.insert("q4", Vec::new()).unwrap();
        let mut bytes = Vec::new();
        run.write(&mut bytes).unwrap();
        let back = read(std::str::from_utf8(&bytes).unwrap()).unwrap();
        assert_eq!(back.name(), "our%20system");
        assert_eq!(back.of("q%201").unwrap()[0], scored("a%20page.md", 0.1 + 0.2));
        assert_eq!(documents(&back, "q2"), ["x", "y", "z"]);
        assert_eq!((documents(&back, "%233"), back.of("q4")), (vec!["x#1"], None));
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let check = |text: &str, expected: &str| assert_eq!(read(text).unwrap_err(), expected);
        check(
            "q Q0 a 1 2 s\nq Q0 b 1 2\n",
            "run, line 2: expected query, iteration, document, rank, score and name, found 5 fields",
        );
        check("q Q0 a 1 high s\n", "run, line 1: the score \"high\" is no number: invalid float literal");
        check("q Q0 a 1 nan s\n", "run, line 1: the score is not finite");
        check("q Q0 a 1 1 s\nq Q0 a 2 2 s\n", "run: the document a stands twice in the ranking of q");
    }

    #[test]
    fn shorter_rankings_keep_their_order() {
        let mut run = read("q Q0 a 1 3 s\nq Q0 b 2 2 s\nq Q0 c 3 1 s\np Q0 b 1 1 s\n").unwrap();
        run.retain(&|_, document| document != "b");
        assert_eq!((documents(&run, "q"), run.of("p")), (vec!["a", "c"], None));
        run.truncate(1);
        assert_eq!(documents(&run, "q"), ["a"]);
    }

    proptest! {
        #[test]
        fn any_run_reads_back_in_the_order_it_was_written(
            rankings in prop::collection::btree_map(
                "[^\\s#]{1,8}",
                prop::collection::btree_map("[^\\s#][^\\s]{0,7}", -1e3..1e3_f32, 1..8),
                0..4,
            ),
        ) {
            let mut run = Run::new("run");
            for (query, ranking) in rankings {
                let ranked = |(document, score)| Ranked { document, score: f64::from(score) };
                run.insert(&query, ranking.into_iter().map(ranked).collect()).unwrap();
            }
            let mut bytes = Vec::new();
            run.write(&mut bytes).unwrap();
            let back = read(std::str::from_utf8(&bytes).unwrap()).unwrap();
            prop_assert_eq!(back.rankings, run.rankings);
        }

        #[test]
        fn no_text_is_too_broken_to_be_refused(text in "([a-z0-9.# \\t-]{0,20}\n?){0,6}") {
            if let Ok(run) = read(&text) {
                let sorted = |ranking: &[Ranked]| ranking.windows(2).all(|pair| pair[0].score >= pair[1].score);
                prop_assert!(run.rankings().all(|(_, ranking)| sorted(ranking)));
            }
        }
    }
}
