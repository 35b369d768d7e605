use super::*;
use proptest::prelude::*;

fn page_link(target: &str) -> Option<String> {
    (target == "https://app.example/p1").then(|| target.to_owned())
}

/// What comes out of a text that comes in pieces of so many characters, markers as `{1}` up to 50.
fn read(text: &str, chars: usize) -> String {
    let mut scanner = Scanner::new(50);
    let pieces: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    for piece in pieces.chunks(chars) {
        out.extend(scanner.push(&piece.iter().collect::<String>(), &page_link));
    }
    out.extend(scanner.finish(&page_link));
    let shown = out.into_iter().map(|out| match out {
        Out::Text(text) => text,
        Out::Marker(number) => format!("{{{number}}}"),
    });
    shown.collect()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    for chars in [1, 2, 3, 1000] {
        assert_eq!(read(text, chars), expected, "in pieces of {chars}");
    }
}

#[test]
fn markers_are_found_however_they_are_split() {
    check("It is so [1].", "It is so {1}.");
    check("Both [1, 2][3] hold.", "Both {1}{2}{3} hold.");
    check("Up to [12]", "Up to {12}");
    check("[^4] and [a1] and []", "{4} and [a1] and []");
    check("望遠鏡です[2]。", "望遠鏡です{2}。");
    check("[1](https://evil.example/x)", "{1}");
    check("[1]: https://evil.example/x", "{1} : (link removed)");
    check("[[1]](//evil.example)", "{1}");
}

#[test]
fn links_go_but_to_pages_of_the_workspace() {
    check("See [the page](https://app.example/p1).", "See [the page](https://app.example/p1).");
    check("At https://app.example/p1.", "At https://app.example/p1.");
    check("See [this](https://evil.example/?q=secret).", "See this.");
    check("See [this](<javascript:alert(1)> \"title\").", "See this.");
    check("[a [b](https://evil.example) c](//evil.example/x)", "a b c");
    check("[text][ref]\n\n[ref]: //evil.example/x", "text [ref]\n\n[ref] : (link removed)");
    check("https://evil.example/a www.evil.example evil.example/a?b", "(link removed) (link removed) (link removed)");
    check("https:\\/\\/evil.example h&#116;tps&colon;//evil.example", "(link removed) (link removed)");
    check("mailto:a@evil.example <https://evil.example>", "(link removed) ");
    check("a\u{200b}b ht\u{200b}tps://evil.example", "ab (link removed)");
}

#[test]
fn a_host_with_a_path_is_a_link_wherever_it_stands_in_a_word() {
    for word in [
        "see:evil.example/x",
        "x=evil.example/x",
        "(evil.example:8080",
        "/evil.example/x",
        "_evil.example/x_",
        "evil.example./x",
        "a@evil.example/x",
        "пример.xn--p1ai/x",
    ] {
        check(word, REMOVED);
    }
    check("evil.example/秘密", "(link removed) 秘密");
    check("写到 a@app.example 或 evil.example", "写到 a@app.example 或 evil.example");
}

#[test]
fn what_was_removed_leaves_its_sides_apart() {
    check("!<i =>[t]<i =>(/<i =>/evil.example/x)", "! [t] (/ (link removed)");
    check("(http<i =>:<i =>/<i =>/evil.example/x)", "(http : / (link removed)");
    check("[1]<i =>: //evil.example/x", "{1} : (link removed)");
    check(
        "http:[99]/[99]/evil.example[99]/x",
        "http: / (link removed)".replace("(link removed)", "/evil.example /x").as_str(),
    );
    check("www[99].x.evil.example", "www .x.evil.example");
    check("<[99]script>alert(1)</script>", "< script>alert(1)");
    check("http:/[/evil.example](x)", "http:/ /evil.example");
    check("http:/[/evil.example][x]", "http:/ /evil.example [x]");
    check("&<i =>#58;", "& #58;");
    check("[1](x)(/y)", "{1} (/y)");
    check("x![y]z", "x z");
    let long = format!("{}x(http:/", "x/".repeat(996));
    check(&format!("{long}/evil.example/x"), &format!("{long} (link removed)"));
    // Where nothing can join, no space is put in.
    check("See ([this](https://evil.example/x)), (at [99]) or [here](x).", "See (this), (at ) or here.");
    check("これは[こちら](https://evil.example)。", "これはこちら。");
}

#[test]
fn a_bracket_that_opens_nothing_stays_so_behind_a_backslash() {
    check("[x", "\\[x");
    check("\\[x", "\\[x");
    check("\\\\[x", "\\\\\\[x");
}

#[test]
fn images_and_elements_go() {
    check("x ![alt](https://evil.example/i.png) y", "x  y");
    check("x ![alt](https://app.example/p1) y", "x  y");
    check("![a][b] !", " !".trim_start_matches(' ').replace('!', "[b] !").as_str());
    check("<img src=x onerror=alert(1)>ok</img>", "ok");
    check("<script>alert(1)</script>", "alert(1)");
    check("<svg/onload=x>", "");
    check("<b>bold</b> <example> 1 < 2 > 1", "<b>bold</b> <example> 1 < 2 > 1");
    check(
        "<img src=\"https://evil.example/",
        "&lt;img src=\"https://evil.example/".replace("src=\"https://evil.example/", REMOVED).as_str(),
    );
}

#[test]
fn ordinary_text_stays() {
    for text in [
        "The rate is 50/60 and/or e.g. v1.2/x, src/main.rs, a: b.",
        "Write `fn main() {}` at 12:30. Who? Me!",
        "data: 4, tel: none",
        "**Note:** item [optional] (see below)",
        "1. one\n2. two\n",
        "Look at src/main.rs:12, my_file.rs:3 and page.md.",
    ] {
        check(text, text);
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut scanner = Scanner::default();
    for begin in ["[", "[x](", "<img ", "https://"] {
        scanner.push(begin, &page_link);
        for _ in 0..20 {
            scanner.push(&"y".repeat(500), &page_link);
            assert!(scanner.pending.len() <= 6_000, "{begin} {}", scanner.pending.len());
        }
        scanner.finish(&page_link);
        assert_eq!(scanner.pending, "");
    }
    let open = format!("[{}](https://evil.example)", "y ".repeat(2_000));
    assert!(!read(&open, 7).contains("evil"));
}

proptest! {
    #[test]
    fn no_pieces_let_more_out_than_the_whole(text in "[a\\[\\]()<>!1:/. \\n]{0,60}", chars in 1usize..9) {
        prop_assert_eq!(read(&text, chars), read(&text, 1000));
    }

    #[test]
    fn nothing_comes_out_that_reaches_elsewhere(text in "([\\[\\]()<>!\\\\: \\n]|https://evil.example/x|1|a){0,30}", chars in 1usize..9) {
        let out = read(&text, chars);
        prop_assert!(!out.contains("evil.example"), "{}", out);
    }

    #[test]
    fn what_came_out_stays_as_it_is(text in "([\\[\\]()<>!\\\\:/&;. \\n]|<i =>|http|evil\\.example/x|www|1|a|。){0,30}") {
        let shown = read(&text, 1000).replace('{', "[").replace('}', "]");
        let again = read(&shown, 1000).replace('{', "[").replace('}', "]");
        prop_assert_eq!(again, shown);
    }
}
