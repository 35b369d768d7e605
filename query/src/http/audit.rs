//! What requests leave in the audit log: who asked, and which pages they were shown.
//!
//! An act is recorded when the answer is made and before it is sent. Events are not recorded, for a revocation waits for nothing.

use axum::http::{HeaderMap, StatusCode, header};
use schemas::problem::ProblemCode;

use super::App;
use super::auth::{Identity, IdentityKind, Known, SERVICE_KEY_PREFIX};
use super::problem::ApiError;
use crate::audit::act::{Act, Actor, Kind, What, Who};
use crate::audit::{Audit, Unrecorded};

impl From<Unrecorded> for ApiError {
    fn from(error: Unrecorded) -> Self {
        let detail = "what is done here must be recorded, and cannot be at the moment; try again later";
        Self::new(ProblemCode::Unavailable, detail).caused_by(error)
    }
}

impl App {
    pub(super) fn audit(&self) -> Option<&Audit> {
        self.0.audit.as_ref()
    }

    /// Records what somebody did, where that is on. An error where it must be recorded and cannot be: then it is not to be done.
    pub(super) fn note(&self, who: impl Into<Who>, request_id: &str, what: What) -> Result<(), ApiError> {
        let Some(audit) = self.audit() else { return Ok(()) };
        let what = What { request: Some(request_id.to_owned()), ..what };
        Ok(audit.record(Act { who: who.into(), what })?)
    }

    /// Records a request that was turned away for its identity or its rights, with who asked where that is known.
    pub(super) fn note_refused(&self, request_id: &str, refused: Refused) {
        let Some(audit) = self.audit() else { return };
        let what = What::new(Kind::Refused)
            .noting("method", refused.method)
            .noting("route", refused.route)
            .noting("shown", refused.shown)
            .noting("status", refused.status.as_str());
        let what = What { request: Some(request_id.to_owned()), ..what };
        let known = refused.known.get().filter(|identity| *identity.kind() != IdentityKind::Anonymous);
        let (actor, what) = match known.map(|identity| (identity, identity.workspace())) {
            None => (Actor::Nobody, what),
            Some((identity, Some(workspace))) => (Actor::from(identity), what.within(workspace)),
            Some((identity, None)) => (of_no_workspace(identity), what),
        };
        // Nothing is left to be turned away.
        let _ = audit.record(Act { who: actor.into(), what });
    }
}

/// A request that was turned away.
pub(super) struct Refused {
    pub(super) method: String,
    /// The template of its route.
    pub(super) route: String,
    /// What kind of identity was shown.
    pub(super) shown: &'static str,
    pub(super) status: StatusCode,
    /// Who asked, where that was found out.
    pub(super) known: Known,
}

/// What kind of identity a request shows.
pub(super) fn shown(headers: &HeaderMap) -> &'static str {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return "nothing" };
    let is_key = value.to_str().is_ok_and(|value| value.contains(SERVICE_KEY_PREFIX));
    if is_key { "key" } else { "token" }
}

/// Somebody who named no workspace. A person is somebody of one: without it, nobody could take them out of a line again.
fn of_no_workspace(identity: &Identity) -> Actor {
    match identity.kind() {
        IdentityKind::Service(key) => Actor::Service { key: key.clone(), user: None },
        _ => Actor::Nobody,
    }
}

impl From<&Identity> for Actor {
    fn from(identity: &Identity) -> Self {
        let user = identity.user().cloned();
        match (identity.kind(), user) {
            (IdentityKind::Person, Some(user)) => Self::Person { user },
            (IdentityKind::Service(key), user) => Self::Service { key: key.clone(), user },
            (IdentityKind::Development, user) => Self::Development { user },
            (IdentityKind::Anonymous | IdentityKind::Person, _) => Self::Nobody,
        }
    }
}

impl From<&Identity> for Who {
    fn from(identity: &Identity) -> Self {
        Actor::from(identity).into()
    }
}

/// Somebody who wrote something.
pub(super) fn writing(identity: &Identity, text: &str) -> Who {
    Who { text: Some(text.to_owned()), ..Who::from(identity) }
}
