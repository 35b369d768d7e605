//! What the extractor makes of what was given: sentences that say most, tasks that are open, a value that is sure.
//!
//! Pure, and on a blocking thread, since it analyses every sentence. It writes no word of its own.

use std::collections::BTreeSet;
use std::ops::Range;

use index::analysis::{Language, Tokens};
use models::extract::Limits;
use schemas::api::answers::Length;
use schemas::api::generate::{FilledValue, GenerateRequest, GenerateTask};
use schemas::block::BlockType;

use super::property;
use crate::answer::extractive::Prepared;
use crate::answer::source::Span;
use crate::answer::writing::Readable;
use crate::engine::sources::terms;

/// Most tasks that are listed.
const ITEMS_MAX: usize = 100;
/// What a line begins with that says what is to do.
const CALLS: [&str; 9] =
    ["[ ]", "todo:", "to do:", "todo ", "action:", "action item:", "action items:", "next step:", "next steps:"];

/// What was picked.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Picks {
    /// In the order in which they are to be read.
    pub lines: Vec<Line>,
    /// The value of a property, which the one line bears out.
    pub value: Option<FilledValue>,
}

/// A sentence or a line that was picked.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// Of a page, by the number of its source from 0.
    Cited(usize, Span),
    /// Of the given text.
    Given(String),
}

/// Picks from the pages, or from the given text where there are none; `titles` are those of the pages.
pub(super) fn pick(request: &GenerateRequest, language: Language, readable: &[Readable], titles: &[String]) -> Picks {
    let given = request.text.as_deref().filter(|_| readable.is_empty());
    if request.task == GenerateTask::ActionItems {
        return Picks { lines: given.map_or_else(|| tasks_of_pages(readable), tasks_of_text), value: None };
    }
    let prepared = given.map_or_else(|| Prepared::new(readable, titles), |text| Prepared::of_text(text, language));
    let line = |source: usize, sentence: usize| {
        if given.is_some() {
            Line::Given(prepared.text(source, sentence).to_owned())
        } else {
            Line::Cited(source, prepared.span(source, sentence))
        }
    };
    if let Some(property) = &request.property {
        let name = terms(&property.name, language, &mut Tokens::new());
        let said: Vec<_> = prepared.sentences().collect();
        let found = property::find(property, &name, said.iter().map(|said| (said.text, said.terms)));
        let Some((value, at)) = found else { return Picks::default() };
        return Picks { lines: vec![line(said[at].source, said[at].sentence)], value: Some(value) };
    }
    let picked = prepared.gist(limits(request.task, request.length));
    Picks { lines: picked.iter().map(|of| line(of.source, of.sentence)).collect(), value: None }
}

fn limits(task: GenerateTask, length: Length) -> Limits {
    let (sentences_max, words_max) = match (task, length) {
        (GenerateTask::KeyPoints, Length::Short) => (3, 60),
        (GenerateTask::KeyPoints, Length::Medium) => (5, 120),
        (GenerateTask::KeyPoints, Length::Long) => (12, 300),
        (_, Length::Short) => (1, 40),
        (_, Length::Medium) => (4, 100),
        (_, Length::Long) => (10, 250),
    };
    Limits { sentences_max, words_max }
}

/// To-dos that are not done, and lines that say what is to do.
fn tasks_of_pages(readable: &[Readable]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (source, readable) in readable.iter().enumerate() {
        for (at, block) in readable.text.blocks.iter().enumerate() {
            let spans: Vec<Range<usize>> = match block.kind {
                BlockType::ToDo if block.done => Vec::new(),
                BlockType::ToDo => trimmed(&block.text, 0..block.text.len()).into_iter().collect(),
                BlockType::Heading(_) | BlockType::Code => Vec::new(),
                _ => calls(&block.text),
            };
            lines.extend(spans.into_iter().map(|bytes| Line::Cited(source, Span { block: at, bytes })));
        }
    }
    lines.truncate(ITEMS_MAX);
    lines
}

fn tasks_of_text(text: &str) -> Vec<Line> {
    let mut seen = BTreeSet::new();
    let spans = calls(text).into_iter().map(|span| text[span].to_owned());
    spans.filter(|line| seen.insert(line.clone())).take(ITEMS_MAX).map(Line::Given).collect()
}

/// What stands after the beginning of each line that says what is to do.
fn calls(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start_matches([' ', '\t', '-', '*', '•']);
        let at = start + (line.len() - bare.len());
        let begins = CALLS.iter().find(|call| bare.get(..call.len()).is_some_and(|head| head.to_lowercase() == **call));
        let end = start + line.len();
        found.extend(begins.and_then(|call| trimmed(text, at + call.len()..end)));
        start = end;
    }
    found
}

/// The range without white space around it; nothing when no letter or digit is left.
fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let piece = &text[range.clone()];
    let start = range.start + (piece.len() - piece.trim_start().len());
    piece.chars().any(char::is_alphanumeric).then(|| start..start + piece.trim().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(task: GenerateTask, text: &str) -> Vec<String> {
        let request = GenerateRequest { task, text: Some(text.to_owned()), ..GenerateRequest::default() };
        let picks = pick(&request, Language::English, &[], &[]);
        let text = |line: Line| match line {
            Line::Given(text) => text,
            Line::Cited(..) => panic!("there is no page"),
        };
        picks.lines.into_iter().map(text).collect()
    }

    #[test]
    fn what_is_to_do_is_what_says_so() {
        let text = "- [ ] order the coating\n- [x] call Ada\nTODO: fix the dome\nWe do todos.\n* Action: write to Bob \n[ ] \n";
        assert_eq!(of_text(GenerateTask::ActionItems, text), ["order the coating", "fix the dome", "write to Bob"]);
        assert!(of_text(GenerateTask::ActionItems, "All is done.").is_empty());
    }

    #[test]
    fn a_summary_is_of_sentences_of_the_text() {
        let text = "The dome closes in rain. Lunch is late. The interlock closes the dome. Rain stops the dome motor.";
        let picked = of_text(GenerateTask::Summarise, text);
        assert!(!picked.is_empty() && picked.iter().all(|line| text.contains(line)), "{picked:?}");
        assert!(of_text(GenerateTask::Summarise, " \n ").is_empty());
    }
}
