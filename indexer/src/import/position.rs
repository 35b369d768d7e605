//! Positions: text keys that order the blocks of one parent, with room for another key between any two.
//!
//! A key is a fraction in base 62 written without its leading `0.`, so comparing bytes compares fractions
//! (fractional indexing, as the product's editors do it). Invariant: every key made here sorts strictly between its
//! neighbours and does not end in `0`, so that there is always room before it.

/// Longest key made here in bytes; when one would be longer, the caller numbers all siblings anew.
pub const KEY_BYTES_MAX: usize = 64;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE: usize = DIGITS.len();
/// Up to this many keys at an open end are counted up or down; more are spread by halving.
const COUNTED_MAX: usize = 8;

/// Makes `count` ascending keys strictly between `low` and `high`; `None` is an open end.
///
/// Returns `None` when there is no room: a bound is no key, the bounds are equal or in the wrong order, or a key would
/// be longer than [`KEY_BYTES_MAX`].
pub fn spread(low: Option<&str>, high: Option<&str>, count: usize) -> Option<Vec<String>> {
    let bound = |key: Option<&str>| key.map_or(Some(None), |key| digits(key).map(Some));
    let (low, high) = (bound(low)?, bound(high)?);
    let mut keys = Vec::with_capacity(count);
    fill(low.as_deref(), high.as_deref(), count, &mut keys)?;
    keys.into_iter().map(|key| (key.len() <= KEY_BYTES_MAX).then(|| text(&key))).collect()
}

/// True when the text can be the neighbour of a key made here.
pub fn is_key(position: &str) -> bool {
    position.len() <= KEY_BYTES_MAX && digits(position).is_some_and(|key| key.last().is_some_and(|&last| last != 0))
}

fn digits(key: &str) -> Option<Vec<u8>> {
    key.bytes().map(|byte| DIGITS.iter().position(|&digit| digit == byte).map(|at| at as u8)).collect()
}

fn text(key: &[u8]) -> String {
    key.iter().map(|&digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Appends `count` keys. Halves the range, so that it nests to the logarithm of `count` only.
fn fill(low: Option<&[u8]>, high: Option<&[u8]>, count: usize, keys: &mut Vec<Vec<u8>>) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    if count <= COUNTED_MAX && low.is_some() && high.is_none() {
        let mut last = low?.to_vec();
        for _ in 0..count {
            last = after(&last);
            keys.push(last.clone());
        }
        return Some(());
    }
    if count <= COUNTED_MAX && low.is_none() && high.is_some() {
        let start = keys.len();
        let mut first = high?.to_vec();
        for _ in 0..count {
            first = before(&first)?;
            keys.push(first.clone());
        }
        keys[start..].reverse();
        return Some(());
    }
    let middle = midpoint(low.unwrap_or(&[]), high)?;
    fill_bounded(low.unwrap_or(&[]), &middle, count / 2, keys)?;
    keys.push(middle.clone());
    let rest = count - count / 2 - 1;
    match high {
        Some(high) => fill_bounded(&middle, high, rest, keys),
        None => fill_open(&middle, rest, keys),
    }
}

fn fill_bounded(low: &[u8], high: &[u8], count: usize, keys: &mut Vec<Vec<u8>>) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let middle = midpoint(low, Some(high))?;
    fill_bounded(low, &middle, count / 2, keys)?;
    keys.push(middle.clone());
    fill_bounded(&middle, high, count - count / 2 - 1, keys)
}

fn fill_open(low: &[u8], count: usize, keys: &mut Vec<Vec<u8>>) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let middle = midpoint(low, None)?;
    fill_bounded(low, &middle, count / 2, keys)?;
    keys.push(middle.clone());
    fill_open(&middle, count - count / 2 - 1, keys)
}

/// The next key up, as short as the place of the first digit that can grow.
fn after(low: &[u8]) -> Vec<u8> {
    match low.iter().position(|&digit| usize::from(digit) + 1 < BASE) {
        Some(at) => {
            let mut key = low[..=at].to_vec();
            key[at] += 1;
            key
        }
        None => [low, &[1]].concat(),
    }
}

