//! Judgments: which documents answer a query, and how well. Read and written as TREC qrels and as BEIR tables.
//!
//! Nothing is scored here. No document is judged twice for one query.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::{lines, runs};

/// Longest line in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Most judgments in one file.
const JUDGMENTS_MAX: usize = 10_000_000;
/// Largest grade, and smallest with the sign changed.
pub const GRADE_MAX: i32 = 100;
/// The first line of a BEIR table.
const BEIR_HEADER: &str = "query-id\tcorpus-id\tscore";

/// The judged documents of one query and their grades: from 1 relevant, 0 not. Below 0 stands for a document that was
/// put before a judge and not judged, as with trec_eval.
pub type Judgments = BTreeMap<String, i32>;

/// The judgments of a set of queries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qrels {
    queries: BTreeMap<String, Judgments>,
}

impl Qrels {
    /// Adds one judgment. Fails where the document is judged already, or the grade is beyond [`GRADE_MAX`].
    pub fn judge(&mut self, query: &str, document: &str, grade: i32) -> anyhow::Result<()> {
        ensure!(grade.abs() <= GRADE_MAX, "the grade {grade} is beyond {GRADE_MAX}");
        let judged = self.queries.entry(query.to_owned()).or_default();
        let former = judged.insert(document.to_owned(), grade);
        ensure!(former.is_none(), "the document {document} is judged twice for the query {query}");
        Ok(())
    }

    /// Reads TREC qrels: query, a field that is ignored, document, grade; white space between. `#` begins a comment
    /// line.
    pub fn read_trec(path: &Path) -> anyhow::Result<Self> {
        Self::read(path, |line, _| {
            if line.starts_with('#') {
                return Ok(None);
            }
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [query, _, document, grade] = fields[..] else {
                bail!("expected query, iteration, document and grade, found {} fields", fields.len());
            };
            Ok(Some([query, document, grade]))
        })
    }

