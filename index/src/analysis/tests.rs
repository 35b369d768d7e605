//! Tokens by example: what each script and each trap of spelling becomes.

use std::collections::HashSet;

use super::{Analyzer, Language, TokenKind, Tokens};

mod highlights;
mod one_pass;
mod properties;
mod queries;

/// Checks the tokens of `text`, written `term@position` and separated by spaces.
#[track_caller]
fn check(language: Language, text: &str, expected: &str) {
    let mut tokens = Tokens::new();
    Analyzer::new().tokens(text, language, &mut tokens);
    let actual: Vec<String> = tokens.iter().map(|token| format!("{}@{}", token.term, token.position)).collect();
    assert_eq!(actual.join(" "), expected, "{text}");
}

/// Checks the text that each token was made of.
#[track_caller]
fn check_sources(language: Language, text: &str, expected: &[(&str, &str)]) {
    let mut tokens = Tokens::new();
    Analyzer::new().tokens(text, language, &mut tokens);
    let actual: Vec<(&str, &str)> =
        tokens.iter().map(|token| (token.term, &text[token.start as usize..token.end as usize])).collect();
    assert_eq!(actual, expected, "{text}");
}

/// Checks that each of `words` finds each of the others in a text in `language`.
#[track_caller]
fn check_same(language: Language, words: &[&str]) {
    let analyzer = Analyzer::new();
    let mut tokens = Tokens::new();
    for indexed in words {
        analyzer.tokens(indexed, language, &mut tokens);
        let terms: HashSet<&str> = tokens.iter().map(|token| token.term).collect();
        for query in words {
            let found = analyzer
                .query_terms(query, &[language])
                .iter()
                .filter(|word| word.in_phrase || word.kind == TokenKind::Identifier || word.kind == TokenKind::Compound)
                .any(|word| word.terms.iter().any(|term| terms.contains(term.as_str())));
            assert!(found, "{query} does not find {indexed} in {language:?}");
        }
    }
}

#[test]
fn english_words_are_stemmed_and_possessives_go() {
    check(
        Language::English,
        "The runners' running shoes, John's and don't; it’s",
        "the@0 runner@1 run@2 shoe@3 john@4 and@5 dont@6 it@7",
    );
    check(Language::English, "\"Quoted\" (words) *here*: 42!", "quot@0 word@1 here@2 42@3");
    check(Language::Other, "The runners' running", "the@0 runners@1 running@2");
}

#[test]
fn words_meet_their_unaccented_spelling_in_every_language() {
    check_same(Language::German, &["Zürich", "Zurich", "Zuerich", "ZÜRICH", "Zu\u{308}rich"]);
    check_same(Language::German, &["Straße", "Strasse", "STRASSE", "STRAẞE"]);
    check_same(Language::English, &["naïve", "naive"]);
    check_same(Language::English, &["Zürich", "Zurich"]);
    check_same(Language::French, &["élèves", "eleves", "ÉLÈVES", "élève"]);
    check_same(Language::Spanish, &["canción", "cancion", "canciones"]);
    check_same(Language::Portuguese, &["informação", "informacao", "INFORMAÇÃO"]);
    check_same(Language::Italian, &["città", "citta"]);
    check_same(Language::Romanian, &["învățământ", "invatamant", "învăţământ"]);
    check_same(Language::Hungarian, &["könyvtár", "konyvtar"]);
    check_same(Language::Finnish, &["pääkaupunki", "paakaupunki"]);
    check_same(Language::Swedish, &["Malmö", "Malmo"]);
    check_same(Language::Danish, &["København", "Kobenhavn"]);
    check_same(Language::Norwegian, &["Tromsø", "Tromso"]);
    check_same(Language::Dutch, &["coördinatie", "coordinatie"]);
    check_same(Language::Turkish, &["İstanbul", "istanbul", "Istanbul", "İSTANBUL'da"]);
    check_same(Language::Turkish, &["bakanlığı", "bakanligi", "BAKANLIĞI"]);
    check_same(Language::Greek, &["λόγος", "ΛΟΓΟΣ", "λογοσ", "λόγοι"]);
    check_same(Language::Russian, &["ёлка", "елка", "ЁЛКИ", "ёлки"]);
    check_same(Language::Arabic, &["المدرسة", "المدرسه", "مدرسة", "مَدْرَسَة", "مـدرسـة"]);
    check_same(Language::Tamil, &["தமிழ்"]);
    check_same(Language::Other, &["đường", "duong", "ĐƯỜNG"]);
    check_same(Language::Other, &["łódź", "lodz", "ŁÓDŹ"]);
    check_same(Language::Other, &["क़लम", "कलम"]);
    check_same(Language::Other, &["צה״ל", "צהל"]);
    check_same(Language::Other, &["п'ять", "п’ять", "пять"]);
}

