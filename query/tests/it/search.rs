//! Searching a small workspace: who finds what, in which order, and what a hit shows.

use std::time::Duration;

use access::{Caller, Subject};
use query::config::Config;
use query::deadline::Deadline;
use query::engine::Engine;
use query::error::QueryError;
use schemas::api::search::{Degraded, Facet, Mode, SearchRequest, SearchResponse};
use schemas::api::suggest::Suggestion;
use schemas::ids::{PageId, UserId, WorkspaceId};
use serde_json::json;

use super::harness::{Client, Content, PageSpec, acme, caller, engine};

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

fn asking(query: &str) -> SearchRequest {
    SearchRequest { query: query.into(), ..SearchRequest::default() }
}

async fn search(engine: &Engine, user: &str, request: SearchRequest) -> SearchResponse {
    engine.search(&caller("acme", user), request, soon()).await.unwrap()
}

fn pages(response: &SearchResponse) -> Vec<&str> {
    response.results.iter().map(|hit| hit.page.id.as_str()).collect()
}

/// The words marked in the first hit.
fn marked(response: &SearchResponse) -> Vec<String> {
    let snippet = &response.results[0].snippet;
    let text: Vec<u16> = snippet.text.encode_utf16().collect();
    let piece = |range: &[u32; 2]| String::from_utf16_lossy(&text[range[0] as usize..range[1] as usize]);
    snippet.highlights.iter().map(piece).collect()
}

/// Ids of the pages that a person of `acme` finds, sorted.
async fn found(engine: &Engine, user: &str, query: &str) -> Vec<String> {
    let request = SearchRequest { mode: Mode::Lexical, limit: 100, ..asking(query) };
    let response = search(engine, user, request).await;
    let mut pages: Vec<String> = pages(&response).into_iter().map(str::to_owned).collect();
    pages.sort();
    pages
}

#[tokio::test]
async fn passages_come_one_by_one_to_those_who_may_see_their_page() {
    let content = acme();
    let engine = engine(&content);
    let request = || SearchRequest { mode: Mode::Lexical, ..asking("deploy rollback") };
    let found = engine.search_passages(&caller("acme", "bob"), request(), soon()).await.unwrap();
    assert_eq!(pages(&found).iter().filter(|page| **page == "runbook").count(), 2, "one hit for each passage");
    let mut of_pages = pages(&found);
    of_pages.sort_unstable();
    of_pages.dedup();
    assert_eq!(of_pages, ["handbook", "runbook"], "and none of what only others may see");
    let nobody = engine.search_passages(&caller("acme", "gus"), request(), soon()).await.unwrap();
    assert!(nobody.results.is_empty());
}

#[tokio::test]
async fn each_person_finds_what_they_may_and_nothing_else() {
    let content = acme();
    let engine = engine(&content);
    assert_eq!(found(&engine, "ada", "deploy").await, ["handbook", "plan", "runbook", "secret"]);
    assert_eq!(found(&engine, "bob", "deploy").await, ["handbook", "runbook"]);
    for nobody in ["gus", "eve", "zoe"] {
        assert!(found(&engine, nobody, "deploy").await.is_empty(), "{nobody}");
    }
    let foreign = engine.search(&caller("globex", "bob"), asking("deploy"), soon()).await.unwrap();
    assert!(foreign.results.is_empty());
    let nowhere = engine.search(&caller("nowhere", "bob"), asking("deploy"), soon()).await.unwrap();
    assert!(nowhere.results.is_empty() && nowhere.degraded.is_empty() && !nowhere.has_more);
}

#[tokio::test]
async fn the_trash_is_searched_on_request_by_those_who_can_edit() {
    let content = acme();
    let engine = engine(&content);
    let trash = || SearchRequest { include_trashed: true, mode: Mode::Lexical, ..asking("deploy") };
    let response = search(&engine, "ada", trash()).await;
    assert_eq!(pages(&response), ["drafts"]);
    assert!(response.results[0].page.trashed);
    assert!(search(&engine, "bob", trash()).await.results.is_empty());
}

