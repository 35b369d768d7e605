use schemas::api::Consistency;
use schemas::api::pages::PageObject;
use schemas::ids::{BlockId, PageId};
use schemas::page::{PageKind, PropertyValue};

use super::*;

fn summary(title: &str) -> PageSummary {
    PageSummary {
        id: PageId::new("dome").unwrap(),
        title: title.to_owned(),
        icon: None,
        kind: PageKind::Page,
        url: None,
        tags: Vec::new(),
        created_by: None,
        created_at: None,
        edited_by: None,
        edited_at: Some("2026-03-01T10:00:00Z".parse().unwrap()),
        trashed: false,
    }
}

fn view(blocks: Vec<(u32, BlockContent)>) -> PageView {
    let block = |(depth, content): (u32, BlockContent)| BlockView {
        id: BlockId::new("b").unwrap(),
        depth,
        text: content.plain_text(),
        content,
    };
    PageView {
        object: PageObject::Page,
        page: summary("The *dome*"),
        parent: None,
        breadcrumb: Vec::new(),
        properties: [("Due: when".to_owned(), PropertyValue::Text("\"soon\"\n---".to_owned()))].into(),
        blocks: blocks.into_iter().map(block).collect(),
        consistency: Consistency::default(),
        request_id: String::new(),
    }
}

fn text(kind: BlockType, text: &str) -> BlockContent {
    BlockContent::text(kind, text)
}

#[test]
fn a_page_reads_as_it_stands() {
    let cell = |text: &str| vec![RichText::plain(text)];
    let row = |one: &str, two: &str| BlockContent {
        cells: vec![cell(one), cell(two)],
        ..BlockContent::empty(BlockType::TableRow)
    };
    let styled = BlockContent {
        rich_text: vec![
            RichText::plain("See "),
            RichText {
                plain_text: "the docs ".into(),
                href: Some("https://docs.example/a b>".into()),
                annotations: vec!["bold".into()],
            },
            RichText {
                plain_text: "x`y".into(),
                href: Some("javascript:alert(1)".into()),
                annotations: vec!["code".into()],
            },
        ],
        ..BlockContent::empty(BlockType::Paragraph)
    };
    let done = BlockContent { checked: Some(true), ..text(BlockType::ToDo, "coat") };
    let exported = page(&view(vec![
        (0, text(BlockType::Heading(1), "Use")),
        (0, styled),
        (0, text(BlockType::BulletedListItem, "one")),
        (1, text(BlockType::NumberedListItem, "inner\nline")),
        (0, text(BlockType::BulletedListItem, "two")),
        (0, done),
        (0, text(BlockType::Quote, "said")),
        (1, text(BlockType::Paragraph, "more")),
        (0, BlockContent { language: Some("rust".into()), ..text(BlockType::Code, "```\nfn x() {}") }),
        (0, BlockContent::empty(BlockType::Table)),
        (1, row("a|b", "c")),
        (1, row("d", "e")),
        (0, BlockContent::empty(BlockType::Divider)),
    ]))
    .markdown();
    let expected = "---\n\"Due: when\": \"\\\"soon\\\"\\n---\"\n---\n\n# The \\*dome\\*\n\n## Use\n\n\
        See [**the docs**](<https://docs.example/a%20b%3E>) ``x`y``\n\n- one\n  1. inner\n     line\n- two\n\n- [x] coat\n\n> said\n>\n> more\n\n\
        ````rust\n```\nfn x() {}\n````\n\n\n| a\\|b | c |\n| --- | --- |\n| d | e |\n\n---\n";
    assert_eq!(exported, expected);
}

#[test]
fn text_becomes_nothing_else() {
    for (plain, expected) in [
        ("# no heading", "\\# no heading"),
        ("1. no list", "1\\. no list"),
        ("- no list", "\\- no list"),
        ("--- ", "\\---"),
        ("![no](https://evil.example)", "!\\[no\\](https://evil.example)"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("a &lt; b", "a \\&lt; b"),
        ("2 * 3", "2 \\* 3"),
        ("    no code", "no code"),
        ("plain, 3.5 text.", "plain, 3.5 text."),
    ] {
        let exported = page(&view(vec![(0, text(BlockType::Paragraph, plain))])).markdown();
        assert!(exported.ends_with(&format!("\n\n{expected}\n")), "{exported}");
    }
}

#[test]
fn an_answer_lists_its_sources_by_number() {
    let source = AnswerSource {
        number: 1,
        page: summary("Dome ](<https://evil.example>"),
        breadcrumb: Vec::new(),
        headings: Vec::new(),
        blocks: Vec::new(),
        score: 1.0,
    };
    let url = |page: &PageSummary| format!("https://app.example/{}", page.id.as_str());
    let exported = answer("How\n# often?", "Each year [1].", &[source], &url).markdown();
    let expected = "# How # often?\n\nEach year [1].\n\n---\n\n1. [Dome \\](\\<https://evil.example\\>](<https://app.example/dome>), 2026-03-01\n";
    assert_eq!(exported, expected);
}
