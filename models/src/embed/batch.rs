//! Plans which passages are embedded together.
//!
//! A batch is padded to its longest text and attention costs the square of that length, so texts of like length go together
//! and a batch is bounded by its padded size. Pure: lengths in, positions out.

/// Parts the texts whose lengths in tokens are `lengths` into batches of positions, shortest texts first.
///
/// Every position occurs once. A batch holds at most `len_max` texts and, unless it is a single text, at most `tokens_max`
/// tokens with padding. Equal lengths keep their order, so equal inputs give equal batches.
pub(super) fn plan(lengths: &[usize], tokens_max: usize, len_max: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&position| lengths[position]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for position in order {
        // Ascending order: the text added is the longest of its batch.
        let fits = |batch: &Vec<usize>| batch.len() < len_max && (batch.len() + 1) * lengths[position] <= tokens_max;
        match batches.last_mut().filter(|batch| fits(batch)) {
            Some(batch) => batch.push(position),
            None => batches.push(vec![position]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lengths: &[usize], expected: &[&[usize]]) {
        assert_eq!(plan(lengths, 100, 3), expected);
    }

    #[test]
    fn texts_of_like_length_share_batches_bounded_by_count_and_padding() {
        check(&[], &[]);
        check(&[10], &[&[0]]);
        check(&[50, 10, 50, 10], &[&[1, 3], &[0, 2]]);
        check(&[10, 10, 10, 10], &[&[0, 1, 2], &[3]]);
        check(&[34, 33, 33, 33], &[&[1, 2, 3], &[0]]);
    }

    #[test]
    fn text_longer_than_the_bound_is_alone() {
        check(&[500, 10, 400], &[&[1], &[2], &[0]]);
    }
}
