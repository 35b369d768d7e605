//! Markdown.

mod html;
mod inline;
pub mod parse;
