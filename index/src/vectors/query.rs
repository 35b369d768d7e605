//! The query side of a vector comparison.
//!
//! It holds the query in the forms the kernels take and turns their integers into cosines. Invariant: a query
//! scores only rows of its own model and dimensions; callers ask for both before they score.

use super::kernel;
use super::row::{BYTE_BIAS, ModelTag, StoredVector, VectorError, largest_magnitude};

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
            components,
            bias_sum: component_sum * i32::from(BYTE_BIAS),
            scale: (1.0 / (square_sum as f64).sqrt()) as f32,
            signs,
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
        let product = kernel::dot(&self.components, row) - self.bias_sum;
        product as f32 * (self.scale * row_scale)
    }

    /// For each row with one of these codes, the number of components whose sign differs.
    pub(super) fn sign_distances<'a>(&self, codes: impl Iterator<Item = &'a [u8]>, distances: &mut Vec<u32>) {
        kernel::hamming(&self.signs, codes, distances);
    }
}
