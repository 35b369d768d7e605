use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn list(number: u64) -> ListId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    ListId(bytes)
}

fn draft(a: &[u32], b: &[u32], coin: &[bool]) -> (Vec<u32>, String) {
    let mut coin = coin.iter();
    let drafted = team_draft(a, b, &mut || *coin.next().expect("one coin a round"));
    let letter = |team: &Option<Team>| match team {
        Some(Team::A) => 'a',
        Some(Team::B) => 'b',
        None => '-',
    };
    (drafted.iter().map(|(item, _)| *item).collect(), drafted.iter().map(|(_, team)| letter(team)).collect())
}

#[test]
fn drafts_worked_out_by_hand() {
    let check = |a: &[u32], b: &[u32], coin: &[bool], items: &[u32], teams: &str| {
        assert_eq!(draft(a, b, coin), (items.to_vec(), teams.to_owned()), "{a:?} {b:?}");
    };
    // A first: 1; B takes its best that is left: 2. B first: 3; A takes what is left.
    check(&[1, 2, 3, 4], &[2, 3, 1, 4], &[true, false], &[1, 2, 3, 4], "abba");
    check(&[1, 2, 3, 4], &[2, 3, 1, 4], &[false, true], &[2, 1, 3, 4], "baab");
    check(&[1, 2], &[1, 2], &[true], &[1, 2], "ab");
    check(&[1, 2], &[], &[], &[1, 2], "--");
    check(&[], &[], &[], &[], "");
    // Once B is used up, what A has left had no rival.
    check(&[1, 2, 3], &[9], &[false], &[9, 1, 2, 3], "b---");
}

#[test]
fn coins_are_fair_and_the_same_each_time() {
    let heads: usize = (0..10_000).map(|number| usize::from(coins(&list(number))())).sum();
    // Four standard deviations of 10,000 throws.
    assert!((4_800..=5_200).contains(&heads), "{heads}");
    let throw = |count| -> Vec<bool> { std::iter::repeat_with(coins(&list(7))).take(count).collect() };
    let (some, more) = (throw(20), throw(60));
    assert_eq!(some, more[..20]);
    let heads = more.iter().filter(|heads| **heads).count();
    assert!((14..=46).contains(&heads), "{heads}");
}

#[test]
fn about_the_share_asked_for_is_chosen() {
    let chosen = |share| (0..10_000).filter(|number| is_chosen(&list(*number), share)).count();
    assert_eq!((chosen(0.0), chosen(1.0)), (0, 10_000));
    let some = chosen(0.2);
    assert!((1_840..=2_160).contains(&some), "{some}");
}

#[test]
fn of_equal_rankings_neither_team_is_favoured() {
    let ranking: Vec<u32> = (0..10).collect();
    let mut first_is_a = 0;
    for number in 0..4_000 {
        let drafted = team_draft(&ranking, &ranking, &mut coins(&list(number)));
        assert_eq!(drafted.iter().map(|(item, _)| *item).collect::<Vec<_>>(), ranking);
        first_is_a += usize::from(drafted[0].1 == Some(Team::A));
    }
    // Four standard deviations of 4,000 throws.
    assert!((1_874..=2_126).contains(&first_is_a), "{first_is_a}");
}

#[test]
fn the_second_configuration_has_what_is_overridden_and_the_rest_of_the_first() {
    let mut first = Config { depth: 77, ..Config::default() };
    first.rescore.title_weight = 0.3;
    first.feedback.enabled = true;
    first.interleave.share = 0.5;
    let overrides = serde_json::json!({"semantic_weight": 0.2, "rescore": {"recency_weight": 0}});
    first.interleave.overrides = serde_json::from_value(overrides).unwrap();
    assert_eq!(first.check(), Ok(()));
    let second = first.interleave.second(&first).unwrap().unwrap();
    let mut expected = Config { semantic_weight: 0.2, interleave: InterleaveConfig::default(), ..first.clone() };
    expected.rescore.recency_weight = 0.0;
    assert_eq!(second, expected);
}

#[test]
fn what_cannot_be_interleaved_is_refused_by_name() {
    let check = |enabled: bool, share: f32, overrides: serde_json::Value, key: &str| {
        let mut config = Config::default();
        config.feedback.enabled = enabled;
        config.interleave = InterleaveConfig { share, overrides: serde_json::from_value(overrides).unwrap() };
        assert_eq!(config.check().map_err(|error| error.key), Err(key));
    };
    check(true, 1.5, serde_json::json!({}), "interleave.share");
    check(false, 0.5, serde_json::json!({}), "interleave.share");
    check(true, 0.5, serde_json::json!({"depth": 20}), "interleave.overrides");
    check(true, 0.5, serde_json::json!({"rescore": {"titles_weight": 0.1}}), "interleave.overrides");
    check(true, 0.5, serde_json::json!({"semantic_weight": 2}), "semantic_weight");
}

proptest! {
    #[test]
    fn every_item_is_drafted_once_and_teams_keep_their_order(
        a in Just((0..12).collect::<Vec<u32>>()).prop_shuffle(),
        b in Just((4..16).collect::<Vec<u32>>()).prop_shuffle(),
        len_a in 0..12_usize,
        len_b in 0..12_usize,
        seed: u64,
    ) {
        let (a, b) = (&a[..len_a], &b[..len_b]);
        let drafted = team_draft(a, b, &mut coins(&list(seed)));
        let items: Vec<u32> = drafted.iter().map(|(item, _)| *item).collect();
        let all: BTreeSet<u32> = a.iter().chain(b).copied().collect();
        prop_assert_eq!(items.len(), all.len());
        prop_assert_eq!(items.iter().copied().collect::<BTreeSet<_>>(), all);
        for (team, ranking) in [(Team::A, a), (Team::B, b)] {
            let places: Vec<usize> = drafted.iter().filter(|(_, of)| *of == Some(team))
                .map(|(item, _)| ranking.iter().position(|other| other == item).unwrap()).collect();
            prop_assert!(places.is_sorted(), "{:?} picked {:?}", team, places);
        }
        // No team is ever ahead by more than one pick.
        let mut ahead = 0_i32;
        for (_, team) in &drafted {
            ahead += match team { Some(Team::A) => 1, Some(Team::B) => -1, None => 0 };
            prop_assert!(ahead.abs() <= 1);
        }
        prop_assert_eq!(&drafted, &team_draft(a, b, &mut coins(&list(seed))));
    }

    #[test]
    fn exchanging_the_teams_and_the_coin_exchanges_the_credit(seed: u64, b in Just((0..10).collect::<Vec<u32>>()).prop_shuffle()) {
        let a: Vec<u32> = (0..10).collect();
        let (mut coin, mut other) = (coins(&list(seed)), coins(&list(seed)));
        let one = team_draft(&a, &b, &mut coin);
        let two = team_draft(&b, &a, &mut || !other());
        let exchanged = |team| match team { Some(Team::A) => Some(Team::B), Some(Team::B) => Some(Team::A), None => None };
        let two: Vec<_> = two.into_iter().map(|(item, team)| (item, exchanged(team))).collect();
        prop_assert_eq!(one, two);
    }
}
