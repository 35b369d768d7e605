use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};
use schemas::block::BlockType;
use schemas::ids::{BlockId, RegionId};
use schemas::version::{Timestamp, VectorClock, Version};

use super::super::source::SourceTextBlock;
use super::*;

fn source(page: &str, blocks: &[&str]) -> Readable {
    let region = RegionId::new("r").unwrap();
    let version = Version { clock: VectorClock::of(&region, 1), timestamp: Timestamp::default(), region };
    let block = |(at, text): (usize, &&str)| SourceTextBlock {
        block: BlockId::new(format!("{page}-{at}")).unwrap(),
        kind: BlockType::Paragraph,
        version: version.clone(),
        offset: 0,
        text: (*text).to_owned(),
        language: Language::English,
        after_gap: false,
        done: false,
    };
    let text = SourceText { blocks: blocks.iter().enumerate().map(block).collect(), ..SourceText::default() };
    Readable { page: PageId::new(page).unwrap(), text }
}

fn sources() -> Vec<Readable> {
    vec![
        source(
            "domes",
            &["Domes are steel.", "The interlock closes the domes above 90 percent. It opens them at dusk."],
        ),
        source("lunch", &["Lunch is at noon."]),
    ]
}

fn no_pages(_: &str) -> Option<String> {
    None
}

/// What a model wrote in pieces of so many characters, once it is closed.
fn written(text: &str, chars: usize) -> Writing {
    let mut writing = Writing::new(sources(), Language::English);
    let pieces: Vec<char> = text.chars().collect();
    for piece in pieces.chunks(chars) {
        writing.push(&piece.iter().collect::<String>(), &no_pages);
    }
    writing.finish(&no_pages);
    writing
}

#[test]
fn a_marker_leads_to_the_sentence_of_its_source_that_says_so() {
    for chars in [1, 3, 500] {
        let writing = written(
            "Above 90 percent the interlock closes domes [1]. Lunch is at noon.[2] Penguins dance [1]. No one knows.",
            chars,
        );
        let told: Vec<(&str, &[u32], bool)> =
            writing.sentences().iter().map(|of| (of.text.as_str(), &of.citations[..], of.supported)).collect();
        assert_eq!(
            told,
            [
                ("Above 90 percent the interlock closes domes.", &[0][..], true),
                ("Lunch is at noon.", &[1], true),
                ("Penguins dance.", &[], false),
                ("No one knows.", &[], false)
            ]
        );
        let citation = writing.citation(0);
        assert_eq!((citation.block.as_str(), citation.range), ("domes-1", [0, 48]));
        assert_eq!(citation.text, "The interlock closes the domes above 90 percent.");
        assert_eq!(writing.citation(1).page.as_str(), "lunch");
    }
}

#[test]
fn a_marker_that_no_word_leads_on_from_cites_no_place_until_meaning_finds_one() {
    let mut writing = written("Domes are steel [1]. Penguins dance in the sun on all days [1][2].", 5);
    assert_eq!((writing.sentences()[0].citations.len(), writing.sentences()[1].citations.len()), (1, 0));
    assert_eq!(writing.places(0), []);
    let places = writing.places(1);
    let texts: Vec<&str> = places.iter().map(|place| place.text.as_str()).collect();
    let closes = "The interlock closes the domes above 90 percent.";
    assert_eq!(texts, ["Domes are steel.", closes, "It opens them at dusk.", "Lunch is at noon."]);
    assert_eq!(writing.place(1, places[3].clone()), Written::Cited(1, 1));
    assert_eq!((writing.citation(1).page.as_str(), &*writing.citation(1).text), ("lunch", "Lunch is at noon."));
    let left: Vec<String> = writing.places(1).into_iter().map(|place| place.text).collect();
    assert_eq!(left, texts[..3], "the other source has a place now");
}

#[test]
fn only_an_answer_in_the_language_of_the_question_and_not_of_its_sources_is_foreign() {
    let german = "Die Kuppeln werden nach der Nacht wieder von Hand geschlossen, weil der Wind es so will";
    let (asked, english) = ("Wann werden die Kuppeln wieder geschlossen?", "When are the domes closed again?");
    let is_foreign = |text: &str, question: &str| written(text, 7).is_foreign(question);
    assert!(is_foreign(&format!("{german} [1]."), asked));
    assert!(!is_foreign(&format!("{german}."), asked), "no marker names a source");
    assert!(!is_foreign(&format!("{german} [7]."), asked), "that is no source");
    assert!(!is_foreign(&format!("{german} [1]."), english), "nobody asked in German");
    assert!(!is_foreign("Penguins dance in the sun on all of the days [1].", asked));
    assert!(!is_foreign("Pinguine [1].", asked), "too short to tell");
    assert!(!is_foreign(&format!("{german} [1]."), "Kuppeln?"), "too short to tell");
}

