//! What an operator can choose about documents. Every key has a unit, a default and a bound.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// Choices about documents in PDF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportConfig {
    /// Files of TrueType and OpenType fonts, at most 16 of at most 64 MiB, tried in order for characters that the fonts carried in the binary
    /// have not, as those of Chinese, Japanese and Korean; none. They are held in memory.
    pub fonts: Vec<PathBuf>,
    /// The size of a sheet of paper; `a4`.
    pub paper: Paper,
    /// Sheets of a document, 1 to 5,000; 300. A longer one is refused.
    pub sheets_max: usize,
    /// Bytes of a document, 64 KiB to 256 MiB; 16 MiB. A larger one is refused.
    pub bytes_max: usize,
    /// Documents that are laid out side by side; 0 means one for each two cores. Others wait for their turn for a share of their time
    /// (`queue_share`).
    pub documents_max: usize,
}

/// A size of paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Paper {
    /// 210 by 297 millimetres.
    #[default]
    A4,
    /// 8.5 by 11 inches.
    Letter,
}

/// Most files of fonts.
const FONTS_MAX: usize = 16;

impl Default for ExportConfig {
    fn default() -> Self {
        Self { fonts: Vec::new(), paper: Paper::A4, sheets_max: 300, bytes_max: 16 << 20, documents_max: 0 }
    }
}

impl ExportConfig {
    /// Checks every value against its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        rule(self.fonts.len() <= FONTS_MAX, "export.fonts", "must name at most 16 files")?;
        rule((1..=5_000).contains(&self.sheets_max), "export.sheets_max", "must be from 1 to 5,000")?;
        let bytes = (64 << 10..=256 << 20).contains(&self.bytes_max);
        rule(bytes, "export.bytes_max", "must be from 64 KiB to 256 MiB")?;
        rule(self.documents_max <= 1_000, "export.documents_max", "must be at most 1,000")
    }

    /// [`ExportConfig::documents_max`], or one for each two cores.
    pub(crate) fn documents_max_effective(&self) -> usize {
        let halved = || std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        if self.documents_max > 0 { self.documents_max } else { halved() }
    }
}
