//! The judgement: what an answer must not hold, and, once all is searchable, what it must.
//!
//! Expectations are worked out by going through all pages, without an index.

use std::collections::{BTreeMap, BTreeSet};

use schemas::api::search::{Facet, Mode, SearchResponse};
use schemas::api::suggest::Suggestion;
use schemas::ids::PageId;

use super::known::{Known, Page};
use super::product::{Place, Product, SHARED_WORDS};
use super::request::{Answer, Body, Request};

/// What the oracle says about one caller.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// Pages that search shows.
    pub finds: BTreeSet<PageId>,
    /// Pages that open by their id.
    pub opens: BTreeSet<PageId>,
    /// Pages that are found in the trash.
    pub in_trash: BTreeSet<PageId>,
}

/// Says what an answer holds that its caller may not see.
///
/// Pages that are listed must be findable; titles may stand in breadcrumbs of all that the caller can open.
pub fn leak(
    products: &[Product],
    asked: &Product,
    verdicts: &Verdicts,
    request: &Request,
    told: &Answer,
) -> Option<String> {
    let none = BTreeSet::new();
    let is_trash = matches!(request, Request::List { trash: true, .. } | Request::Free { trash: true, .. });
    let listed = match request {
        Request::Page(_) | Request::Export { .. } | Request::Generate { .. } => &verdicts.opens,
        _ if is_trash => &verdicts.in_trash,
        _ => &verdicts.finds,
    };
    if let Some(page) = told.pages.difference(listed).next() {
        return Some(format!("{page} is listed"));
    }
    for product in products {
        let is_own = product.workspace == asked.workspace;
        let (listed, readable) = if is_own { (listed, &verdicts.opens) } else { (&none, &none) };
        for (at, page) in product.page_ids().iter().enumerate() {
            if listed.contains(page) {
                continue;
            }
            let own = |place| product.own_word(at, place);
            let of_text = [own(Place::Text), own(Place::Tag), format!("{page}-")];
            let of_title = [own(Place::Title), page.as_str().to_owned()];
            let of_title = of_title.iter().filter(|_| !readable.contains(page));
            if let Some(word) = of_text.iter().chain(of_title).find(|word| told.json.contains(word.as_str())) {
                return Some(format!("{word} of {page} is told"));
            }
        }
    }
    let named = |user: &&schemas::ids::UserId| told.json.contains(&format!("\"{user}\""));
    asked.known().erased_users().iter().find(named).map(|user| format!("{user} is named after being erased"))
}

