//! A text in parts: what a model says of each of its tokens, kept as few directions of a passage and as all tokens of a query.
//!
//! One vector says what a text is about as a whole; a passage that answers with one of its sentences is far from the question
//! all the same. So the tokens of a query are compared with stretches of the passage, each with the one that is nearest: the late interaction
//! of ColBERT (Khattab and Zaharia, SIGIR 2020), with a model that was not trained for it. Its tokens know the whole passage
//! around them, so the mean of a stretch says more than the stretch embedded by itself would. Pure: numbers in, numbers out.

/// Counted up whenever passages are parted otherwise; part of the model id.
pub(super) const WINDOWS_REVISION: u32 = 2;

/// Most windows that a passage is parted into.
pub const WINDOWS_MAX: usize = 12;

/// Fewest tokens of a window, but for the last one: what a token or two say beside the query is chance.
const WINDOW_TOKENS_MIN: usize = 8;

/// Most tokens of a query that are kept: what comes after them counts in the vector of the whole alone.
pub const QUERY_TOKENS_MAX: usize = 32;

/// A passage as a vector, and in parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// What it is about as a whole, of unit length.
    pub vector: Vec<f32>,
    /// The directions of its windows, in the order of the text, at most [`WINDOWS_MAX`], all of about as many tokens; none where the
    /// model says nothing of tokens.
    pub windows: Vec<Vec<f32>>,
}

/// The token vectors of a query, each as integers with a scale: a longer one counts more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenVectors {
    dimensions: usize,
    scales: Vec<f32>,
    components: Vec<i8>,
}

impl TokenVectors {
    /// Keeps the first [`QUERY_TOKENS_MAX`] of `tokens`, which are `[tokens][dimensions]`; those without a direction are left out.
    pub(super) fn new(tokens: &[f32], dimensions: usize) -> Self {
        let mut kept = Self { dimensions, ..Self::default() };
        for token in tokens.chunks_exact(dimensions.max(1)).take(QUERY_TOKENS_MAX) {
            let largest = token.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            if !(largest > 0.0 && largest.is_finite()) {
                continue;
            }
            let scale = largest / f32::from(i8::MAX);
            kept.scales.push(scale);
            kept.components.extend(token.iter().map(|value| (value / scale).round() as i8));
        }
        kept
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Each of them: `[dimensions]`, of any length but zero.
    pub fn iter(&self) -> impl Iterator<Item = Vec<f32>> + '_ {
        let tokens = self.components.chunks_exact(self.dimensions.max(1)).zip(&self.scales);
        tokens.map(|(token, scale)| token.iter().map(|component| f32::from(*component) * scale).collect())
    }
}

/// Parts `tokens`, `[tokens][dimensions]`, into at most [`WINDOWS_MAX`] windows of consecutive ones: the direction of their mean, each
/// token counted alike.
pub(super) fn windows(tokens: &[f32], dimensions: usize) -> Vec<Vec<f32>> {
    let dimensions = dimensions.max(1);
    let window_len = (tokens.len() / dimensions).div_ceil(WINDOWS_MAX).max(WINDOW_TOKENS_MIN);
    let window = |tokens: &[f32]| {
        let mut sum = vec![0.0; dimensions];
        for token in tokens.chunks_exact(dimensions) {
            let length = length(token);
            if length > 0.0 {
                sum.iter_mut().zip(token).for_each(|(sum, value)| *sum += value / length);
            }
        }
        let length = length(&sum);
        sum.iter_mut().for_each(|value| *value /= length);
        sum
    };
    let windows = tokens.chunks(window_len * dimensions).map(window);
    windows.filter(|window| window.iter().all(|value| value.is_finite())).collect()
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_share_the_tokens_of_a_text_in_order() {
        let text = |len: usize, border: usize| -> Vec<f32> {
            (0..len).flat_map(|token| if token < border { [2.0, 0.0] } else { [0.0, 3.0] }).collect()
        };
        let of_long = windows(&text(12 * 15 + 1, 100), 2);
        assert_eq!(of_long.len(), 12, "sixteen tokens each, and five in the last");
        assert_eq!((of_long[0].as_slice(), of_long[11].as_slice()), ([1.0, 0.0].as_slice(), [0.0, 1.0].as_slice()));
        assert_eq!(windows(&text(10, 8), 2), [[1.0, 0.0], [0.0, 1.0]], "no window is shorter than eight, but the last");
    }

    #[test]
    fn tokens_without_direction_make_no_window() {
        assert!(windows(&[0.0, 0.0], 2).is_empty());
        assert!(windows(&[], 2).is_empty());
        assert_eq!(windows(&[0.0, 0.0, 0.0, 2.0], 2), [[0.0, 1.0]]);
    }

    #[test]
    fn tokens_of_a_query_keep_direction_and_length_but_for_rounding() {
        let tokens = [0.5, -4.0, 0.0, 0.0, 0.03, 0.01];
        let kept = TokenVectors::new(&tokens, 2);
        assert_eq!(kept.len(), 2, "one has no direction");
        let kept: Vec<f32> = kept.iter().flatten().collect();
        let near = kept.iter().zip([0.5, -4.0, 0.03, 0.01]).all(|(one, other)| (one - other).abs() < 0.02);
        assert!(near, "{kept:?}");
        assert_eq!(TokenVectors::new(&vec![1.0; 2 * 100], 2).len(), QUERY_TOKENS_MAX);
    }
}