/// The next key down; `None` below a key of zeros.
fn before(high: &[u8]) -> Option<Vec<u8>> {
    let at = high.iter().position(|&digit| digit > 0)?;
    let mut key = high[..=at].to_vec();
    if key[at] > 1 {
        key[at] -= 1;
    } else if high.len() == at + 1 {
        key[at] = 0;
        key.push(BASE as u8 - 1);
    }
    Some(key)
}

/// A short key strictly between two; an empty `low` is zero, an absent `high` is one.
fn midpoint(low: &[u8], high: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    let mut high = high;
    for at in 0..=low.len().max(high.map_or(0, <[u8]>::len)) {
        let from = low.get(at).copied().unwrap_or(0);
        let to = match high {
            None => BASE as u8,
            Some(bound) => *bound.get(at)?,
        };
        if to < from {
            return None;
        }
        if to - from > 1 {
            key.push(from.midpoint(to));
            return Some(key);
        }
        if to - from == 1 {
            if high.is_some_and(|bound| bound.len() > at + 1) {
                key.push(to);
                // A bound of zeros after this digit is no bound above the key.
                let bound = high.unwrap_or_default();
                return bound[at + 1..].iter().any(|&digit| digit > 0).then_some(key);
            }
            high = None;
        }
        key.push(from);
    }
    key.push(BASE as u8 / 2);
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_page_gets_short_keys() {
        let keys = spread(None, None, 20_000).unwrap();
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert!(keys.iter().all(|key| key.len() <= 4), "{:?}", keys.iter().max_by_key(|key| key.len()));
        assert!(keys.iter().all(|key| is_key(key)));
    }

    #[test]
    fn thousands_fit_at_either_end_and_then_it_says_no() {
        for up in [true, false] {
            let mut key = "V".to_owned();
            let mut made = 0;
            while let Some(next) =
                if up { spread(Some(&key), None, 1) } else { spread(None, Some(&key), 1) }.map(|keys| keys[0].clone())
            {
                assert!(if up { next > key } else { next < key });
                key = next;
                made += 1;
            }
            assert!(made > 3_000, "{made}");
        }
    }

    #[test]
    fn impossible_bounds_are_refused() {
        for (low, high) in [("b", "a"), ("a", "a"), ("a", "a0"), ("a", "a000"), ("é", "z"), ("a b", "c")] {
            assert_eq!(spread(Some(low), Some(high), 1), None, "{low} {high}");
        }
        assert_eq!(spread(None, Some("000"), 1), None);
        assert!(!is_key("") && !is_key("a0") && !is_key("~"));
    }

    proptest! {
        #[test]
        fn keys_lie_strictly_between_their_neighbours(
            a in proptest::option::of("[0-9A-Za-z]{0,6}[1-9A-Za-z]"),
            b in proptest::option::of("[0-9A-Za-z]{0,6}[1-9A-Za-z]"),
            count in 0usize..40,
        ) {
            let (low, high) = match (&a, &b) {
                (Some(a), Some(b)) if a > b => (Some(b.as_str()), Some(a.as_str())),
                (a, b) => (a.as_deref(), b.as_deref()),
            };
            if low.is_some() && low == high {
                prop_assert!(count == 0 || spread(low, high, count).is_none());
                return Ok(());
            }
            let keys = spread(low, high, count).expect("distinct keys leave room");
            prop_assert_eq!(keys.len(), count);
            prop_assert!(keys.is_sorted_by(|a, b| a < b));
            prop_assert!(keys.iter().all(|key| is_key(key)));
            prop_assert!(keys.iter().all(|key| low.is_none_or(|low| low < key.as_str()) && high.is_none_or(|high| key.as_str() < high)));
        }

        #[test]
        fn any_bounds_are_answered_without_panic(a in ".{0,8}", b in ".{0,8}", count in 0usize..5) {
            let _ = spread(Some(&a), Some(&b), count);
            let _ = spread(None, Some(&b), count);
            let _ = spread(Some(&a), None, count);
        }
    }
}
