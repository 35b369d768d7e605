use super::*;

fn property(name: &str, kind: PropertyKind, options: &[&str]) -> PropertySpec {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    PropertySpec { name: name.to_owned(), kind, options, description: None }
}

fn words(text: &str) -> BTreeSet<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What is found in sentences, and in which.
fn found(property: &PropertySpec, sentences: &[&str]) -> Option<(String, usize)> {
    let terms: Vec<BTreeSet<String>> = sentences.iter().map(|text| words(text)).collect();
    let found = find(property, &words(&property.name), sentences.iter().copied().zip(&terms));
    found.map(|(value, at)| (shown(&value), at))
}

#[track_caller]
fn check(property: &PropertySpec, sentences: &[&str], expected: Option<(&str, usize)>) {
    assert_eq!(found(property, sentences), expected.map(|(value, at)| (value.to_owned(), at)), "{sentences:?}");
}

#[test]
fn what_a_model_wrote_is_of_the_type_or_nothing() {
    let select = property("Status", PropertyKind::Select, &["In progress", "Done"]);
    assert_eq!(read(" \"in  Progress\". ", &select), Some(FilledValue::Select("In progress".to_owned())));
    assert_eq!(read("Status: done", &select), Some(FilledValue::Select("Done".to_owned())));
    assert_eq!(read("Finished", &select), None);
    let date = property("Due", PropertyKind::Date, &[]);
    assert_eq!(read("2026-03-01", &date).map(|value| shown(&value)).as_deref(), Some("2026-03-01"));
    for wrong in ["1 March 2026", "2026-02-30", "2026", "2026-03-01 or later"] {
        assert_eq!(read(wrong, &date), None, "{wrong}");
    }
    let number = property("Budget", PropertyKind::Number, &[]);
    assert_eq!(read("-1500.5", &number), Some(FilledValue::Number(-1500.5)));
    for wrong in ["1,500", "inf", "NaN", "12 euros", "", "1e999"] {
        assert_eq!(read(wrong, &number), None, "{wrong}");
    }
    let text = property("Owner", PropertyKind::Text, &[]);
    assert_eq!(read("Owner: Ada L.", &text), Some(FilledValue::Text("Ada L.".to_owned())));
    assert_eq!(read("  ", &text), None);
    assert_eq!(read(&"x".repeat(2_001), &text), None);
}

#[test]
fn an_option_is_read_whatever_signs_it_has() {
    let options =
        ["⚠️ At risk", "👩‍💻 Dev", "⭐⭐⭐", "🔴", "[1] Low", "À faire !", "next.js/react", "Ends. [2]", "<source> x"];
    let select = property("Status", PropertyKind::Select, &options);
    let chosen = |written: &str| read(written, &select).map(|value| shown(&value));
    for option in options {
        for written in [
            option.to_owned(),
            format!(" \"{option}\"."),
            format!("{option} [1]."),
            format!("{option}. [2][3]"),
            format!("**Status**: {option}"),
            format!("`{}`", option.to_lowercase()),
            for_prompt(option),
            for_prompt(option).replace(' ', "\u{a0}"),
        ] {
            assert_eq!(chosen(&written).as_deref(), Some(option), "{written}");
        }
    }
    assert_eq!(chosen("À faire!").as_deref(), Some("À faire !"));
    for written in
        ["", "[1]", ".", "⭐⭐", "At", "At risk", "Low", "\u{fe0f}", &"[1]".repeat(5_000), &".".repeat(10_000)]
    {
        assert_eq!(chosen(written), None, "{written}");
    }
    // The one that is written out goes before the one that a model is told alike.
    let alike = property("Level", PropertyKind::Select, &["[1] Low", "(1) Low", "a b", "ab", "\u{200b}"]);
    for (written, expected) in [("[1] Low", 0), ("(1) low", 1), ("a b", 2), ("AB", 3)] {
        let value = read(written, &alike).map(|value| shown(&value));
        assert_eq!(value.as_deref(), Some(alike.options[expected].as_str()), "{written}");
    }
}

#[test]
fn what_a_model_says_of_a_value_that_is_not_there_is_none() {
    let owner = property("Owner", PropertyKind::Text, &[]);
    for written in [
        "NOT_FOUND",
        "`NOT_FOUND`",
        "**NOT_FOUND**.",
        "- NOT_FOUND",
        "Owner: NOT_FOUND",
        "**Owner:** `NOT_FOUND`",
        "NOT_FOUND: no owner is named",
        "**NOT_FOUND** \u{2014} no owner is named",
        "Owner: NOT_FOUND (nobody is named)",
        "NOT_FOUND\n\nNobody is named.",
    ] {
        assert!(is_lacking(written, &owner), "{written}");
    }
    for written in
        ["Ada", "Owner: Ada", "NOT_FOUND means 404", "NOT_FOUND.html", "Owner of NOT_FOUND", "", "NOT_FOUNDED: x"]
    {
        assert!(!is_lacking(written, &owner), "{written}");
    }
}

#[test]
fn a_value_is_taken_only_where_one_sentence_is_sure_and_none_contradicts() {
    let due = property("Due date", PropertyKind::Date, &[]);
    check(&due, &["It began on 2026-01-01.", "The due date is 3 March 2026."], Some(("2026-03-03", 1)));
    check(&due, &["Due date: March 3rd, 2026.", "The due date stays 2026-03-03."], Some(("2026-03-03", 0)));
    check(&due, &["Due date: 2026-03-03.", "The due date moved to 2026-04-01."], None);
    check(&due, &["The due date is 2026-03-03 or 2026-03-04."], None);
    check(&due, &["The due date is open.", "Lunch is on 2026-03-03."], None);
    let budget = property("Budget", PropertyKind::Number, &[]);
    check(&budget, &["The budget is 12,500 euros."], Some(("12500", 0)));
    check(&budget, &["Budget | 2.5"], Some(("2.5", 0)));
    check(&budget, &["The budget of 2026 is 12500."], None);
    check(&budget, &["The budget is 1.500 euros."], None);
    check(&budget, &["The budget is 12k."], None);
    let owner = property("Owner", PropertyKind::Text, &[]);
    check(&owner, &["The owner is Ada.", "- Owner: Bob and Eve"], Some(("Bob and Eve", 1)));
    check(&owner, &["The owner is Ada."], None);
}

#[test]
fn an_option_must_stand_alone_and_not_be_turned_around() {
    let status = property("Status", PropertyKind::Select, &["Open", "Done", "Not done"]);
    check(&status, &["Status: Done."], Some(("Done", 0)));
    check(&status, &["The status is not done."], Some(("Not done", 0)));
    check(&status, &["The status is not open."], None);
    check(&status, &["The status isn't open."], None);
    check(&status, &["The status was open and is done."], None);
    check(&status, &["The status of the opening: undone."], None);
    check(&status, &["The door is open."], None);
}
