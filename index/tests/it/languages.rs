//! Text of several languages in one workspace, found by words as people write them.

use index::{LexicalQuery, Occur};

use crate::content::{Content, clause, phrase, words};

fn content() -> Content {
    let mut content = Content::new();
    content.put(
        "acme",
        "en",
        "Travel",
        &["Employees book their journeys with the travel office and keep the receipts."],
    );
    content.put("acme", "de", "Urlaub", &["Die Mitarbeiterinnen und Mitarbeiter beantragen ihren Urlaub rechtzeitig."]);
    content.put("acme", "ja", "休暇", &["有給休暇の申請は、上司の承認を得てから人事部に提出してください。"]);
    content.put("acme", "zh", "报销", &["员工出差回来以后，请在两周之内提交报销单和发票。"]);
    content.put("acme", "ko", "휴가", &["직원은 휴가를 신청하기 전에 팀장의 승인을 받아야 합니다."]);
    content.commit();
    content
}

#[track_caller]
fn check(content: &Content, query: &str, expected: &str) {
    let found = content.found_under(&content.mask("acme"), &words(query));
    assert_eq!(found.first().map(String::as_str), Some(expected), "{query}: {found:?}");
}

#[test]
fn each_language_is_found_by_its_words() {
    let content = content();
    check(&content, "employee receipt", "en");
    check(&content, "Mitarbeiter Urlaub", "de");
    check(&content, "有給休暇", "ja");
    check(&content, "人事部", "ja");
    check(&content, "报销单", "zh");
    check(&content, "发票", "zh");
    check(&content, "휴가 신청", "ko");
    check(&content, "승인을", "ko");
}

#[test]
fn phrases_work_without_spaces() {
    let content = content();
    assert_eq!(content.found(&phrase("上司の承認")), ["ja"]);
    assert_eq!(content.found(&phrase("两周之内")), ["zh"]);
    assert!(content.found(&phrase("之内两周")).is_empty());
    assert_eq!(content.found(&phrase("ihren Urlaub")), ["de"]);
}

#[test]
fn width_and_case_do_not_matter() {
    let mut content = Content::new();
    content.put("acme", "a", "", &["ＡＰＩキーを更新する"]);
    content.put("acme", "b", "", &["Die Straße ist gesperrt"]);
    content.commit();
    assert_eq!(content.found(&words("api")), ["a"]);
    assert_eq!(content.found(&words("STRASSE")), ["b"]);
}

fn machines() -> Content {
    let mut content = Content::new();
    content.put("acme", "steam", "", &["Der Dampf treibt seit vielen Jahren die Räder in den Werken der Stadt an."]);
    content.put("acme", "engine", "", &["Eine Maschine wurde im Bergwerk aufgestellt und von den Arbeitern bedient."]);
    content.put("acme", "wood", "", &["Im Wald wachsen die Bäume langsam, und niemand hat sie je gezählt."]);
    content.commit();
    content
}

#[test]
fn a_compound_is_found_by_the_words_that_it_is_made_of() {
    let content = machines();
    let mut found = content.found(&words("Dampfmaschinen"));
    found.sort();
    assert_eq!(found, ["engine", "steam"]);
    assert_eq!(content.found(&words("Waldgeschichte")).len(), 0, "only one part is known");
    let typed = LexicalQuery { last_word_is_prefix: true, ..words("Dampfmaschine") };
    assert!(content.found(&typed).is_empty(), "it may become another word");
}

#[test]
fn a_compound_is_not_cut_where_itself_is_required_or_excluded() {
    let content = machines();
    let of = |occur| LexicalQuery { clauses: vec![clause(occur, "Dampfmaschine")], ..words("") };
    assert!(content.found(&of(Occur::Must)).is_empty());
    let mut without = of(Occur::MustNot);
    without.clauses.extend(words("Dampf").clauses);
    assert_eq!(content.found(&without), ["steam"]);
}

#[test]
fn where_a_compound_is_cut_is_told_by_visible_pages_alone() {
    let content = machines();
    for seen in ["steam", "engine"] {
        let mask = content.only("acme", &[seen, "wood"]);
        assert!(content.found_under(&mask, &words("Dampfmaschine")).is_empty());
    }
    assert_eq!(content.found_under(&content.only("acme", &["steam", "engine"]), &words("Dampfmaschine")).len(), 2);
}

#[test]
fn however_many_hidden_pages_hold_a_part_the_visible_ones_are_asked() {
    let mut content = Content::new();
    for at in 0..4_200 {
        content.put(
            "acme",
            &format!("hidden-{at}"),
            "",
            &["The word Dampf is on a page in English that is hidden from the caller."],
        );
    }
    content.put(
        "acme",
        "both",
        "",
        &["Der Dampf treibt die Maschine, und die Arbeiter bedienen sie seit vielen Jahren."],
    );
    content.commit();
    assert_eq!(content.found_under(&content.only("acme", &["both"]), &words("Dampfmaschine")), ["both"]);
}

#[test]
fn a_word_is_not_cut_by_pages_in_languages_without_compounds() {
    let mut content = machines();
    content.put("acme", "desk", "", &["The work of the week is listed on the board at the end of the hall."]);
    content.put("acme", "moon", "", &["There is more space between the planets than anybody thinks there is."]);
    content.commit();
    assert!(content.found(&words("workspace")).is_empty());
    assert_eq!(content.found(&words("Dampfmaschine")).len(), 2);
}
