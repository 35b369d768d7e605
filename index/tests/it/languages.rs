//! Text of five languages in one workspace, found by words as people write them.

use crate::content::{Content, phrase, words};

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