#[test]
fn accents_still_tell_words_apart_by_a_term_of_their_own() {
    check(Language::Other, "má", "ma@0 má@0");
    check(Language::Turkish, "bakanlığı", "bakanligi@0 bakanlik@0");
}

#[test]
fn cyrillic_letters_that_only_look_accented_are_not_folded() {
    check(Language::Other, "мой її", "мой@0 її@1");
}

#[test]
fn elided_articles_go_and_keep_no_position() {
    check(Language::French, "l'été d’accord qu'il aujourd'hui", "ete@0 accord@1 il@2 aujourdhui@3");
    check(Language::Italian, "dell'acqua all'improvviso", "acqua@0 improvvis@1");
    check_sources(Language::French, "l'homme", &[("homm", "homme")]);
}

#[test]
fn foreign_words_are_stemmed_as_english_outside_latin_scripts() {
    check(Language::Japanese, "servers", "server@0");
    check(Language::Russian, "running серверы", "run@0 сервер@1");
    check(Language::English, "серверы", "сервер@0");
}

#[test]
fn identifiers_are_found_whole_by_segment_and_by_part() {
    check(
        Language::English,
        "ID3DX11DataLoader::Decompress",
        "id3dx11dataloader::decompress@0 id3dx11dataloader@0 id@0 3@1 dx@2 11@3 data@4 loader@5 decompress@6",
    );
    check(Language::English, "EM_GETLANGOPTIONS", "em_getlangoptions@0 em@0 getlangopt@1");
    check(Language::English, "foo_bar.baz", "foo_bar.baz@0 foo_bar@0 foo@0 bar@1 baz@2");
    check(Language::English, "getUserName", "getusername@0 get@0 user@1 name@2");
    check(Language::English, "v1.2.3", "v1.2.3@0 v1@0 v@0 1@1 2@2 3@3");
    check(Language::English, "C++ C# c++11", "c++@0 c@0 c#@1 c@1 c++11@2 c++@2 c@2 11@3");
    check(Language::English, "(.NET) ASP.NET", ".net@0 net@0 asp.net@1 asp@1 net@2");
    check(Language::English, "OPS-1234,", "ops-1234@0 op@0 1234@1");
    check(Language::English, "john.doe@example.com", "john.doe@example.com@0 john@0 doe@1 exampl@2 com@3");
    check(
        Language::English,
        "https://a.example/b_c?d=1&e=f#g.",
        "https://a.example/b_c?d=1&e=f#g@0 https@0 a@1 exampl@2 b_c@3 b@3 c@4 d@5 1@6 e@7 f@8 g@9",
    );
    check(
        Language::English,
        "C:\\Windows\\win.ini /usr/bin",
        "c:\\windows\\win.ini@0 c@0 window@1 win@2 ini@3 usr/bin@4 usr@4 bin@5",
    );
    check(
        Language::English,
        "std::vec<int> localhost:8080",
        "std::vec@0 std@0 vec@1 int@2 localhost:8080@3 localhost@3 8080@4",
    );
    check(Language::English, "AT&T HTTPServer", "at&t@0 at@0 t@1 httpserver@2 http@2 server@3");
    check(Language::English, "O'Brien", "obrien@0 o@0 brien@1");
    check_sources(Language::English, "O'Brien", &[("obrien", "O'Brien"), ("o", "O"), ("brien", "Brien")]);
}

#[test]
fn words_that_only_look_like_identifiers_are_words() {
    check(Language::English, "APIs URLs", "api@0 url@1");
    check(Language::English, "U.S.A. e.g. U.S", "usa@0 eg@1 us@2");
    check(
        Language::English,
        "one...two three--four foo,bar key:value",
        "one@0 two@1 three@2 four@3 foo@4 bar@5 key@6 valu@7",
    );
    check(Language::English, "--flag __init__ @user #tag $5 50%", "flag@0 init@1 user@2 tag@3 5@4 50@5");
    check(Language::English, "Windows™ word—dash", "window@0 word@1 dash@2");
    check(Language::English, "a1b2c3d4e5f6", "a1b2c3d4e5f6@0");
}

#[test]
fn hyphenated_words_are_also_found_written_together() {
    check(Language::English, "e-mails", "email@0 e@0 mail@1");
    check(Language::German, "E-Mail-Adressen", "emailadress@0 e@0 mail@1 adress@2");
    check_same(Language::English, &["e-mail", "email", "E-Mails"]);
    check_same(Language::English, &["YouTube", "youtube"]);
    check_same(Language::English, &["well-known", "wellknown"]);
    check_same(Language::English, &["covid-19", "covid19", "COVID 19"]);
}

