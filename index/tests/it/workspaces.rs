//! Workspaces in one index know nothing of each other.

use index::OpenMode;

use crate::content::{Content, page, phrase, query_vector, words, workspace};

#[test]
fn two_workspaces_never_meet() {
    let mut content = Content::new();
    content.put("acme", "a", "Plan", &["harbour plans for acme"]);
    content.put("globex", "a", "Plan", &["harbour plans for globex", "harbourmaster of globex"]);
    content.commit();
    let (acme, globex) = (content.mask("acme"), content.mask("globex"));
    let searcher = content.index.searcher();
    for (mask, own) in [(&acme, "acme"), (&globex, "globex")] {
        assert_eq!(content.found_under(mask, &words("harbour")), ["a"]);
        for found in searcher.lexical(mask, &words("harbour plans"), 10).unwrap() {
            assert!(searcher.passage(mask, found.address).unwrap().unwrap().1.text.contains(own));
        }
        for found in searcher.semantic(mask, &query_vector("harbour"), 10).unwrap() {
            assert!(searcher.passage(mask, found.address).unwrap().unwrap().1.text.contains(own));
        }
    }
    assert!(content.found_under(&acme, &words("globex")).is_empty());
    assert!(content.found_under(&acme, &phrase("for globex")).is_empty());
    assert_eq!(searcher.suggest_terms(&acme, "har", 5).unwrap(), ["harbour"]);
    assert_eq!(searcher.suggest_terms(&globex, "har", 5).unwrap(), ["harbour", "harbourmaster"]);
    for found in searcher.lexical(&globex, &words("harbour"), 10).unwrap() {
        assert!(searcher.passage(&acme, found.address).unwrap().is_none());
    }
}

#[test]
fn scores_do_not_change_with_what_other_workspaces_write() {
    let mut content = Content::new();
    content.put("acme", "a", "Plan", &["harbour plans and more"]);
    content.put("acme", "b", "List", &["lantern list and less"]);
    content.commit();
    let mask = content.mask("acme");
    let scores = |content: &Content| -> Vec<f32> {
        let found = content.index.searcher().lexical(&mask, &words("harbour list"), 10).unwrap();
        found.into_iter().map(|found| found.score).collect()
    };
    let before = scores(&content);
    assert_eq!(before.len(), 2);
    for at in 0..50 {
        content.put("globex", &format!("p{at}"), "harbour", &["harbour harbour list of a very long kind of text"]);
    }
    content.commit();
    assert_eq!(scores(&content), before);
}

#[test]
fn an_erased_workspace_is_gone_for_good_and_its_neighbour_stays() {
    let mut content = Content::new();
    content.put("acme", "a", "Plan", &["harbour plans"]);
    content.put("globex", "z", "Plan", &["harbour plans"]);
    content.commit();
    let number = content.number("acme");
    content.writer.erase_workspace(number).unwrap();
    content.index.catalog().get(&workspace("acme")).unwrap().write().erase();
    content.commit();
    let content = content.reopened();
    let acme = content.index.catalog().get(&workspace("acme")).unwrap();
    assert!(acme.read().erased);
    assert_eq!((acme.read().heads().count(), acme.read().stats().passages), (0, 0));
    assert_eq!(content.writer.page_record(number, &page("a")).unwrap(), None);
    assert_eq!(content.found_under(&content.mask("globex"), &words("harbour")), ["z"]);
}

#[test]
fn an_index_opened_to_read_serves_the_same_and_gives_no_writer() {
    let mut content = Content::new();
    content.put("acme", "a", "Plan", &["harbour plans"]);
    content.commit();
    let reader = index::Index::open(&content.config, OpenMode::ReadOnly).unwrap();
    assert!(reader.writer().is_err());
    let mask = crate::content::mask_in(&reader, "acme");
    assert_eq!(reader.searcher().lexical(&mask, &words("harbour"), 10).unwrap().len(), 1);
    content.put("acme", "b", "Plan", &["harbour again"]);
    content.commit();
    assert_eq!(reader.searcher().index_seq(), 1, "a snapshot stays until the next reload");
    reader.reload().unwrap();
    assert_eq!(reader.searcher().index_seq(), 2);
}
