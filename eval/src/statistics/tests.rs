//! Statistics against published values, and against what they promise under the null hypothesis.

use super::*;
use proptest::prelude::*;
use rand::Rng;

/// Heights of crossed less heights of self-fertilised maize in eighths of an inch, 15 pairs, measured by Darwin. Fisher
/// went through all assignments in 1935: 863 of 32,768 sum to 314 or more.
const DARWIN: [f64; 15] = [49., -67., 8., 16., 6., 23., 28., 41., 14., 29., 56., 24., 75., 60., -48.];

fn near(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{value}, not {expected}");
}

#[test]
fn darwins_maize_comes_out_as_fisher_counted_it() {
    let exact = randomisation_test(&DARWIN, &Effort::default());
    assert!(exact.is_exact);
    near(exact.value, 2.0 * 863.0 / 32_768.0, 1e-12);
    let drawn = randomisation_test(&DARWIN, &Effort { permutations: 32_767, ..Effort::default() });
    assert!(!drawn.is_exact);
    // Four standard errors of a share of 0.053 in 32,767.
    near(drawn.value, exact.value, 4.0 * (0.0527_f64 * 0.9473 / 32_767.0).sqrt());
}

#[test]
fn few_differences_are_gone_through_in_full() {
    let value = |deltas: &[f64]| randomisation_test(deltas, &Effort::default()).value;
    near(value(&[1.0, 2.0, 3.0]), 2.0 / 8.0, 1e-12);
    near(value(&[1.0, 2.0, -3.0]), 1.0, 1e-12);
    near(value(&[0.1, 0.2, 0.0, 0.0]), 2.0 / 4.0, 1e-12);
    near(value(&[0.0, 0.0]), 1.0, 1e-12);
    near(value(&[]), 1.0, 1e-12);
    // 0.3 and 0.1 + 0.2 differ by rounding alone, and so do their sums with signs.
    near(value(&[0.1, 0.2, -0.3]), 1.0, 1e-12);
}

/// Of systems that are alike, a share of `level` must come out below `level`, at any level.
#[test]
fn under_the_null_hypothesis_p_values_are_uniform() {
    const SETS: usize = 1000;
    let seed = 20_261_124;
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let effort = Effort { permutations: 500, ..Effort::default() };
    let mut values = Vec::new();
    for at in 0..SETS {
        let deltas: Vec<f64> = (0..40).map(|_| random.random_range(-1.0..1.0)).collect();
        values.push(randomisation_test(&deltas, &Effort { seed: at as u64, ..effort }).value);
    }
    for level in [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9] {
        let share = values.iter().filter(|value| **value <= level).count() as f64 / SETS as f64;
        near(share, level, 4.0 * (level * (1.0 - level) / SETS as f64).sqrt());
    }
}

#[test]
fn a_bootstrap_of_many_differences_is_near_the_normal_interval() {
    let mut random = SmallRng::seed_from_u64(3);
    let deltas: Vec<f64> = (0..2000).map(|_| random.random_range(-0.5..0.7)).collect();
    let mean = deltas.iter().sum::<f64>() / deltas.len() as f64;
    let variance = deltas.iter().map(|delta| (delta - mean).powi(2)).sum::<f64>() / deltas.len() as f64;
    let error = (variance / deltas.len() as f64).sqrt();
    let interval = bootstrap_interval(&deltas, &Effort::default());
    near(interval.low, mean - 1.96 * error, 0.1 * error);
    near(interval.high, mean + 1.96 * error, 0.1 * error);
}

#[test]
fn intervals_of_one_value_are_that_value() {
    let interval = bootstrap_interval(&[0.25; 9], &Effort::default());
    assert_eq!(interval, Interval { low: 0.25, high: 0.25 });
    assert_eq!(bootstrap_interval(&[], &Effort::default()), Interval { low: 0.0, high: 0.0 });
}

#[test]
fn holm_adjusts_as_in_the_textbook() {
    let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
    for (value, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
        near(*value, expected, 1e-12);
    }
    near(holm(&[0.7, 0.9])[0], 1.0, 0.0);
    assert!(holm(&[]).is_empty());
}

proptest! {
    #[test]
    fn neither_sides_nor_order_nor_scale_change_a_p_value(deltas in prop::collection::vec(-1.0..1.0_f64, 0..12)) {
        let value = |deltas: &[f64]| randomisation_test(deltas, &Effort::default()).value;
        let of = value(&deltas);
        prop_assert!(of > 0.0 && of <= 1.0);
        prop_assert!((of - value(&deltas.iter().map(|delta| -delta).collect::<Vec<_>>())).abs() < 1e-12);
        prop_assert!((of - value(&deltas.iter().rev().copied().collect::<Vec<_>>())).abs() < 1e-12);
        prop_assert!((of - value(&deltas.iter().map(|delta| delta * 8.0).collect::<Vec<_>>())).abs() < 1e-12);
    }

    #[test]
    fn adjusted_values_are_no_smaller_and_keep_their_order(values in prop::collection::vec(0.0..=1.0_f64, 0..9)) {
        let adjusted = holm(&values);
        for (at, value) in values.iter().enumerate() {
            prop_assert!(adjusted[at] >= *value && adjusted[at] <= 1.0);
            for (other_at, other) in values.iter().enumerate() {
                prop_assert!(value > other || adjusted[at] <= adjusted[other_at]);
            }
        }
    }

    #[test]
    fn an_interval_holds_its_mean(deltas in prop::collection::vec(-1.0..1.0_f64, 1..30)) {
        let interval = bootstrap_interval(&deltas, &Effort { resamples: 1000, ..Effort::default() });
        let mean = deltas.iter().sum::<f64>() / deltas.len() as f64;
        prop_assert!(interval.low <= mean + 1e-9 && mean <= interval.high + 1e-9);
    }
}

#[test]
fn sign_tests_worked_out_by_hand() {
    let check = |one, other, expected: f64| {
        let value = sign_test(one, other).value;
        assert!((value - expected).abs() < 1e-12, "{one} {other}: {value}");
        assert!((sign_test(other, one).value - value).abs() < 1e-15, "the sides are alike");
    };
    check(0, 0, 1.0);
    check(3, 3, 1.0);
    // Of 2^5 splits one has no win, and its mirror image.
    check(0, 5, 2.0 / 32.0);
    // (1 + 10 + 45) of 2^10, doubled.
    check(2, 8, 112.0 / 1024.0);
    assert!(sign_test(4_900, 5_100).value > 0.04 && sign_test(4_900, 5_100).value < 0.05);
    let rare = sign_test(0, 2_000).value;
    assert!((0.0..1e-300).contains(&rare), "{rare}");
}