#[tokio::test]
async fn filters_phrases_and_exclusions_narrow_both_legs() {
    let content = acme();
    let engine = engine(&content);
    for mode in [Mode::Hybrid, Mode::Lexical, Mode::Semantic] {
        let ask = async |user: &str, query: &str| {
            let response = search(&engine, user, SearchRequest { mode, limit: 100, ..asking(query) }).await;
            let mut pages: Vec<String> = pages(&response).into_iter().map(str::to_owned).collect();
            pages.sort();
            pages
        };
        assert_eq!(ask("ada", "deploy type:database").await, Vec::<String>::new(), "{mode:?}: no text");
        assert_eq!(ask("bob", "mirror type:row").await, ["task-1"], "{mode:?}");
        assert_eq!(ask("bob", "mirror tag:URGENT").await, ["task-1"], "{mode:?}");
        assert_eq!(ask("ada", "\"blue green\"").await, ["runbook"], "{mode:?}");
        assert_eq!(ask("bob", "\"green blue\"").await, Vec::<String>::new(), "{mode:?}");
        assert!(!ask("ada", "deploy -lanternfish").await.contains(&"plan".to_owned()), "{mode:?}");
        assert!(ask("ada", "deploy in:secret").await.iter().all(|page| page == "plan" || page == "secret"), "{mode:?}");
        assert_eq!(ask("bob", "deploy in:secret").await, Vec::<String>::new(), "{mode:?}: unseen is absent");
        assert_eq!(ask("bob", "deploy in:absent").await, Vec::<String>::new(), "{mode:?}");
        assert_eq!(ask("bob", "deploy title:runbook").await, ["runbook"], "{mode:?}");
        assert_eq!(ask("bob", "deploy author:ada in:handbook").await, ["handbook"], "{mode:?}");
        assert_eq!(ask("bob", "deploy before:2026-03-02").await, ["handbook"], "{mode:?}");
    }
    assert_eq!(found(&engine, "bob", "deploy after:2026-03-03 before:2026-03-04").await, ["runbook"]);
}

#[tokio::test]
async fn filters_alone_list_the_pages_changed_last_first() {
    let content = acme();
    let engine = engine(&content);
    let response = search(&engine, "ada", asking("-nothing")).await;
    let dated: Vec<_> = response.results.iter().filter_map(|hit| hit.page.edited_at).collect();
    assert!(dated.is_sorted_by(|a, b| a >= b), "{dated:?}");
    assert_eq!(pages(&response)[..3], ["plan", "secret", "task-1"]);
    let rows = search(&engine, "bob", asking("type:row")).await;
    assert_eq!(pages(&rows), ["task-1"]);
    assert_eq!(rows.results[0].snippet.text, "Call the supplier about the mirror coating.");
    assert_eq!(pages(&search(&engine, "bob", asking("")).await).len(), 5);
}

#[tokio::test]
async fn a_hit_shows_the_block_the_words_and_only_readable_ancestors() {
    let mut content = acme();
    content.page(
        "acme",
        "open",
        PageSpec {
            title: "Open sesame",
            text: &["First nothing.", "The lanternfish waits here."],
            grants: &["user:bob:view"],
            parent: Some("plan"),
            ..PageSpec::default()
        },
    );
    content.commit();
    let engine = engine(&content);
    let response = search(&engine, "bob", SearchRequest { mode: Mode::Lexical, ..asking("lanternfish") }).await;
    let hit = &response.results[0];
    assert_eq!(hit.page.id.as_str(), "open");
    assert_eq!(hit.block.as_ref().unwrap().as_str(), "open-1");
    let crumbs: Vec<_> = hit.breadcrumb.iter().map(|crumb| crumb.id.as_str()).collect();
    assert_eq!(crumbs, ["engineering"], "the two restricted pages between are not named");
    assert_eq!(marked(&response), ["lanternfish"]);
    let by_ada = search(&engine, "ada", asking("sesame")).await;
    let crumbs: Vec<_> = by_ada.results[0].breadcrumb.iter().map(|crumb| crumb.id.as_str()).collect();
    assert_eq!(crumbs, ["engineering", "secret", "plan"]);
}

#[tokio::test]
async fn a_page_without_text_is_found_by_its_title() {
    let content = acme();
    let engine = engine(&content);
    let response = search(&engine, "bob", SearchRequest { mode: Mode::Lexical, ..asking("tasks") }).await;
    assert_eq!(pages(&response)[0], "tasks");
    let hit = &response.results[0];
    assert_eq!((hit.snippet.text.as_str(), hit.snippet.highlights.as_slice()), ("Tasks", &[[0, 5]][..]));
}

#[tokio::test]
async fn scores_are_explained_on_request_and_descend() {
    let content = acme();
    let engine = engine(&content);
    let response = search(&engine, "ada", SearchRequest { score_details: true, ..asking("deploy runbook") }).await;
    assert_eq!(pages(&response)[0], "runbook");
    assert!(response.degraded.is_empty());
    let scores: Vec<f32> = response.results.iter().map(|hit| hit.score).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let details = response.results[0].score_details.unwrap();
    assert!(details.bm25_score.is_some() && details.cosine.is_some(), "{details:?}");
    let sum = details.fused_score
        + details.title_boost
        + details.proximity_boost
        + details.recency_boost
        + details.passages_boost
        + details.neighbours_boost;
    assert!((sum - scores[0]).abs() < 1e-5, "{sum} {details:?}");
    assert!(search(&engine, "ada", asking("deploy")).await.results[0].score_details.is_none());
}

