//! A query token by token, to be compared with the windows of a few documents.
//!
//! Invariant: as a [`QueryVector`], it is compared only with rows of its own model and dimensions; callers ask for both before.

use super::query::{QueryVector, WEIGHT_OF_MEAN};
use super::row::{ModelTag, VectorError};

/// The tokens of a query. There is at least one.
#[derive(Clone, Debug)]
pub struct QueryTokens {
    tokens: Vec<Token>,
    /// Of the lengths of all tokens.
    lengths_sum: f32,
}

#[derive(Clone, Debug)]
struct Token {
    vector: QueryVector,
    /// The length of its vector: how much it counts.
    length: f32,
    /// The distance of a window that is its opposite.
    farthest: f32,
}

impl QueryTokens {
    /// Takes token vectors of any length but zero, all of the same dimensions; `None` for no token.
    pub fn new(tokens: impl IntoIterator<Item = Vec<f32>>, model: ModelTag) -> Result<Option<Self>, VectorError> {
        let mut taken: Vec<Token> = Vec::new();
        for values in tokens {
            let expected = taken.first().map_or(values.len(), |first| first.vector.dimensions());
            if values.len() != expected {
                return Err(VectorError::Dimensions { expected: expected.to_string(), found: values.len() });
            }
            let vector = QueryVector::new(&values, model)?;
            let farthest = f32::from(vector.weighted_distance_max());
            let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
            taken.push(Token { vector, length, farthest });
        }
        let lengths_sum: f32 = taken.iter().map(|token| token.length).sum();
        Ok((lengths_sum > 0.0).then_some(Self { tokens: taken, lengths_sum }))
    }

    pub(super) fn model(&self) -> ModelTag {
        self.tokens[0].vector.model()
    }

    pub(super) fn dimensions(&self) -> usize {
        self.tokens[0].vector.dimensions()
    }

    /// For each token, that nothing is near.
    pub(crate) fn far(&self) -> Vec<f32> {
        vec![-1.0; self.tokens.len()]
    }

    /// Raises in `nearest` the cosine of each token with the nearest of the windows whose sign codes these are.
    ///
    /// A cosine with the signs of a window is taken from three bits of each component of the token, as the shortlist of a search is.
    pub(super) fn nearest(&self, codes: &[u8], nearest: &mut [f32]) {
        let dimensions = self.dimensions() as f32;
        let code_bytes = self.dimensions().div_ceil(64) * 8;
        for (token, nearest) in self.tokens.iter().zip(nearest) {
            let distances = codes.chunks_exact(code_bytes).map(|code| token.vector.weighted_distance(code));
            let least = distances.min().map_or(token.farthest, f32::from);
            let cosine = (token.farthest - 2.0 * least) / (WEIGHT_OF_MEAN as f32 * dimensions);
            *nearest = nearest.max(cosine);
        }
    }

    /// The mean over tokens, each counted by its length.
    pub(crate) fn mean(&self, nearest: &[f32]) -> f32 {
        let sum: f32 = self.tokens.iter().zip(nearest).map(|(token, nearest)| token.length * nearest).sum();
        sum / self.lengths_sum
    }
}
