use proptest::prelude::*;

use super::*;

/// Blocks as compact text: one line for each, indented by nesting.
pub(crate) fn compact(blocks: &[DesiredBlock]) -> String {
    fn runs(runs: &[RichText]) -> String {
        let run = |run: &RichText| {
            let mut text = run.plain_text.replace('\n', "⏎");
            for style in &run.annotations {
                let mark = match style.as_str() {
                    "bold" => "**",
                    "italic" => "_",
                    "strikethrough" => "~~",
                    _ => "`",
                };
                text = format!("{mark}{text}{mark}");
            }
            run.href.as_ref().map_or(text.clone(), |href| format!("[{text}]({href})"))
        };
        runs.iter().map(run).collect()
    }
    fn line(content: &BlockContent) -> String {
        let text = runs(&content.rich_text);
        match &content.kind {
            BlockType::Paragraph => format!("p {text}"),
            BlockType::Heading(level) => format!("h{level} {text}"),
            BlockType::BulletedListItem => format!("- {text}"),
            BlockType::NumberedListItem => format!("1 {text}"),
            BlockType::ToDo => format!("[{}] {text}", if content.checked == Some(true) { 'x' } else { ' ' }),
            BlockType::Quote => format!("> {text}"),
            BlockType::Callout => format!("! {text}"),
            BlockType::Code => format!("code({}) {text}", content.language.as_deref().unwrap_or("")),
            BlockType::TableRow => {
                format!("row {}", content.cells.iter().map(|cell| runs(cell)).collect::<Vec<_>>().join(" | "))
            }
            BlockType::Image => {
                format!("image {} {}", content.url.as_deref().unwrap_or("-"), runs(&content.caption)).trim().to_owned()
            }
            BlockType::Equation => format!("$ {}", content.expression.as_deref().unwrap_or("")),
            other => other.as_str().to_owned(),
        }
    }
    fn lines(blocks: &[DesiredBlock], depth: usize) -> Vec<String> {
        let own = |block: &DesiredBlock| format!("{}{}\n", "  ".repeat(depth), line(&block.content).trim_end());
        blocks.iter().flat_map(|block| [vec![own(block)], lines(&block.children, depth + 1)].concat()).collect()
    }
    lines(blocks, 0).concat()
}

#[track_caller]
fn check(markdown: &str, expected: &[&str]) {
    let blocks = parse(markdown, &|address| address.to_owned());
    let compact = compact(&blocks);
    assert_eq!(compact.lines().collect::<Vec<_>>(), expected, "{markdown}");
}

#[test]
fn paragraphs_headings_and_dividers() {
    check(
        "# One\n\ntext\nmore\n\n## Two {#anchor}\n\n#### Four\n\n---\n",
        &["h1 One", "p text more", "h2 Two", "h3 Four", "divider"],
    );
    check("a  \nb\\\nc", &["p a⏎b⏎c"]);
    check("日本語の\n文章 and\nEnglish", &["p 日本語の文章 and English"]);
    check("한국어\n문장", &["p 한국어 문장"]);
    check("&amp; &lt;tag&gt; &copy;", &["p & <tag> ©"]);
    check("", &[]);
    check("#\n\n- \n\n> \n", &[]);
}

#[test]
fn styles_are_named() {
    check("a **b** *c* ~~d~~ `e`", &["p a **b** _c_ ~~d~~ `e`"]);
    check("**b *both***", &["p **b **_**both**_"]);
}

#[test]
fn links_pictures_and_what_runs_is_no_address() {
    check(
        "[text](https://a.example/x) and <https://b.example>",
        &["p [text](https://a.example/x) and [https://b.example](https://b.example)"],
    );
    check("<me@example.org>", &["p [me@example.org](mailto:me@example.org)"]);
    check("[ref][1]\n\n[1]: /there", &["p [ref](/there)"]);
    check("[no ref]", &["p [no ref]"]);
    check("[x](javascript:alert(1)) [y](JaVa&#9;Script:z)", &["p x y"]);
    check("![A dome](dome.png)", &["image dome.png A dome"]);
    check("![a](a.png)\n![](b.png)", &["image a.png a", "image b.png"]);
    check("[![badge](b.svg)](https://ci.example)", &["image b.svg [badge](https://ci.example)"]);
    check("see ![icon](i.png) here", &["p see icon here"]);
    check("![](data:image/png;base64,AAAA)", &[]);
    check("# ![Logo](l.png) Name", &["h1 Logo Name"]);
}

#[test]
fn lists_nest_and_tasks_are_ticked() {
    check("- a\n  - b\n    1. c\n- d", &["- a", "  - b", "    1 c", "- d"]);
    check("- [ ] open\n- [x] done", &["[ ] open", "[x] done"]);
    check("1. one\n\n   more\n\n   ```sh\n   ls\n   ```\n\n2. two", &["1 one", "  p more", "  code(sh) ls", "1 two"]);
    check("- ```\n  x\n  ```\n  after", &["-", "  code() x", "  p after"]);
}

