//! Fonts: those carried in the binary, and those of the operator for the characters that these have not.
//!
//! DejaVu Sans, bold and monospaced, for Latin, Greek, Cyrillic, Arabic, Hebrew and more; `licenses/DejaVu.txt` has their licence. Invariant:
//! every font that is held can be read by whoever shapes text and by whoever writes PDF.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use harfrust::{FontRef, Shaper, ShaperData};
use krilla::text::Font;
use skrifa::charmap::Charmap;
use skrifa::raw::TableProvider;

use super::blocks::Style;
use crate::config::ConfigError;

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Where the fonts of the binary stand among all.
const REGULAR: usize = 0;
const BOLD: usize = 1;
const MONO: usize = 2;
/// How many there are.
const CARRIED: usize = 3;

type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A font in memory, with what shaping by it needs, which takes longer to make than a line of text.
struct Loaded {
    bytes: Bytes,
    shaping: ShaperData,
}

impl Loaded {
    /// `None` for what is no font to whoever shapes or to whoever writes PDF, or says nothing of how large its glyphs are.
    fn new(bytes: Bytes) -> Option<Self> {
        let font = FontRef::from_index((*bytes).as_ref(), 0).ok()?;
        let shaping = ShaperData::new(&font);
        let is_usable = font.head().ok()?.units_per_em() > 0 && Font::new(Arc::clone(&bytes).into(), 0).is_some();
        is_usable.then_some(Self { bytes, shaping })
    }
}

/// The fonts of a server. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Fonts(Arc<Vec<Arc<Loaded>>>);

impl Fonts {
    /// The fonts of the binary, and after them those of these files. The log says which file is wrong, and why.
    pub(crate) fn load(files: &[impl AsRef<Path>]) -> Result<Self, ConfigError> {
        let carried = [dejavu::sans::regular(), dejavu::sans::bold(), dejavu::sans_mono::regular()];
        let carried = carried.map(|bytes| Loaded::new(Arc::new(bytes)).expect("what is carried is a font"));
        let mut fonts: Vec<Arc<Loaded>> = carried.into_iter().map(Arc::new).collect();
        for file in files {
            let file = file.as_ref();
            let read = read(file).map_err(|reason| {
                tracing::error!(file = %file.display(), reason, "a font of `query.export.fonts` cannot be used");
                let requirement =
                    "must name files of TrueType or OpenType fonts of at most 64 MiB; the log says which one is none";
                ConfigError { key: "export.fonts", requirement }
            });
            fonts.push(Arc::new(read?));
        }
        Ok(Self(Arc::new(fonts)))
    }

    /// Those of the binary alone.
    pub(super) fn carried(&self) -> Self {
        Self(Arc::new(self.0[..CARRIED].to_vec()))
    }

    /// Whether the operator named some.
    pub(super) fn has_more(&self) -> bool {
        self.0.len() > CARRIED
    }

    /// The fonts, to shape text by.
    pub(super) fn faces(&self) -> Faces<'_> {
        Faces { faces: self.0.iter().map(|loaded| Face::open(loaded)).collect() }
    }

    /// A font, to be embedded.
    pub(super) fn embeddable(&self, at: usize) -> Font {
        Font::new(Arc::clone(&self.0[at].bytes).into(), 0).expect("it could be read when it was loaded")
    }
}

impl std::fmt::Debug for Fonts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Fonts({})", self.0.len())
    }
}

/// A file, if it is a font; else why not.
fn read(file: &Path) -> Result<Loaded, String> {
    let about = fs::metadata(file).map_err(|error| error.to_string())?;
    if about.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes", about.len()));
    }
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    Loaded::new(Arc::new(bytes)).ok_or_else(|| "it is no font".to_owned())
}

/// A font that was opened.
struct Face<'a> {
    shaper: Shaper<'a>,
    characters: Charmap<'a>,
}

impl<'a> Face<'a> {
    fn open(loaded: &'a Loaded) -> Self {
        let font = FontRef::from_index((*loaded.bytes).as_ref(), 0).expect("it could be read when it was loaded");
        Self { shaper: loaded.shaping.shaper(&font).build(), characters: Charmap::new(&font) }
    }
}

/// Fonts that were opened for a document.
pub(super) struct Faces<'a> {
    faces: Vec<Face<'a>>,
}

impl<'a> Faces<'a> {
    /// What shapes text by a font.
    pub(super) fn shaper(&self, at: usize) -> &Shaper<'a> {
        &self.faces[at].shaper
    }

    /// The font of a style.
    pub(super) fn first_for(style: Style) -> usize {
        match style {
            Style { mono: true, .. } => MONO,
            Style { bold: true, .. } => BOLD,
            _ => REGULAR,
        }
    }

    /// The first font that has a character, in the style if there is one; none where no font has it.
    pub(super) fn find(&self, c: char, style: Style) -> Option<usize> {
        let first = Self::first_for(style);
        std::iter::once(first).chain(0..self.faces.len()).find(|&at| self.has(at, c))
    }

    /// Whether a font has a character.
    pub(super) fn has(&self, at: usize, c: char) -> bool {
        self.faces[at].characters.map(c).is_some()
    }
}
