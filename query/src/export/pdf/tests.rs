use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::blocks::{Block, Content, Inset, Parsed, Rich, Style};
use super::lines::{Wrap, broken, pieces};
use super::shape::Shaper;
use super::*;

const PLAIN: Style = Style { bold: false, italic: false, mono: false, struck: false, link: None };

fn fonts() -> Fonts {
    Fonts::load(&[""; 0]).unwrap()
}

fn minute() -> Deadline {
    Deadline::after(Duration::from_mins(1))
}

fn document(body: &str) -> Document {
    Document {
        title: "The dome".to_owned(),
        about: vec!["Engineering / Site".to_owned()],
        properties: vec![("Due".to_owned(), "soon".to_owned())],
        body: body.to_owned(),
        date: Some("2026-03-01T10:00:00Z".parse::<Timestamp>().unwrap()),
    }
}

fn drawn(document: &Document) -> Drawn {
    draw(document, &fonts(), &ExportConfig::default(), minute()).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn text(text: &str) -> Content {
    Content::Text(Rich::of(text, PLAIN))
}

#[test]
fn markdown_is_read_as_blocks() {
    let Parsed { blocks, links } = parse(
        "## Use\n\nSee [**the** docs](<https://docs.example/a>), [no](javascript:alert) and `x`.\nNext.\n\n- one\n  1. inner\n- [x] done\n-\n\n\
         > said\n>\n> - more\n\n```rust\nfn x() {}\n\n\tlet y;\n```\n\n| a | b |\n| --- | --- |\n| c \\| d | e |\n\n---\n\n<b>no</b> ![alt](https://x)\n",
    );
    let mut see = Rich::of("See ", PLAIN);
    see.push("the", Style { bold: true, link: Some(0), ..PLAIN });
    see.push(" docs", Style { link: Some(0), ..PLAIN });
    see.push(", no and ", PLAIN);
    see.push("x", Style { mono: true, ..PLAIN });
    see.push(".\nNext.", PLAIN);
    let mono = Style { mono: true, ..PLAIN };
    let cell = |text: &str| Rich::of(text, PLAIN);
    let (item, quote) = (Inset::Item, Inset::Quote);
    let expected = [
        (vec![], None, Content::Heading(2, Rich::of("Use", PLAIN))),
        (vec![], None, Content::Text(see)),
        (vec![item], Some("•"), text("one")),
        (vec![item, item], Some("1."), text("inner")),
        (vec![item], Some("☑"), text("done")),
        (vec![item], Some("•"), Content::Text(Rich::default())),
        (vec![quote], None, text("said")),
        (vec![quote, item], Some("•"), text("more")),
        (vec![], None, Content::Code(Rich::of("fn x() {}\n\n\tlet y;", mono))),
        (vec![], None, Content::Table(vec![vec![cell("a"), cell("b")], vec![cell("c | d"), cell("e")]])),
        (vec![], None, Content::Rule),
        (vec![], None, text("<b>no</b> alt")),
    ];
    let expected =
        expected.map(|(insets, marker, content)| Block { insets, marker: marker.map(str::to_owned), content });
    assert_eq!(blocks, expected);
    assert_eq!(links, ["https://docs.example/a"]);
}

#[test]
fn a_line_is_shaped_in_parts_of_a_bounded_length_while_there_is_time() {
    let words = "é word ".repeat(4_000);
    let mut rich = Rich::of(&words, PLAIN);
    rich.push("bold", Style { bold: true, ..PLAIN });
    let lines = rich.lines();
    assert!(lines.len() > 3 && lines.iter().all(|line| line.text.len() <= 10_000));
    assert!(lines[..3].iter().all(|line| line.text.ends_with(' ')), "cut between words");
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<String>(), rich.text);
    assert_eq!(Rich::of(&"x".repeat(25_000), PLAIN).lines().len(), 3);
    let late = Deadline::after(Duration::ZERO);
    for body in ["One line.", "| a | b |\n| --- | --- |\n| c | d |"] {
        let drawn = draw(&document(body), &fonts(), &ExportConfig::default(), late);
        assert!(matches!(drawn, Err(PdfError::Late)), "{body}");
    }
    let long = format!("| a | b |\n| --- | --- |\n| c | {words} |");
    assert!(drawn(&document(&long)).bytes.len() > 1_000, "a cell that is too long is given as text");
}

