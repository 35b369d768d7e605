//! The two inner loops of a vector search: the integer dot product and the Hamming distance.
//!
//! Both are plain safe Rust in a shape that the compiler turns into vector instructions on the baseline of every
//! target. Invariant: rows and queries are padded to a whole number of [`LANE_BLOCK`]s, so nothing is left over.
//!
//! Measured on one core of an AMD EPYC (Zen 5), 384 dimensions, 200,000 rows in sequence, baseline x86-64: the
//! dot product takes 16 ns a row, where simsimd 6.5 takes 13 with AVX-512 VNNI on borrowed rows, and 27 when each
//! row must first be copied into signed bytes; the Hamming distance takes 3.3 ns, simsimd 4.2 to 8.1, because of
//! its call. Reading the rows takes 10 to 12 ns. So there is no reason for a foreign function here.

/// Rows and sign codes are padded so that their dimensions are a multiple of this.
pub(super) const LANE_BLOCK: usize = 64;

const LANES: usize = 16;

/// Dimensions rounded up to a whole number of blocks.
pub(super) fn padded(dimensions: usize) -> usize {
    dimensions.next_multiple_of(LANE_BLOCK)
}

/// The largest magnitude a query component may have so that [`dot`] cannot overflow.
pub(super) fn query_component_max(width: usize) -> i16 {
    let per_component = i32::MAX as usize / (usize::from(u8::MAX) * width);
    per_component.min(i16::MAX as usize) as i16
}

/// Sum of the products of a query with a row of unsigned bytes of the same width.
///
/// The caller keeps the magnitudes of the query at or below [`query_component_max`] of the width, so that the
/// sum of all products, in whatever order, fits in an i32.
pub(super) fn dot(query: &[i16], row: &[u8]) -> i32 {
    debug_assert_eq!(query.len(), row.len());
    let mut sums = [0_i32; LANES];
    let (query_blocks, _) = query.as_chunks::<{ 2 * LANES }>();
    let (row_blocks, _) = row.as_chunks::<{ 2 * LANES }>();
    for (query_block, row_block) in query_blocks.iter().zip(row_blocks) {
        for lane in 0..LANES {
            let low = i32::from(query_block[lane]) * i32::from(i16::from(row_block[lane]));
            let high = i32::from(query_block[lane + LANES]) * i32::from(i16::from(row_block[lane + LANES]));
            sums[lane] += low + high;
        }
    }
    sums.iter().sum()
}

/// Number of bits in which two codes of the same width differ.
pub(super) fn hamming(query: &[u64], code: &[u8]) -> u32 {
    debug_assert_eq!(query.len() * 8, code.len());
    let (words, _) = code.as_chunks::<8>();
    query.iter().zip(words).map(|(query_word, word)| (query_word ^ u64::from_le_bytes(*word)).count_ones()).sum()
}

/// Writes the sign code of a row: bit `d` is set when component `d` is above zero, where zero is `bias`.
///
/// `code` has one bit for each component of `row`; bits go from the lowest of the first byte upwards.
pub(super) fn sign_code(row: &[u8], bias: u8, code: &mut [u8]) {
    debug_assert_eq!(row.len(), code.len() * 8);
    let (octets, _) = row.as_chunks::<8>();
    for (octet, signs) in octets.iter().zip(code) {
        *signs = (0..8).fold(0, |byte, bit| byte | (u8::from(octet[bit] > bias) << bit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_product_does_not_overflow_at_the_extremes_of_every_width() {
        for width in [64, 384, 1024, 4096] {
            let component = query_component_max(width);
            let expected = i64::from(component) * 255 * width as i64;
            assert_eq!(i64::from(dot(&vec![component; width], &vec![255; width])), expected);
            assert_eq!(i64::from(dot(&vec![-component; width], &vec![255; width])), -expected);
        }
    }

    #[test]
    fn dot_product_pairs_each_component_with_its_own() {
        let query: Vec<i16> = (0..128).map(|i| i * 7 % 61 - 30).collect();
        let row: Vec<u8> = (0..128).map(|i| (i * 13 % 255) as u8).collect();
        let expected: i32 = query.iter().zip(&row).map(|(&q, &r)| i32::from(q) * i32::from(r)).sum();
        assert_eq!(dot(&query, &row), expected);
    }

    #[test]
    fn hamming_distance_counts_the_signs_that_differ() {
        let mut row = vec![128; 64];
        row[0] = 129;
        row[63] = 255;
        row[5] = 1;
        let mut code = [0; 8];
        sign_code(&row, 128, &mut code);
        assert_eq!(code, [1, 0, 0, 0, 0, 0, 0, 128]);
        assert_eq!(hamming(&[0], &code), 2);
        assert_eq!(hamming(&[u64::from_le_bytes(code)], &code), 0);
    }
}