#[tokio::test]
async fn facets_count_what_the_caller_can_find() {
    let content = acme();
    let engine = engine(&content);
    let facets = vec![Facet::Type, Facet::Author, Facet::Tag, Facet::In];
    let ask = async |user: &str| {
        search(&engine, user, SearchRequest { facets: facets.clone(), mode: Mode::Lexical, ..asking("deploy mirror") })
            .await
    };
    let counts = |response: &SearchResponse, facet: Facet| -> Vec<(String, u64)> {
        response.facets[&facet].iter().map(|count| (count.value.clone(), count.count)).collect()
    };
    let bob = ask("bob").await;
    assert_eq!(counts(&bob, Facet::Type), [("page".to_owned(), 2), ("row".to_owned(), 1)]);
    assert_eq!(counts(&bob, Facet::Author), [("bob".to_owned(), 2), ("ada".to_owned(), 1)]);
    assert_eq!(counts(&bob, Facet::Tag), [("buy".to_owned(), 1), ("urgent".to_owned(), 1)]);
    assert_eq!(counts(&bob, Facet::In), [("engineering".to_owned(), 2), ("handbook".to_owned(), 1)]);
    assert_eq!(bob.facets[&Facet::In][0].label.as_deref(), Some("Engineering"));
    let ada = ask("ada").await;
    assert_eq!(counts(&ada, Facet::Tag), [("urgent".to_owned(), 2), ("buy".to_owned(), 1)]);
    assert_eq!(counts(&ada, Facet::In)[0], ("engineering".to_owned(), 4));
    assert!(search(&engine, "ada", asking("deploy")).await.facets.is_empty());
}

#[tokio::test]
async fn cursors_go_through_all_pages_once() {
    let mut content = acme();
    for at in 0..25 {
        let id: &'static str = Box::leak(format!("note-{at:02}").into_boxed_str());
        let spec =
            PageSpec { title: id, text: &["A note on deploy."], grants: &["workspace:view"], ..PageSpec::default() };
        content.page("acme", id, spec);
    }
    content.commit();
    let engine = engine(&content);
    for query in ["deploy", ""] {
        let whole = search(&engine, "bob", SearchRequest { limit: 100, ..asking(query) }).await;
        assert!(!whole.has_more && whole.next_cursor.is_none());
        let (mut seen, mut cursor, mut lists) = (Vec::new(), None, 0);
        loop {
            let response =
                search(&engine, "bob", SearchRequest { limit: 7, cursor: cursor.take(), ..asking(query) }).await;
            seen.extend(pages(&response).into_iter().map(str::to_owned));
            lists += 1;
            assert_eq!(response.has_more, response.next_cursor.is_some());
            match response.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, pages(&whole), "{query:?}");
        assert_eq!(lists, seen.len().div_ceil(7));
    }
}

#[tokio::test]
async fn a_cursor_of_someone_else_or_another_query_is_refused() {
    let content = acme();
    let engine = engine(&content);
    let first = search(&engine, "ada", SearchRequest { limit: 1, ..asking("deploy") }).await;
    for (user, query) in [("bob", "deploy"), ("ada", "deploys")] {
        let request = SearchRequest { cursor: first.next_cursor.clone(), ..asking(query) };
        let refused = engine.search(&caller("acme", user), request, soon()).await;
        assert!(matches!(refused, Err(QueryError::InvalidCursor)), "{user} {query}");
    }
}

#[tokio::test]
async fn typos_are_forgiven_when_exact_words_find_too_little() {
    let content = acme();
    let engine = engine(&content);
    let ask = async |query: &str| search(&engine, "bob", SearchRequest { mode: Mode::Lexical, ..asking(query) }).await;
    let forgiven = ask("telescoqe").await;
    assert_eq!(pages(&forgiven), ["runbook"]);
    assert!(forgiven.typos_forgiven);
    assert_eq!(marked(&forgiven), ["telescope"]);
    let exact = ask("telescope").await;
    assert_eq!(pages(&exact), ["runbook"]);
    let beside_a_frequent_word = ask("deploy telescoqe").await;
    assert!(beside_a_frequent_word.typos_forgiven, "{:?}", pages(&beside_a_frequent_word));
    assert_eq!(pages(&beside_a_frequent_word)[0], "runbook");
    let unlike_any_word = ask("deploy xylophonists").await;
    assert!(!unlike_any_word.typos_forgiven && pages(&unlike_any_word).contains(&"runbook"));
    let unseen = ask("lanternfisk").await;
    assert!(unseen.results.is_empty(), "typos lead nobody to what they cannot see");
}

