//! The Markdown importer: the text of one page. What it becomes is within all limits, is taken in without complaint, is
//! found unchanged when it is imported again, and is cut into passages whose ranges lie in their text.

#![no_main]

use fuzz::{Records, options, workspace};
use indexer::import::document::Document;
use indexer::import::markdown::{Rules, page};
use indexer::import::tree::{File, Tree};
use indexer::import::{Target, diff, fit, front};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (front, body) = front::read(text, &mut |_| {});
    assert!(text.ends_with(body), "the text after the front matter is the end of the file");
    let named = |path: &str| File { path: path.to_owned(), id: None, kind: None };
    let page_file = File { id: front.id, kind: front.kind, ..named("notes/page.md") };
    let files = [page_file, named("notes/other.md"), named("index.md")];
    let tree = Tree::build(&files, &mut |_, _| {});
    let at = tree.nodes().iter().position(|node| node.file == Some(0)).expect("every file is a page");
    let resolve = |address: &str| tree.resolve(&files[0].path, address).map(|at| tree.nodes()[at].id.clone());
    let options = options();
    let stamp =
        diff::Stamp { workspace: workspace(), region: options.region, source: "fuzz".to_owned(), now: options.now };
    let document = Document { text: text.to_owned(), ..Document::default() };
    let mut desired = page(&tree, at, document, &Rules::open(), &resolve, &mut |_| {});
    fit::fit(&mut desired, &mut |_| {});

    let mut records = Records::default();
    records.take_in(&diff::events(&desired, None, &stamp));
    let stored = records.page(&desired.id).expect("memory does not fail");
    let again = diff::events(&desired, stored.as_ref(), &stamp);
    assert!(again.is_empty(), "the same page again changes something: {again:?}");
    records.check_passages();
});
