//! The identity of a model: what two vectors must share to be compared.
//!
//! Content decides, not names or paths: the same files under the same settings give the same id on every machine, and any
//! change that could move a vector gives another. The runtime library is left out on purpose: its versions agree to rounding,
//! and an upgrade must not make every stored vector worthless.

use std::fmt;

/// Identity of an embedding model and of the settings that shape its vectors: 64 hexadecimal digits.
///
/// Vectors under different ids must never be compared. Equal ids mean equal weights, tokenizer, pooling, length limit and
/// prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(String);

impl ModelId {
    /// The id as stored: 64 lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes named parts in the order given. Names and lengths are hashed too, so that moving a byte from one part to the
    /// next changes the id.
    pub(super) fn from_parts<'a>(parts: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tessera 2026 embedding model id v1");
        for (name, content) in parts {
            for field in [name.as_bytes(), content] {
                hasher.update(&(field.len() as u64).to_le_bytes());
                hasher.update(field);
            }
        }
        Self(hasher.finalize().to_hex().to_string())
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_depends_on_names_contents_and_the_border_between_them() {
        let id = |parts: &[(&'static str, &'static [u8])]| ModelId::from_parts(parts.iter().copied());
        let base = id(&[("weights", b"ab"), ("pooling", b"mean")]);
        assert_eq!(base.as_str().len(), 64);
        assert_eq!(base, id(&[("weights", b"ab"), ("pooling", b"mean")]));
        assert_ne!(base, id(&[("weights", b"ab"), ("pooling", b"cls")]));
        assert_ne!(base, id(&[("weights", b"a"), ("pooling", b"bmean")]));
        assert_ne!(base, id(&[("weights", b"ab"), ("prefix", b"mean")]));
    }
}
