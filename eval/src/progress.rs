//! How far something long has come, for whoever shows it.

/// A step of what is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// What is being done, in a few words.
    pub what: &'a str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is, once known.
    pub total: Option<u64>,
}

/// Is told of every step.
pub type Watch<'a> = &'a mut dyn FnMut(Step<'_>);