#[test]
fn the_same_document_gives_the_same_bytes_with_its_title_and_date() {
    let document = document(
        "\n## Use\n\nOpen *it* ~~slowly~~ by `hand`. שלום (world) مرحبا\n\n> - a\n\n| a | b |\n| --- | --- |\n| c | d |\n",
    );
    let one = drawn(&document);
    assert!(one.bytes.starts_with(b"%PDF-1.7"));
    assert_eq!(one.unshown, 0);
    assert!(holds(&one.bytes, "(The dome)") && holds(&one.bytes, "D:20260301100000"));
    assert!(one.bytes == drawn(&document).bytes);
    assert!(one.bytes.len() < 100_000, "{} bytes: glyphs that are not used are left out", one.bytes.len());
}

#[test]
fn links_lead_where_those_of_the_markdown_do_and_nowhere_else() {
    let body = "\n[docs](<https://docs.example/a%20b>) [mail](mailto:a@b.example) [é](<https://x.example/é>) [page](</#/page/p>) \
                [code](javascript:alert) https://bare.example ![picture](https://picture.example)\n";
    let bytes = drawn(&document(body)).bytes;
    for address in ["https://docs.example/a%20b", "mailto:a@b.example", "https://x.example/%C3%A9"] {
        assert!(holds(&bytes, &format!("({address})")), "{address}");
    }
    for address in ["/#/page", "javascript", "bare.example", "picture.example"] {
        assert!(!holds(&bytes, address), "{address}");
    }
}

#[test]
fn what_is_longer_than_allowed_or_late_is_no_document() {
    let long = document(&"\nword word word\n".repeat(200));
    let with = |config: &ExportConfig, deadline| draw(&long, &fonts(), config, deadline).map(|drawn| drawn.bytes.len());
    let config = ExportConfig { sheets_max: 2, ..ExportConfig::default() };
    assert!(matches!(with(&config, minute()), Err(PdfError::TooManySheets)));
    let config = ExportConfig { bytes_max: 1_000, ..ExportConfig::default() };
    assert!(matches!(with(&config, minute()), Err(PdfError::TooManyBytes)));
    let late = Deadline::after(Duration::ZERO);
    assert!(matches!(with(&ExportConfig::default(), late), Err(PdfError::Late)));
    let sheets = |count: usize| ExportConfig { sheets_max: count, ..ExportConfig::default() };
    let needed = (1..50).find(|count| with(&sheets(*count), minute()).is_ok()).unwrap();
    let bytes = with(&sheets(needed), minute()).unwrap();
    assert!(needed > 3 && bytes > 0, "{needed} sheets");
}

#[test]
fn a_character_that_no_font_has_is_a_box_and_another_font_may_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, none) = (dir.path().join("serif.ttf"), dir.path().join("none.ttf"));
    std::fs::write(&file, dejavu::serif::regular()).unwrap();
    std::fs::write(&none, "no font").unwrap();
    let more = Fonts::load(&[&file]).unwrap();
    let document = document("\nbefore ⤀⤀ after\n");
    assert_eq!(drawn(&document).unshown, 2);
    let config = ExportConfig::default();
    assert_eq!(draw(&document, &more, &config, minute()).unwrap().unshown, 0);
    for file in [none, dir.path().join("absent.ttf")] {
        assert_eq!(Fonts::load(&[file]).unwrap_err().key, "export.fonts");
    }
}