#[tokio::test]
async fn the_last_word_is_a_prefix_while_typing() {
    let content = acme();
    let engine = engine(&content);
    let request = SearchRequest { mode: Mode::Lexical, prefix: true, ..asking("telesc") };
    let response = search(&engine, "bob", request).await;
    assert_eq!(pages(&response), ["runbook"]);
    assert_eq!(marked(&response), ["telescope"]);
}

#[tokio::test]
async fn without_a_model_words_answer_and_the_response_says_so() {
    let content = acme();
    let engine = Engine::new(content.index(), None, Config::default()).unwrap();
    for mode in [Mode::Hybrid, Mode::Semantic] {
        let response = search(&engine, "bob", SearchRequest { mode, ..asking("deploy") }).await;
        assert_eq!(response.degraded, [Degraded::Semantic], "{mode:?}");
        assert!(pages(&response).contains(&"runbook"), "{mode:?}");
    }
    let response = search(&engine, "bob", SearchRequest { mode: Mode::Lexical, ..asking("deploy") }).await;
    assert!(response.degraded.is_empty());
    assert!(!response.semantic_pending);
}

#[tokio::test]
async fn a_revocation_holds_for_the_next_request_before_it_is_committed() {
    let mut content = acme();
    let engine = engine(&content);
    assert!(found(&engine, "bob", "deploy").await.contains(&"runbook".to_owned()));
    content.member("acme", "bob", "removed");
    assert!(found(&engine, "bob", "deploy").await.is_empty());
    let page = PageId::new("runbook").unwrap();
    assert!(matches!(engine.page(&caller("acme", "bob"), &page, soon()).await, Err(QueryError::NotFound)));
}

#[tokio::test]
async fn pages_open_by_id_as_far_as_access_goes() {
    let client = Client::new();
    let page = client.get_as("bob", "/v1/pages/runbook").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.json["page"]["title"], "Deploy runbook");
    let texts: Vec<_> =
        page.json["blocks"].as_array().unwrap().iter().map(|block| block["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Deploy the telescope service in the blue green way.", "A rollback takes one minute."]);
    assert_eq!(page.json["parent"], "engineering");
    let public = client.get("/v1/pages/notice?workspace=acme", &[]).await;
    assert_eq!(public.status, 200, "{}", public.json);
    assert_eq!(client.get("/v1/pages/runbook?workspace=acme", &[]).await.status, 404);
    assert_eq!(client.get("/v1/pages/notice?workspace=globex", &[]).await.status, 404);
    assert_eq!(client.get_as("gus", "/v1/pages/notice").await.status, 200);
    assert!(client.search_as("gus", json!({"query": "blanket"})).await.pages().is_empty(), "public only is not found");
}

#[tokio::test]
async fn suggestions_complete_titles_and_words_of_what_can_be_found() {
    let content = acme();
    let engine = engine(&content);
    let suggest = async |user: &str, typed: &str| {
        let response = engine.suggest(&caller("acme", user), typed, 10, soon()).await.unwrap();
        let show = |suggestion: &Suggestion| match suggestion {
            Suggestion::Page { page, .. } => format!("page {}", page.id),
            Suggestion::Term { text } => format!("term {text}"),
        };
        response.results.iter().map(show).collect::<Vec<_>>()
    };
    assert!(suggest("bob", "run").await.contains(&"page runbook".to_owned()));
    assert!(suggest("bob", "deploy ru").await.contains(&"page runbook".to_owned()));
    assert!(suggest("bob", "tele").await.contains(&"term telescope".to_owned()));
    assert!(suggest("bob", "lant").await.is_empty());
    assert!(suggest("ada", "lant").await.contains(&"page secret".to_owned()));
    assert!(suggest("gus", "run").await.is_empty());
}