#[test]
fn numbers_keep_their_digits_and_are_found_without_grouping() {
    check(Language::English, "1,000 1.000.000", "1,000@0 1000@0 1@0 000@1 1.000.000@2 1000000@2 1@2 000@3 000@4");
    check(
        Language::English,
        "3.14 10:30 2024-01-15",
        "3.14@0 3@0 14@1 10:30@2 10@2 30@3 2024-01-15@4 2024@4 01@5 15@6",
    );
    check(Language::English, "１２３ ٣ ๗", "123@0 3@1 7@2");
}

#[test]
fn han_is_indexed_as_bigrams_and_single_ideographs() {
    check(Language::Chinese, "北京大学", "北京@0 北@0 京大@1 京@1 大学@2 大@2 学@3");
    check(Language::Chinese, "人。", "人@0");
    check(Language::Chinese, "⼈㍿", "人株@0 人@0 株式@1 株@1 式会@2 式@2 会社@3 会@3 社@4");
}

#[test]
fn script_changes_split_words() {
    check(Language::Japanese, "東京tower", "東京@0 東@0 京@1 tower@2");
    check(Language::Japanese, "1868年に", "1868@0 年に@1 年@1 に@2");
    check(Language::Japanese, "Tシャツ", "t@0 シャツ@1 シャ@1 シ@1 ャツ@2 ツ@3");
    check(Language::Korean, "3월", "3@0 월@1");
}

#[test]
fn katakana_is_indexed_as_words_and_bigrams_in_either_width() {
    check(Language::Japanese, "サーバー", "サーバ@0 サー@0 サ@0 ーバ@1 バー@2 ー@3");
    check_same(Language::Japanese, &["サーバー", "サーバ", "ｻｰﾊﾞｰ"]);
    check_sources(Language::Japanese, "ｶﾞｽ", &[("ガス", "ｶﾞｽ"), ("ガ", "ｶﾞ"), ("ス", "ｽ")]);
}

#[test]
fn hangul_is_indexed_as_whole_bigrams_and_first_syllable() {
    check(Language::Korean, "집에서", "집에서@0 집에@0 집@0 에서@1 서@2");
    check_same(Language::Korean, &["한국", "한국은", "한국에서는"]);
    check_same(Language::Korean, &["\u{1112}\u{1161}\u{11AB}\u{1100}\u{116E}\u{11A8}", "한국"]);
}

#[test]
fn thai_is_indexed_as_bigrams_of_letters_with_their_marks() {
    check(Language::Thai, "ที่นี่", "ที่นี่@0 ที่@0 นี่@1");
    check(Language::Thai, "ไทย", "ไท@0 ไ@0 ทย@1 ย@2");
    check_same(Language::Thai, &["ภาษาไทย", "ไทย"]);
}

#[test]
fn invisible_characters_change_nothing_but_the_bytes() {
    check_same(Language::English, &["softhyphen", "soft\u{AD}hyphen", "so\u{200B}ft\u{202E}hy\u{FE0F}phen"]);
    check_sources(Language::English, "a soft\u{AD}hyphen.", &[("a", "a"), ("softhyphen", "soft\u{AD}hyphen")]);
    check(Language::English, "\u{200B}\u{FEFF} \u{202E}", "");
}

#[test]
fn pictographs_are_words() {
    check(Language::English, "🚀 launch👍🏽done ✓", "🚀@0 launch@1 👍@2 done@3 ✓@4");
}

#[test]
fn a_long_token_is_cut_on_a_character_border_and_keeps_its_range() {
    let word = "ü".repeat(400);
    let mut tokens = Tokens::new();
    Analyzer::new().tokens(&word, Language::German, &mut tokens);
    let token = tokens.iter().next().unwrap();
    assert!((40..=super::MAX_TERM_BYTES).contains(&token.term.len()), "{}", token.term.len());
    assert_eq!((token.start, token.end), (0, 800));
    check_same(Language::German, &[&word]);
    check_same(Language::English, &[&"https://example.com/".repeat(30)]);
    check_same(Language::English, &[&"aB3".repeat(100)]);
}

#[test]
fn a_reused_buffer_gives_what_a_new_one_gives() {
    let analyzer = Analyzer::new();
    let mut reused = Tokens::new();
    for text in ["running Zürich", "running", "", "東京 running"] {
        for language in Language::ALL {
            let mut fresh = Tokens::new();
            analyzer.tokens(text, language, &mut fresh);
            analyzer.tokens(text, language, &mut reused);
            assert!(fresh.iter().eq(reused.iter()), "{text} {language:?}");
        }
    }
}

#[test]
fn surface_words_are_folded_but_not_stemmed() {
    let mut words = Tokens::new();
    Analyzer::new().surface_words("Die Häuser, getUserName e-mails 東京タワー 한국어", &mut words);
    let actual: Vec<&str> = words.iter().map(|word| word.term).collect();
    let expected = ["die", "hauser", "getusername", "get", "user", "name", "emails", "e", "mails", "タワー", "한국어"];
    assert_eq!(actual, expected);
}