#[test]
fn quotes_and_alerts() {
    check("> a\n> b\n>\n> c", &["> a b", "  p c"]);
    check("> [!WARNING]\n> Hot **pan**", &["! Hot **pan**"]);
    check("> [!div class=\"x\"]\n> text", &["> [!div class=\"x\"] text"]);
    check(":::note\nKept as text\n:::", &["p :::note Kept as text :::"]);
}

#[test]
fn code_tables_footnotes_and_formulas() {
    check("```rust,ignore\nfn a() {}\n\nfn b() {}\n```", &["code(rust) fn a() {}⏎⏎fn b() {}"]);
    check("    indented", &["code() indented"]);
    check(
        "| a | b |\n|---|---|\n| `1` | **2** |\n| | x |",
        &["table", "  row a | b", "  row `1` | **2**", "  row  | x"],
    );
    check("fact[^1]\n\n[^1]: source\n", &["p fact[1]", "p [1] source"]);
    check("$$\nE = mc^2\n$$", &["$ E = mc^2"]);
    check("costs $5-$10 or $x_1$", &["p costs $5-$10 or $x_1$"]);
}

#[test]
fn raw_html_is_reduced_to_what_is_seen() {
    check("a<br>b <b>c</b> <!-- no --> d", &["p a⏎b c  d"]);
    check("x <script>evil()</script> y", &["p x  y"]);
    check("<a href=\"/u\">link</a> tail", &["p [link](/u) tail"]);
    check("<script>\nevil()\n\nmore()\n</script>\n\nafter", &["p after"]);
    check("<div>\n<p>One &amp; two</p>\n<ul><li>item</li></ul>\n</div>", &["p One & two", "- item"]);
    check(
        "<table><tr><th>a</th><th>b</th></tr><tr><td></td><td><p>x</p><p>y</p></td></tr></table>",
        &["table", "  row a | b", "  row  | x y"],
    );
    check("<aside>\n💡 Mind the gap\n\n</aside>", &["! 💡 Mind the gap"]);
    check("<img src=\"a.png\" alt=\"A > B\">", &["image a.png A > B"]);
    check("<details><summary>More</summary>\n\nhidden *text*\n\n</details>", &["p More", "p hidden _text_"]);
    check("1 < 2 and a<b", &["p 1 < 2 and a<b"]);
}

#[test]
fn the_title_is_taken_once() {
    let title = |markdown: &str, known: Option<&str>| {
        let mut blocks = parse(markdown, &str::to_owned);
        let title = take_title(&mut blocks, known);
        (title, compact(&blocks))
    };
    assert_eq!(title("# T\n\ntext", None), (Some("T".to_owned()), "p text\n".to_owned()));
    assert_eq!(title("intro\n\n# T", None), (Some("T".to_owned()), "p intro\n".to_owned()));
    assert_eq!(title("## T", None), (None, "h2 T\n".to_owned()));
    assert_eq!(title("# T\n\ntext", Some("T")).1, "p text\n");
    assert_eq!(title("# Other\n\n# T", Some("T")).1, "h1 Other\nh1 T\n");
}

#[test]
fn hostile_nesting_is_flattened_in_bounded_time() {
    fn depth(blocks: &[DesiredBlock]) -> usize {
        blocks.iter().map(|block| 1 + depth(&block.children)).max().unwrap_or(0)
    }
    for (open, count) in [("> ", 2_000), ("- ", 2_000), ("1. ", 2_000), ("[", 20_000), ("![", 20_000), ("*a_ ", 20_000)]
    {
        let blocks = parse(&(open.repeat(count) + "text"), &str::to_owned);
        assert!(depth(&blocks) <= NESTING_MAX, "{open}");
        assert!(compact(&blocks).contains("text"), "{open}");
    }
    for html in ["<a", "<a \"", "<a='", "<!--", "&#", "<td>", "<table><tr>", "<a href=x>", "<img alt='"] {
        parse(&("<div>".to_owned() + &html.repeat(50_000)), &str::to_owned);
        parse(&("x ".to_owned() + &html.repeat(5_000)), &str::to_owned);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "(?s).{0,200}") {
        parse(&text, &str::to_owned);
    }

    #[test]
    fn any_mix_of_marks_is_read_without_panic(
        parts in prop::collection::vec(prop::sample::select(&[
            "# ", "\n", "\n\n", "> ", "- ", "1. ", "  ", "    ", "```", "|", "---", "| a | b |\n|---|---|\n", "[x](y)",
            "![a](b)", "[^1]", "[^1]: ", "*", "**", "~~", "`", "<div>", "</div>", "<script>", "<td>", "<a href='", "&amp;",
            "$$", "$", "[ ] ", "word", "語", "\\", "> [!NOTE]\n", "<!--", "-->", "\r\n", "\u{0}",
        ][..]), 0..60),
    ) {
        let blocks = parse(&parts.concat(), &str::to_owned);
        prop_assert!(blocks.iter().all(|block| block.content.kind != BlockType::TableRow));
    }
}