#[tokio::test]
async fn similar_pages_are_those_the_caller_can_find_and_never_the_page_itself() {
    let content = acme();
    let similar = async |engine: &Engine, user: &str, page: &str| {
        let response = engine.similar(&caller("acme", user), &PageId::new(page).unwrap(), 10, soon()).await;
        response.map(|response| {
            let pages: Vec<String> = response.results.iter().map(|hit| hit.page.id.to_string()).collect();
            (pages, response.degraded)
        })
    };
    let with_model = engine(&content);
    let (pages, degraded) = similar(&with_model, "ada", "secret").await.unwrap();
    assert!(degraded.is_empty());
    assert_eq!(pages[0], "plan");
    assert!(!pages.contains(&"secret".to_owned()));
    let (pages, _) = similar(&with_model, "bob", "runbook").await.unwrap();
    assert!(!pages.contains(&"secret".to_owned()) && !pages.contains(&"plan".to_owned()), "{pages:?}");
    assert!(matches!(similar(&with_model, "bob", "secret").await, Err(QueryError::NotFound)));
    let (pages, _) = similar(&with_model, "bob", "notice").await.unwrap();
    assert!(!pages.contains(&"notice".to_owned()), "a public page can be compared, not found");
}

#[tokio::test]
async fn access_is_explained_with_its_reasons() {
    let content = acme();
    let engine = engine(&content);
    let asked_by = |asking: Option<&Caller>, user: &str, page: &str| {
        let subject = Subject::User(UserId::new(user).unwrap());
        engine.explain_access(&WorkspaceId::new("acme").unwrap(), asking, &subject, &PageId::new(page).unwrap())
    };
    let explain = |user: &str, page: &str| asked_by(None, user, page);
    let ada = explain("ada", "plan");
    assert!(ada.discover && ada.read && ada.indexed.is_some());
    let bob = explain("bob", "plan");
    assert!(!bob.discover && !bob.read);
    assert!(bob.explanation["sentences"].as_array().is_some_and(|sentences| !sentences.is_empty()));
    let nothing = explain("bob", "absent");
    assert!(!nothing.read && nothing.indexed.is_none());
    // Titles are text of pages: each is told to whoever can read that page.
    let titles = |asking: &str| {
        let explained = asked_by(Some(&caller("acme", asking)), "bob", "plan");
        explained.titles.into_iter().map(|(page, title)| format!("{page}: {title}")).collect::<Vec<_>>()
    };
    assert_eq!(titles("ada"), ["engineering: Engineering", "plan: Deployment plan", "secret: Lanternfish"]);
    assert_eq!(titles("bob"), ["engineering: Engineering"]);
    assert!(ada.titles.is_empty(), "nobody is named who would read them");
    assert!(asked_by(Some(&caller("globex", "eve")), "bob", "plan").titles.is_empty());
}

#[tokio::test]
async fn a_workspace_in_many_scripts_is_found_in_each() {
    let mut content = Content::new();
    content.member("acme", "bob", "member");
    let spec = |text: &'static [&'static str]| PageSpec { text, grants: &["workspace:view"], ..PageSpec::default() };
    content.page("acme", "ja", spec(&["分光器の校正手順について説明します。"]));
    content.page("acme", "emoji", spec(&["😀😀 望遠鏡 works"]));
    content.commit();
    let engine = engine(&content);
    assert_eq!(found(&engine, "bob", "校正").await, ["ja"]);
    let response = search(&engine, "bob", SearchRequest { mode: Mode::Lexical, ..asking("望遠鏡") }).await;
    assert_eq!(response.results[0].snippet.highlights, [[5, 8]]);
}

#[tokio::test]
async fn the_parts_of_a_compound_are_found_and_marked() {
    let mut content = Content::new();
    content.member("acme", "bob", "member");
    let text: &[&str] = &["Der Dampf treibt seit vielen Jahren die Maschine in dem alten Werk am Fluss an."];
    content.page("acme", "steam", PageSpec { text, grants: &["workspace:view"], ..PageSpec::default() });
    content.commit();
    let engine = engine(&content);
    let ask = |prefix| SearchRequest { mode: Mode::Lexical, prefix, ..asking("Dampfmaschinen") };
    assert_eq!(marked(&search(&engine, "bob", ask(false)).await), ["Dampf", "Maschine"]);
    assert!(pages(&search(&engine, "bob", ask(true)).await).is_empty(), "it may become another word");
}

#[tokio::test]
async fn a_page_stays_among_the_suggestions_while_its_title_is_typed_to_the_end() {
    let content = acme();
    let engine = engine(&content);
    for (page, title) in [("task-1", "Order mirror coating"), ("runbook", "Deploy runbook")] {
        for typed in (2..=title.len()).map(|chars| &title[..chars]) {
            let response = engine.suggest(&caller("acme", "bob"), typed, 10, soon()).await.unwrap();
            let first = &response.results[0];
            assert!(matches!(first, Suggestion::Page { page: of, .. } if of.id.as_str() == page), "{typed}: {first:?}");
        }
    }
}
