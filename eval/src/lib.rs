//! Offline relevance and leak evaluation.
