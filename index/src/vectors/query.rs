//! The query side of a vector comparison.
//!
//! It holds the query in the forms the kernels take and turns their integers into cosines. Invariant: a query
//! scores only rows of its own model and dimensions; callers ask for both before they score.

use fearless_simd::Level;

use super::kernel::{self, BLOCK_ROWS, WEIGHT_BITS, WEIGHT_MAX};
use super::row::{BYTE_BIAS, ModelTag, StoredVector, VectorError, largest_magnitude};

/// The weight of a sign whose component is as large as the root mean square of all.
///
/// Of what was tried on 112 queries and 60,000 passages embedded by MiniLM: with 2, weights chose as well; with two bits
/// instead of three, a little worse.
const WEIGHT_OF_MEAN: f64 = 2.5;

/// An embedding to search with.
///
/// The query is held in integers of up to 15 bits (14 at 384 dimensions, 11 at 4,096), so that its own rounding
/// shifts a cosine by less than 5e-5 at 384 dimensions and 6e-4 at 4,096, whatever the row; in practice by 1e-6.
#[derive(Clone, Debug)]
pub struct QueryVector {
    model: ModelTag,
    dimensions: usize,
    /// `[width]`, padded with zeros.
    components: Vec<i16>,
    /// What the bias of the row's bytes adds to every dot product.
    bias_sum: i32,
    /// One over the length of `components`.
    scale: f32,
    /// `[width / 64]`.
    signs: Vec<u64>,
    /// `[width / 64][bit of the weight]`.
    weights: Vec<[u64; WEIGHT_BITS]>,
    /// The instruction set of this machine.
    level: Level,
}

impl QueryVector {
    /// Takes an embedding of any length but zero, of 1 to [`DIMENSIONS_MAX`](super::DIMENSIONS_MAX) dimensions.
    pub fn new(values: &[f32], model: ModelTag) -> Result<Self, VectorError> {
        let largest = f64::from(largest_magnitude(values)?);
        let width = kernel::padded(values.len());
        let component_max = f64::from(kernel::query_component_max(width));
        let mut components: Vec<i16> =
            values.iter().map(|&value| (f64::from(value) / largest * component_max).round() as i16).collect();
        components.resize(width, 0);
        let square_sum: i64 = components.iter().map(|&component| i64::from(component).pow(2)).sum();
        let component_sum: i32 = components.iter().map(|&component| i32::from(component)).sum();
        let mut signs = vec![0; width / 64];
        for (position, &component) in components.iter().enumerate() {
            signs[position / 64] |= u64::from(component > 0) << (position % 64);
        }
        Ok(Self {
            model,
            dimensions: values.len(),
            bias_sum: component_sum * i32::from(BYTE_BIAS),
            scale: (1.0 / (square_sum as f64).sqrt()) as f32,
            signs,
            weights: weights_of(&components, square_sum),
            level: Level::new(),
            components,
        })
    }

    /// A query that asks for what is near a stored vector. Fails only on a vector from a damaged file.
    pub fn from_stored(vector: &StoredVector) -> Result<Self, VectorError> {
        Self::new(&vector.decode(), vector.model())
    }

    /// The model that made the query.
    pub fn model(&self) -> ModelTag {
        self.model
    }

    /// How many components the query has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Cosine with a padded row of biased bytes and its scale, in -1..=1 but for rounding.
    pub(super) fn cosine(&self, row: &[u8], row_scale: f32) -> f32 {
        // The sum of all products fits by the limit on the components, and so do its two parts.
        let product = kernel::dot(self.level, &self.components, row) - self.bias_sum;
        // Adding zero makes one zero of two, which a damaged scale could tell apart.
        product as f32 * (self.scale * row_scale) + 0.0
    }

    /// Counts for each of up to [`BLOCK_ROWS`] codes, one after the other, the components whose sign differs, and
    /// returns the rows where these are fewer than `limit`, bit `n` for row `n`.
    pub(super) fn near(&self, codes: &[u8], limit: u16, distances: &mut [u16; BLOCK_ROWS]) -> u64 {
        kernel::near(self.level, &self.signs, codes, limit, distances)
    }

    /// The number of components whose sign differs.
    pub(super) fn sign_distance(&self, code: &[u8]) -> u16 {
        kernel::distance(self.level, &self.signs, code)
    }

    /// The components whose sign differs, each counted by how large it is in the query: 0 to [`WEIGHT_MAX`].
    pub(super) fn weighted_distance(&self, code: &[u8]) -> u16 {
        kernel::weighted_distance(self.level, &self.signs, &self.weights, code)
    }
}

/// Weighs each component by its magnitude beside that of the others.
fn weights_of(components: &[i16], square_sum: i64) -> Vec<[u64; WEIGHT_BITS]> {
    let mean = (square_sum as f64 / components.len() as f64).sqrt();
    let weight_of = |component: &i16| {
        let weight = f64::from(component.unsigned_abs()) / mean * WEIGHT_OF_MEAN;
        (weight.round() as u64).min(u64::from(WEIGHT_MAX))
    };
    let word_of = |components: &[i16], bit: usize| {
        let bits =
            components.iter().zip(0..).map(|(component, position)| (weight_of(component) >> bit & 1) << position);
        bits.fold(0, |word, bit| word | bit)
    };
    components.chunks(64).map(|components| std::array::from_fn(|bit| word_of(components, bit))).collect()
}