/// Says what is wrong with an answer once everything delivered is searchable.
pub fn miss(known: &Known, verdicts: &Verdicts, request: &Request, told: &Answer) -> Option<String> {
    let found: BTreeMap<&PageId, &Page> = known.pages().filter(|(page, _)| verdicts.finds.contains(*page)).collect();
    let those = |fits: &dyn Fn(&Page) -> bool| -> BTreeSet<PageId> {
        found.iter().filter(|(_, page)| fits(page)).map(|(id, _)| (*id).clone()).collect()
    };
    let has = |page: &Page, word: &str| page.all_words().contains(word);
    match (request, &told.body) {
        (Request::Words { words, prefix, mode }, Body::Search(body)) => {
            let fits = |page: &Page| match prefix {
                true => words.iter().any(|word| page.all_words().iter().any(|other| other.starts_with(word.as_str()))),
                false => words.iter().any(|word| has(page, word)),
            };
            // Titles have a vector, too.
            let has_vector = |page: &Page| page.has_text() || !page.title_words().is_empty();
            let expected =
                those(&|page| (*mode != Mode::Semantic && fits(page)) || (*mode != Mode::Lexical && has_vector(page)));
            differs(&expected, told).or_else(|| miscount(known, &expected, body))
        }
        (Request::Without { word, without }, Body::Search(body)) => {
            let expected = those(&|page| has(page, word) && !has(page, without));
            differs(&expected, told).or_else(|| miscount(known, &expected, body))
        }
        (Request::Title(word), Body::Search(body)) => {
            let expected = those(&|page| page.title_words().contains(word.as_str()));
            differs(&expected, told).or_else(|| miscount(known, &expected, body))
        }
        (Request::List { tag, trash }, Body::Search(body)) => {
            let listed = if *trash { &verdicts.in_trash } else { &verdicts.finds };
            let tagged = |page: &&PageId| {
                tag.as_ref().is_none_or(|tag| known.page_of(page).is_some_and(|page| page.tags().contains(tag)))
            };
            let expected: BTreeSet<PageId> = listed.iter().filter(tagged).cloned().collect();
            differs(&expected, told).or_else(|| miscount(known, &expected, body))
        }
        (Request::Suggest(typed), Body::Suggest(body)) => {
            let begins = |word: &&str| word.starts_with(typed.as_str());
            let expected = those(&|page| page.title_words().iter().any(begins));
            let words: BTreeSet<&str> =
                found.values().flat_map(|page| page.all_words()).filter(|word| begins(word)).collect();
            let term = |suggestion: &Suggestion| match suggestion {
                Suggestion::Term { text } => Some(text.clone()),
                Suggestion::Page { .. } => None,
            };
            let terms: Vec<String> = body.results.iter().filter_map(term).collect();
            let known_terms = terms.iter().all(|term| words.contains(term.as_str()));
            let is_wrong = !known_terms || terms.len() != words.len().min(5);
            differs(&expected, told).or_else(|| is_wrong.then(|| format!("words {terms:?} of {words:?}")))
        }
        (Request::Similar(page), Body::Similar(_)) if verdicts.opens.contains(page) => {
            let has_text = known.page_of(page).is_some_and(Page::has_text);
            let mut expected = those(&Page::has_text);
            expected.remove(page);
            if has_text { differs(&expected, told) } else { None }
        }
        (Request::Page(page), Body::Page(body)) if verdicts.opens.contains(page) => {
            let mut texts: Vec<&str> = body.blocks.iter().map(|block| block.text.as_str()).collect();
            texts.sort_unstable();
            let expected = known.page_of(page).map(Page::block_texts).unwrap_or_default();
            (texts != expected).then(|| format!("blocks {texts:?} of {expected:?}"))
        }
        (Request::Export { page, .. }, Body::Exported) if verdicts.opens.contains(page) => {
            let texts = known.page_of(page).map(Page::block_texts).unwrap_or_default();
            let missing: Vec<&str> = texts.into_iter().filter(|text| !told.json.contains(text)).collect();
            (!missing.is_empty()).then(|| format!("the file does not say {missing:?}"))
        }
        (Request::Similar(page) | Request::Page(page) | Request::Export { page, .. }, Body::Absent)
            if !verdicts.opens.contains(page) =>
        {
            None
        }
        (Request::Generate { pages, .. }, body) => {
            let asked: BTreeSet<PageId> = pages.iter().cloned().collect();
            match (body, asked.is_subset(&verdicts.opens)) {
                (Body::Generated, true) => differs(&asked, told),
                (Body::Absent, false) => None,
                (_, true) => Some("pages that open make no text".to_owned()),
                (_, false) => Some("a page that does not open makes a text".to_owned()),
            }
        }
        // What is said of a page is looked for where its own word is asked for. A page is a source by its text.
        (Request::Answer { question, .. }, Body::Answer) => {
            let expected = those(&|page| {
                page.block_texts().iter().any(|text| text.split_whitespace().any(|word| word == question))
            });
            let is_own = expected.len() == 1 && !SHARED_WORDS.contains(&question.as_str());
            (is_own && !told.pages.is_superset(&expected)).then(|| format!("{expected:?} is no source"))
        }
        (Request::Free { .. }, Body::Search(_)) => None,
        _ => Some("the wrong kind of answer".to_owned()),
    }
}

fn differs(expected: &BTreeSet<PageId>, told: &Answer) -> Option<String> {
    (told.pages != *expected).then(|| format!("{:?} instead of {expected:?}", told.pages))
}

/// Compares the counts and what a search says of itself.
fn miscount(known: &Known, expected: &BTreeSet<PageId>, body: &SearchResponse) -> Option<String> {
    if body.has_more || body.semantic_pending || !body.degraded.is_empty() {
        return Some(format!("more {}, pending {}, {:?}", body.has_more, body.semantic_pending, body.degraded));
    }
    let pages = || expected.iter().filter_map(|page| known.page_of(page));
    let named =
        |page: &Page| page.author().filter(|user| !known.erased_users().contains(*user)).map(ToString::to_string);
    let tags = |page: &Page| page.tags().to_vec();
    let counts = [
        (Facet::Type, tally(pages().map(|page| page.kind().as_str().to_owned()))),
        (Facet::Author, tally(pages().filter_map(named))),
        (Facet::Tag, tally(pages().flat_map(tags))),
    ];
    counts.into_iter().find_map(|(facet, expected)| {
        let told = body.facets.get(&facet).into_iter().flatten();
        let told: BTreeMap<String, u64> = told.map(|count| (count.value.clone(), count.count)).collect();
        (told != expected).then(|| format!("{facet:?} {told:?} instead of {expected:?}"))
    })
}

fn tally(values: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}