#[test]
fn tables_of_any_shape_are_drawn() {
    let row = |cells: usize, text: &str| format!("|{}\n", format!(" {text} |").repeat(cells));
    for cells in [1, 3, 40] {
        let long = row(cells, &"many words that need some room ".repeat(20));
        let body = format!("\n{}{}{}", row(cells, "head"), row(cells, "---"), long.repeat(30));
        assert!(!drawn(&document(&body)).bytes.is_empty(), "{cells} columns");
    }
}

#[test]
fn lines_end_between_words_and_within_those_that_are_too_long() {
    let fonts = fonts();
    let mut shaper = Shaper::new(fonts.faces());
    let mut check = |text: &str, wrap: Wrap, width: f32, expected: &[&str]| {
        let shaped = shaper.shape(&Rich::of(text, PLAIN));
        let lines = broken(&shaped, wrap, width);
        let lines: Vec<&str> = lines.iter().map(|line| &text[line.range.clone()]).collect();
        assert_eq!(lines, expected, "{text}");
    };
    check("one two three", Wrap::Words, 5.0, &["one two", "three"]);
    check("one two three", Wrap::Words, f32::MAX, &["one two three"]);
    check("", Wrap::Words, 5.0, &[""]);
    check("iiiiiiiiii", Wrap::Words, 1.0, &["iii", "iii", "iii", "i"]);
    check("    if x", Wrap::Anywhere, 2.0, &["    if", "x"]);
}

#[test]
fn what_is_written_from_right_to_left_stands_so() {
    let fonts = fonts();
    let mut shaper = Shaper::new(fonts.faces());
    let mut order = |text: &str| -> Vec<String> {
        let shaped = shaper.shape(&Rich::of(text, PLAIN));
        let pieces = pieces(&shaped, &(0..text.len()));
        pieces.iter().map(|piece| piece.glyphs.iter().map(|glyph| &text[glyph.text_range.clone()]).collect()).collect()
    };
    assert_eq!(order("abc שלום def"), ["abc ", "םולש", " def"]);
    assert_eq!(order("שלום abc"), ["abc", " םולש"]);
    assert!(shaper.shape(&Rich::of("שלום abc", PLAIN)).is_rtl);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Lines hold all of the text but white space, in its order, none twice; none is too wide that could be narrower.
    #[test]
    fn nothing_is_lost_between_lines(text in "[ a-zA-Zäé\u{301}中שם\u{200d}😀\u{1f469}.,-]{0,60}", width in 0.5_f32..20.0, anywhere: bool) {
        let fonts = fonts();
        let mut shaper = Shaper::new(fonts.faces());
        let shaped = shaper.shape(&Rich::of(&text, PLAIN));
        let wrap = if anywhere { Wrap::Anywhere } else { Wrap::Words };
        let mut end = 0;
        let mut glyphs = 0;
        for line in broken(&shaped, wrap, width) {
            prop_assert!(line.range.start >= end && text[end..line.range.start].trim().is_empty());
            end = line.range.end;
            let clusters = shaped.clusters.iter().filter(|cluster| line.range.contains(&cluster.start)).count();
            prop_assert!(line.width <= width + 0.001 || clusters == 1);
            glyphs += pieces(&shaped, &line.range).iter().map(|piece| piece.glyphs.len()).sum::<usize>();
        }
        prop_assert!(text[end..].trim().is_empty());
        let seen = shaped.items.iter().flat_map(|item| &item.glyphs);
        let seen = seen.filter(|glyph| !text[glyph.text_range.clone()].trim().is_empty()).count();
        prop_assert!(glyphs >= seen);
    }

    /// Any text of a page gives a document.
    #[test]
    fn any_markdown_is_drawn(body in "([#>*_`|\\-0-9.\\[\\]()<!~ a\u{5d0}\u{4e2d}\u{301}]|\n){0,80}") {
        prop_assert!(draw(&document(&body), &fonts(), &ExportConfig::default(), minute()).is_ok());
    }
}
