//! Machine-learning models behind one door: embeddings.