#[test]
fn a_marker_to_nothing_is_dropped_and_counted() {
    let writing = written("So it is [3][0][1][99].", 2);
    assert_eq!(writing.shown(), "So it is [1].");
    assert_eq!(writing.dropped().0, 3);
}

#[test]
fn a_quoted_sentence_cites_its_own_place_and_forges_nothing() {
    let mut writing = Writing::new(
        vec![source("a", &["First. Domes [7] close [here](https://evil.example) at dusk."])],
        Language::English,
    );
    let span = writing.sources()[0].text.sentences()[1].clone();
    let out = writing.quote("", 0, span, &no_pages);
    assert_eq!(out, [Written::Delta("Domes (7) close here at dusk. [1]".to_owned()), Written::Cited(0, 0)]);
    assert!(writing.sentences()[0].supported);
    assert_eq!(writing.citation(0).range, [7, 60]);
}

const PAGE: &str = "https://app.example/p1";

fn own_page(address: &str) -> Option<String> {
    (address == PAGE).then(|| address.to_owned())
}

/// What a text may not show, as a Markdown parser and as a client that finds addresses in it reads it.
fn reaches_out(text: &str) -> Option<String> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    for event in Parser::new_ext(text, options) {
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => return Some(format!("an image of {dest_url}")),
            Event::Start(Tag::Link { dest_url, .. }) if &*dest_url != PAGE => {
                return Some(format!("a link to {dest_url}"));
            }
            Event::Html(html) | Event::InlineHtml(html) if is_element(&html) => {
                return Some(format!("an element {html}"));
            }
            _ => {}
        }
    }
    let lower = text.to_lowercase().replace(PAGE, "");
    let is_web = lower.match_indices("www.").any(|(at, _)| lower[at + 4..].starts_with(char::is_alphanumeric));
    (is_web || lower.contains("://") || lower.contains("&#")).then(|| "an address".to_owned())
}

/// Attacks that are made of these parts.
fn attack() -> impl Strategy<Value = String> {
    let parts = "<i =>¦<b>¦<¦>¦http¦:¦/¦//¦evil.example¦evil.example/x¦www¦.¦[99]¦[1]¦[2]¦[t]¦[¦]¦(¦)¦!¦\\¦ ¦\n¦\n\n¦&¦#58;¦script¦x¦。¦秘¦*\
                 ¦`¦\"¦[t](x)¦[](x)¦[t](¦](¦https://app.example/p1¦[p](https://app.example/p1)¦> ¦- ";
    let parts: Vec<&str> = parts.split('¦').collect();
    proptest::collection::vec(proptest::sample::select(parts), 0..16).prop_map(|parts| parts.concat())
}

/// Whether there is an element with attributes, or one that runs something. Its name ends as HTML says: at a space, `/` or `>`.
fn is_element(html: &str) -> bool {
    html.split('<').skip(1).any(|tag| {
        let tag = tag.split_once('>').map_or("", |(tag, _)| tag);
        let name = tag.strip_prefix('/').unwrap_or(tag);
        let name = name.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or("");
        tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
            && (tag.contains(['=', ':']) || name.eq_ignore_ascii_case("script"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_that_is_shown_reaches_elsewhere(text in attack(), chars in 1usize..9) {
        let mut writing = Writing::new(sources(), Language::English);
        let pieces: Vec<char> = text.chars().collect();
        for piece in pieces.chunks(chars) {
            writing.push(&piece.iter().collect::<String>(), &own_page);
        }
        writing.finish(&own_page);
        prop_assert_eq!(reaches_out(writing.shown()), None, "{}", writing.shown());
        for sentence in writing.sentences() {
            prop_assert_eq!(reaches_out(&sentence.text), None, "{}", &sentence.text);
        }
    }

    #[test]
    fn nothing_that_is_quoted_reaches_elsewhere(text in attack()) {
        let mut writing = Writing::new(vec![source("a", &[&text])], Language::English);
        for span in writing.sources()[0].text.sentences() {
            writing.quote(" ", 0, span, &own_page);
        }
        prop_assert_eq!(reaches_out(writing.shown()), None, "{}", writing.shown());
        for sentence in writing.sentences() {
            prop_assert_eq!(reaches_out(&sentence.text), None, "{}", &sentence.text);
        }
    }
}

#[test]
fn markers_and_signs_between_harmless_parts_make_no_address_of_a_sentence() {
    for text in
        ["Go to http:[1]/[1]/evil.example[2]/x [1].", "Go to www[1].evil.example [1].", "Go to www .evil.example [1]."]
    {
        let writing = written(text, 3);
        assert_eq!(reaches_out(&writing.sentences()[0].text), None, "{}", writing.sentences()[0].text);
    }
    assert_eq!(written("So it is [1] , and so [2] .", 3).sentences()[0].text, "So it is, and so.");
}
