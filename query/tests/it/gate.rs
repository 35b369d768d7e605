//! The last check: what was retrieved under a mask that has grown old does not get out.

use access::Purpose;
use index::{Clause, ClauseKind, Field, LexicalQuery, Occur};
use query::gate::{Dropped, Gate, Held, PageUrl};
use schemas::ids::WorkspaceId;

use super::harness::{Content, PageSpec, acme, caller};

/// What bob finds by a word, as the passages' texts held back, under a mask taken before `meanwhile`.
fn let_out_after(meanwhile: impl FnOnce(&mut Content)) -> (Vec<String>, u64) {
    let mut content = acme();
    let index = content.index();
    let workspace = index.catalog().get(&WorkspaceId::new("acme").unwrap()).unwrap();
    let bob = caller("acme", "bob");
    let mask = workspace.read().access.mask(&bob, Purpose::Discover);
    let clause = Clause { occur: Occur::Must, field: Field::All, kind: ClauseKind::Words("telescope".into()) };
    let query = LexicalQuery { clauses: vec![clause], ..LexicalQuery::default() };
    let searcher = index.searcher();
    let found = searcher.lexical(&mask, &query, 10).unwrap();
    let held = found.iter().map(|candidate| {
        let (page, passage) = searcher.passage(&mask, candidate.address).unwrap().unwrap();
        Held::new(page, passage.text)
    });
    let held: Vec<_> = held.collect();
    meanwhile(&mut content);
    let (url, dropped) = (PageUrl::default(), Dropped::default());
    let gate = Gate::open(&workspace, &bob, Purpose::Discover, &url, &dropped);
    let out = held.into_iter().filter_map(|held| gate.permit(held.page()).and_then(|permit| held.let_out(permit)));
    (out.collect(), dropped.count())
}

#[test]
fn what_is_still_allowed_gets_out() {
    let (texts, dropped) = let_out_after(|_| {});
    assert_eq!(texts, ["Deploy the telescope service in the blue green way."]);
    assert_eq!(dropped, 0);
}

#[test]
fn what_was_taken_away_during_the_search_is_dropped_and_counted() {
    for (change, role) in [("role", "removed"), ("role", "guest")] {
        let (texts, dropped) = let_out_after(|content| content.member("acme", "bob", role));
        assert_eq!((texts.len(), dropped), (0, 1), "{change} {role}");
    }
    let runbook = PageSpec { title: "Deploy runbook", parent: Some("engineering"), ..PageSpec::default() };
    for (what, spec) in [
        ("restricted", PageSpec { restricted: true, ..runbook }),
        ("trashed", PageSpec { trashed: true, ..runbook }),
        ("moved", PageSpec { parent: Some("secret"), ..runbook }),
        ("orphaned", PageSpec { parent: Some("gone"), ..runbook }),
    ] {
        // Not committed: it holds all the same.
        let (texts, dropped) = let_out_after(|content| content.page("acme", "runbook", spec));
        assert_eq!((texts.len(), dropped), (0, 1), "{what}");
    }
}

#[test]
fn addresses_of_pages_are_made_as_the_product_says() {
    let content = acme();
    let workspace = content.index().catalog().get(&WorkspaceId::new("acme").unwrap()).unwrap();
    let (url, dropped) = (PageUrl("https://app.example/{workspace}/{page}".into()), Dropped::default());
    let gate = Gate::open(&workspace, &caller("acme", "bob"), Purpose::Discover, &url, &dropped);
    let page = workspace.read().access.ordinal_of(&"runbook".parse().unwrap()).unwrap();
    let address = gate.permit(page).unwrap().summary().url;
    assert_eq!(address.as_deref(), Some("https://app.example/acme/runbook"));
}
