//! What can go wrong with one endpoint, and what is said when all have failed.
//!
//! Reasons are short texts of ours, numbers of statuses and plain names; nothing that a provider wrote is repeated, since it
//! may hold the prompt or the key.

use std::time::Duration;

use thiserror::Error;

use super::GenerateError;

/// Which part of the time for a first text an endpoint is silent for at least, where that speaks against it: who gives it less time says
/// nothing of it.
const SILENCE_PART: u32 = 4;

/// Why an endpoint wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Fault {
    /// It asks to be left alone for a while.
    #[error("asks to be left alone")]
    Busy { retry_after: Option<Duration> },
    /// It cannot be reached, or does not answer as it should.
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// It will not do this, however often it is asked.
    #[error("{reason}")]
    Refused {
        reason: String,
        /// Whether it would refuse any other request too: a wrong key, a wrong address.
        every_request: bool,
    },
    /// No text came within the time that it has for it.
    #[error("no text came in time")]
    Silent,
    /// No text came until the time of the request was over.
    #[error("the time is over")]
    Late,
}

impl Fault {
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: None }
    }

    /// For how long the endpoint asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Refused { .. } | Self::Silent | Self::Late => None,
        }
    }

    /// Whether it speaks against the endpoint, rather than against the request; `spent` is how long it was waited for, `slowest` how
    /// long a first text may take.
    pub(super) fn is_of_endpoint(&self, spent: Duration, slowest: Duration) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Refused { every_request, .. } => *every_request,
            Self::Silent | Self::Late => spent >= slowest / SILENCE_PART,
            Self::Busy { .. } => false,
        }
    }

    /// Whether no text came at all in the time that there was.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Silent | Self::Late)
    }

    /// What the ledger calls it.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Busy { .. } => Outcome::Busy,
            Self::Unavailable { .. } => Outcome::Unavailable,
            Self::Refused { .. } => Outcome::Refused,
            Self::Silent => Outcome::Silent,
            Self::Late => Outcome::Late,
        }
    }
}

/// How a call to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The model had said all.
    Complete,
    /// It came to the most tokens it may write.
    Length,
    /// The provider held the rest back.
    Filtered,
    /// Whoever asked went away.
    Dropped,
    /// The text broke off.
    Interrupted,
    /// The deadline came first.
    Late,
    /// No text came in the time that the endpoint has for it.
    Silent,
    /// It asked to be left alone.
    Busy,
    /// It turned the request down.
    Refused,
    /// It could not be reached, or did not answer as it should.
    Unavailable,
}

impl Outcome {
    /// All of them.
    pub(crate) const ALL: [Self; 10] = [
        Self::Complete,
        Self::Length,
        Self::Filtered,
        Self::Dropped,
        Self::Interrupted,
        Self::Late,
        Self::Silent,
        Self::Busy,
        Self::Refused,
        Self::Unavailable,
    ];

    /// As the ledger, counters and traces call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Length => "length",
            Self::Filtered => "filtered",
            Self::Dropped => "dropped",
            Self::Interrupted => "interrupted",
            Self::Late => "late",
            Self::Silent => "silent",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What went wrong with the endpoints that were asked for one text.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<(String, Fault)>,
}

impl Faults {
    pub(super) fn push(&mut self, endpoint: &str, fault: Fault) {
        self.faults.push((endpoint.to_owned(), fault));
    }

    /// What is said of all of them: that to try again may help, if it may.
    pub(super) fn into_error(self, retry_after: Duration) -> GenerateError {
        let is_refusal = |fault: &Fault| matches!(fault, Fault::Refused { .. });
        let told: Vec<String> = self.faults.iter().map(|(endpoint, fault)| format!("{endpoint}: {fault}")).collect();
        let told = told.join("; ");
        if self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Late)) {
            GenerateError::Late
        } else if self.faults.iter().all(|(_, fault)| matches!(fault, Fault::Busy { .. })) {
            GenerateError::Busy { retry_after }
        } else if self.faults.iter().all(|(_, fault)| is_refusal(fault)) {
            GenerateError::Refused(told)
        } else {
            GenerateError::Unavailable(told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_wait_says_nothing_of_an_endpoint() {
        let slowest = Duration::from_secs(20);
        for silence in [Fault::Silent, Fault::Late] {
            let speaks = |seconds| silence.is_of_endpoint(Duration::from_secs(seconds), slowest);
            assert_eq!([1, 4, 5, 20].map(speaks), [false, false, true, true], "{silence}");
        }
        assert!(Fault::unavailable("gone").is_of_endpoint(Duration::ZERO, slowest));
    }
}
