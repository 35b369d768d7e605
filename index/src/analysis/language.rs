//! The languages that analysis tells apart.
//!
//! A language decides which stemmer a word gets, and nothing else: segmentation, folding and the n-grams of scripts
//! without spaces are the same in every language, so that positions never depend on it. Detection is in `detect`.
//!
//! Invariant: codes are stored in indexes. A code is never given to another language.

use serde::{Deserialize, Serialize};

/// A language that analysis treats in its own way, or `Other`.
///
/// Serialised as its BCP 47 tag (`"en"`, `"zh"`; `"und"` for `Other`), stored as [`Language::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[repr(u8)]
pub enum Language {
    /// Unknown, or without a stemmer (Polish, Vietnamese, Hindi ...): words are folded but not stemmed.
    #[default]
    #[serde(rename = "und")]
    Other = 0,
    /// Arabic.
    #[serde(rename = "ar")]
    Arabic = 1,
    /// Danish.
    #[serde(rename = "da")]
    Danish = 2,
    /// Dutch.
    #[serde(rename = "nl")]
    Dutch = 3,
    /// English.
    #[serde(rename = "en")]
    English = 4,
    /// Finnish.
    #[serde(rename = "fi")]
    Finnish = 5,
    /// French.
    #[serde(rename = "fr")]
    French = 6,
    /// German.
    #[serde(rename = "de")]
    German = 7,
    /// Greek.
    #[serde(rename = "el")]
    Greek = 8,
    /// Hungarian.
    #[serde(rename = "hu")]
    Hungarian = 9,
    /// Italian.
    #[serde(rename = "it")]
    Italian = 10,
    /// Norwegian, both written forms.
    #[serde(rename = "no")]
    Norwegian = 11,
    /// Portuguese.
    #[serde(rename = "pt")]
    Portuguese = 12,
    /// Romanian.
    #[serde(rename = "ro")]
    Romanian = 13,
    /// Russian.
    #[serde(rename = "ru")]
    Russian = 14,
    /// Spanish.
    #[serde(rename = "es")]
    Spanish = 15,
    /// Swedish.
    #[serde(rename = "sv")]
    Swedish = 16,
    /// Tamil.
    #[serde(rename = "ta")]
    Tamil = 17,
    /// Turkish.
    #[serde(rename = "tr")]
    Turkish = 18,
    /// Chinese, simplified or traditional.
    #[serde(rename = "zh")]
    Chinese = 19,
    /// Japanese.
    #[serde(rename = "ja")]
    Japanese = 20,
    /// Korean.
    #[serde(rename = "ko")]
    Korean = 21,
    /// Thai; Lao, Khmer and Burmese text is analysed in the same way.
    #[serde(rename = "th")]
    Thai = 22,
}

impl Language {
    /// Every language, in the order of its code.
    pub const ALL: [Self; 23] = [
        Self::Other,
        Self::Arabic,
        Self::Danish,
        Self::Dutch,
        Self::English,
        Self::Finnish,
        Self::French,
        Self::German,
        Self::Greek,
        Self::Hungarian,
        Self::Italian,
        Self::Norwegian,
        Self::Portuguese,
        Self::Romanian,
        Self::Russian,
        Self::Spanish,
        Self::Swedish,
        Self::Tamil,
        Self::Turkish,
        Self::Chinese,
        Self::Japanese,
        Self::Korean,
        Self::Thai,
    ];

    /// The stored form, 0 to 22; the same in every release.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The language of a stored code; `None` for a code that no release has given out.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The BCP 47 tag: two letters, or `und`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Other => "und",
            Self::Arabic => "ar",
            Self::Danish => "da",
            Self::Dutch => "nl",
            Self::English => "en",
            Self::Finnish => "fi",
            Self::French => "fr",
            Self::German => "de",
            Self::Greek => "el",
            Self::Hungarian => "hu",
            Self::Italian => "it",
            Self::Norwegian => "no",
            Self::Portuguese => "pt",
            Self::Romanian => "ro",
            Self::Russian => "ru",
            Self::Spanish => "es",
            Self::Swedish => "sv",
            Self::Tamil => "ta",
            Self::Turkish => "tr",
            Self::Chinese => "zh",
            Self::Japanese => "ja",
            Self::Korean => "ko",
            Self::Thai => "th",
        }
    }

    /// The language of a tag such as `de`, `de-AT`, `pt_BR` or `nb`; `Other` for any it does not know.
    pub fn from_tag(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        match primary.as_str() {
            "nb" | "nn" => Self::Norwegian,
            "lo" | "km" | "my" => Self::Thai,
            other => Self::ALL.into_iter().find(|language| language.tag() == other).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn code_and_tag_and_serde_agree_for_every_language() {
        for (index, language) in Language::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(language.code()), index);
            assert_eq!(Language::from_code(language.code()), Some(language));
            assert_eq!(Language::from_tag(language.tag()), language);
            assert_eq!(serde_json::to_string(&language).unwrap(), format!("\"{}\"", language.tag()));
        }
        assert_eq!(Language::from_code(23), None);
    }

    #[test]
    fn tags_with_regions_and_unknown_tags_are_understood() {
        assert_eq!(Language::from_tag("de-AT"), Language::German);
        assert_eq!(Language::from_tag("pt_BR"), Language::Portuguese);
        assert_eq!(Language::from_tag("nn"), Language::Norwegian);
        assert_eq!(Language::from_tag("EN"), Language::English);
        assert_eq!(Language::from_tag("tlh"), Language::Other);
        assert_eq!(Language::from_tag(""), Language::Other);
    }
}