    /// Reads a BEIR table: query, document, grade, with tabs between, perhaps below a line of headings.
    pub fn read_beir(path: &Path) -> anyhow::Result<Self> {
        Self::read(path, |line, is_first| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [query, document, grade] = fields[..] else {
                bail!("expected query, document and grade with tabs between, found {} fields", fields.len());
            };
            let is_header = is_first && grade.parse::<i32>().is_err();
            Ok((!is_header).then_some([query, document, grade]))
        })
    }

    /// `split` gets a line and whether it is the first, and says query, document and grade, if the line holds any.
    fn read(path: &Path, split: fn(&str, bool) -> anyhow::Result<Option<[&str; 3]>>) -> anyhow::Result<Self> {
        let (mut qrels, mut count) = (Self::default(), 0);
        lines::each(path, LINE_BYTES_MAX, &mut |line| {
            count += 1;
            ensure!(count <= JUDGMENTS_MAX, "there are more than {JUDGMENTS_MAX} judgments");
            let Some([query, document, grade]) = split(line, count == 1)? else { return Ok(()) };
            let grade = grade.parse().with_context(|| format!("the grade {grade:?} is no whole number"))?;
            qrels.judge(query, document, grade)
        })?;
        Ok(qrels)
    }

    /// Writes TREC qrels, by query and document. Ids are written as [`runs::trec_id`] says.
    pub fn write_trec(&self, out: &mut dyn Write) -> io::Result<()> {
        self.each(&mut |query, document, grade| {
            writeln!(out, "{} 0 {} {grade}", runs::trec_id(query), runs::trec_id(document))
        })
    }

    /// Writes a BEIR table, by query and document.
    pub fn write_beir(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{BEIR_HEADER}")?;
        self.each(&mut |query, document, grade| writeln!(out, "{query}\t{document}\t{grade}"))
    }

    fn each(&self, write: &mut dyn FnMut(&str, &str, i32) -> io::Result<()>) -> io::Result<()> {
        for (query, judged) in &self.queries {
            for (document, grade) in judged {
                write(query, document, *grade)?;
            }
        }
        Ok(())
    }

    /// The judged queries, by id.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = (&str, &Judgments)> {
        self.queries.iter().map(|(query, judged)| (query.as_str(), judged))
    }

    /// The judgments of one query; `None` where it has none.
    pub fn of(&self, query: &str) -> Option<&Judgments> {
        self.queries.get(query)
    }

    /// The highest grade given, at least 1.
    pub fn grade_max(&self) -> i32 {
        self.queries.values().flat_map(Judgments::values).copied().max().unwrap_or(1).max(1)
    }

    /// The judgments of some queries.
    #[must_use]
    pub fn only(&self, keep: &dyn Fn(&str) -> bool) -> Self {
        let kept = self.queries.iter().filter(|(query, _)| keep(query));
        Self { queries: kept.map(|(query, judged)| (query.clone(), judged.clone())).collect() }
    }

    /// What is left where only some judgments count: of a persona who may not read every document, or of some queries.
    /// Queries that are left with nothing relevant go too, for no ranking could answer them.
    #[must_use]
    pub fn restricted(&self, keep: &dyn Fn(&str, &str) -> bool) -> Self {
        let of_query = |(query, judged): (&String, &Judgments)| {
            let kept = judged.iter().filter(|(document, _)| keep(query, document));
            let kept: Judgments = kept.map(|(document, grade)| (document.clone(), *grade)).collect();
            kept.values().any(|grade| *grade >= 1).then(|| (query.clone(), kept))
        };
        Self { queries: self.queries.iter().filter_map(of_query).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str, reader: fn(&Path) -> anyhow::Result<Qrels>) -> Result<Qrels, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let prefix = format!("{}/", folder.path().display());
        reader(&path).map_err(|error| format!("{error:#}").replace(&prefix, ""))
    }

    #[test]
    fn both_formats_hold_the_same_judgments() {
        let trec = read("q", "# made by hand\nq1 0 d2 1\n\nq1\t0  d1 -1\nq2 0 d1 3\n", Qrels::read_trec).unwrap();
        let beir = "query-id\tcorpus-id\tscore\nq1\td2\t1\nq1\td1\t-1\nq2\td1\t3\n";
        assert_eq!(read("q.tsv", beir, Qrels::read_beir).unwrap(), trec);
        assert_eq!(trec.of("q1").unwrap()["d1"], -1);
        assert_eq!(trec.grade_max(), 3);
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut qrels = Qrels::default();
        qrels.judge("q1", "a page.md", 2).unwrap();
        qrels.judge("q1", "b", 0).unwrap();
        let (mut trec, mut beir) = (Vec::new(), Vec::new());
        qrels.write_trec(&mut trec).unwrap();
        qrels.write_beir(&mut beir).unwrap();
        assert_eq!(read("q.tsv", std::str::from_utf8(&beir).unwrap(), Qrels::read_beir).unwrap(), qrels);
        let trec = read("q", std::str::from_utf8(&trec).unwrap(), Qrels::read_trec).unwrap();
        assert_eq!(trec.of("q1").unwrap()["a%20page.md"], 2);
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read("q", text, Qrels::read_trec).unwrap_err(), expected);
        };
        check("q 0 d 1\nq 0 d\n", "q, line 2: expected query, iteration, document and grade, found 3 fields");
        check("q 0 d 1\n\nq 0 d 0\n", "q, line 3: the document d is judged twice for the query q");
        check("q 0 d 101\n", "q, line 1: the grade 101 is beyond 100");
        check("q 0 d one\n", "q, line 1: the grade \"one\" is no whole number: invalid digit found in string");
        check(&"x".repeat(LINE_BYTES_MAX + 1), "q, line 1: it is longer than 65536 bytes");
    }

    #[test]
    fn a_query_with_nothing_relevant_left_is_left_out() {
        let qrels = read("q", "q1 0 d1 1\nq1 0 d2 1\nq2 0 d2 1\nq2 0 d3 0\n", Qrels::read_trec).unwrap();
        let left = qrels.restricted(&|_, document| document != "d2");
        assert_eq!(left.queries().map(|(query, judged)| (query, judged.len())).collect::<Vec<_>>(), [("q1", 1)]);
    }
}
