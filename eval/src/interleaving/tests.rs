use query::interleave::{coins, team_draft};

use super::*;

fn list(voter: (&str, &str), teams: &str, clicked: &[usize]) -> List {
    let page = |at: usize| PageId::new(format!("p{at}")).unwrap();
    let name = |text: &str| serde_json::from_value::<Pseudonym>(text.into()).unwrap();
    let team = |letter| if letter == 'a' { Team::A } else { Team::B };
    List {
        voter: Some((name(voter.0), name(voter.1))),
        teams: teams.chars().enumerate().map(|(at, letter)| (page(at), team(letter))).collect(),
        clicked: clicked.iter().map(|at| page(*at)).collect(),
    }
}

#[test]
fn votes_worked_out_by_hand() {
    let lists = vec![
        // Ada clicked b twice and a once: b. Bob: a. Cid clicked one of each: a tie. Dan clicked nothing: no vote.
        list(("ada", "q"), "abba", &[0, 1, 2]),
        list(("bob", "q"), "abba", &[3]),
        list(("cid", "q"), "abba", &[0, 1]),
        list(("dan", "q"), "abba", &[]),
        // Eve searched three times for the same: one vote, for b. For something else she votes again.
        list(("eve", "q"), "baab", &[0]),
        list(("eve", "q"), "baab", &[0]),
        list(("eve", "q"), "abab", &[0]),
        list(("eve", "r"), "abab", &[1]),
    ];
    let found = count(lists.into_iter(), &Effort::default());
    assert_eq!((found.lists, found.lists_clicked, found.votes), (8, 7, 5));
    assert_eq!((found.wins_a, found.wins_b, found.ties), (1, 3, 1));
    // (3 + 0.5) / 5 - 0.5
    assert!((found.preference_b - 0.2).abs() < 1e-12, "{found:?}");
    // (1 + 4) of 2^4, doubled.
    assert!((found.p_value.value - 10.0 / 16.0).abs() < 1e-12, "{found:?}");
    assert!(found.interval.low <= 0.2 && found.interval.high >= 0.2);
}

#[test]
fn nothing_is_preferred_where_nothing_was_clicked() {
    let found = count(std::iter::empty(), &Effort::default());
    assert_eq!((found.votes, found.p_value.value), (0, 1.0));
    assert!(found.preference_b.abs() < 1e-12);
}

/// People who click what is relevant, the first hits more often than the last, over drafts of two rankings.
fn simulated(better: bool) -> Preference {
    let relevant = [1, 4, 6];
    let poor: Vec<u32> = (0..10).collect();
    let good: Vec<u32> = [1, 4, 6, 0, 2, 3, 5, 7, 8, 9].into();
    let second = if better { good } else { poor.clone() };
    let lists = (0..2_000_u32).map(|number| {
        let hash = blake3::hash(&number.to_le_bytes());
        let name: String = hash.to_hex().chars().take(32).collect();
        let id: ListId = serde_json::from_value(name.into()).unwrap();
        let draft = team_draft(&poor, &second, &mut coins(&id));
        let page = |item: u32| PageId::new(format!("p{item}")).unwrap();
        let looks_so_far = usize::from(hash.as_bytes()[31] % 10);
        let clicked = draft.iter().take(looks_so_far).filter(|(item, _)| relevant.contains(item));
        List {
            clicked: clicked.map(|(item, _)| page(*item)).collect(),
            teams: draft.iter().filter_map(|(item, team)| Some((page(*item), (*team)?))).collect(),
            ..list((&number.to_string(), "q"), "", &[])
        }
    });
    count(lists, &Effort { resamples: 1_000, ..Effort::default() })
}

#[test]
fn the_better_ranking_wins_and_equal_ones_do_not() {
    let better = simulated(true);
    assert!(better.preference_b > 0.1 && better.p_value.value < 1e-6 && better.interval.low > 0.0, "{better:?}");
    let equal = simulated(false);
    assert!(equal.p_value.value > 0.01 && equal.preference_b.abs() < 0.05, "{equal:?}");
}

#[test]
fn the_log_of_a_server_is_read() {
    // Written by hand: two pages of one list, a click on each of two hits, and a list that was not interleaved.
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = ("1".repeat(32), "2".repeat(32));
    let shown = |list: &str, first: u32, pages: [&str; 2], teams: &str| {
        let (one, two) = (pages[0], pages[1]);
        format!(
            r#"{{"record":"shown","time":"2026-11-01T08:00:00Z","list":"{list}","workspace":"acme","person":"x","query":"y","first_rank":{first},"pages":["{one}","{two}"]{teams},"index_seq":1,"access_seq":1}}"#
        )
    };
    let done = |list: &str, page: &str, kind: &str| {
        format!(
            r#"{{"record":"done","time":"2026-11-01T08:00:00Z","list":"{list}","workspace":"acme","person":"x","kind":"{kind}","page":"{page}","rank":1}}"#
        )
    };
    let lines = [
        shown(&one, 1, ["p1", "p2"], r#","teams":["a","b"]"#),
        done(&one, "p2", "click"),
        shown(&one, 3, ["p3", "p4"], r#","teams":["b",null]"#),
        done(&one, "p3", "open"),
        done(&one, "p4", "click"),
        done(&one, "p1", "helpful"),
        shown(&other, 1, ["p1", "p2"], ""),
        done(&other, "p1", "click"),
        "{cut short".to_owned(),
    ];
    std::fs::write(dir.path().join("log.ndjson"), lines.join("\n")).unwrap();
    let acme = WorkspaceId::new("acme").unwrap();
    let found = analyse(dir.path(), Some(&acme), None, &Effort::default()).unwrap();
    assert_eq!((found.lists, found.votes, found.wins_a, found.wins_b, found.unread), (1, 1, 0, 1, 1));
    let globex = WorkspaceId::new("globex").unwrap();
    assert_eq!(analyse(dir.path(), Some(&globex), None, &Effort::default()).unwrap().lists, 0);
    let later = "2026-11-01T08:00:01Z".parse().unwrap();
    assert_eq!(analyse(dir.path(), None, Some(later), &Effort::default()).unwrap().lists, 0);
}
