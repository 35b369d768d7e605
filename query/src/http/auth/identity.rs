//! Someone who was identified, and what that allows: the one place where a `Caller` is built.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use access::{Caller, Subject};
use axum::http::Extensions;
use schemas::ids::{UserId, WorkspaceId};
use schemas::problem::ProblemCode;

use super::{Scope, refused};
use crate::http::problem::ApiError;
use crate::trace;

/// Who is asking, as far as it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(super) kind: IdentityKind,
    pub(super) workspace: Option<WorkspaceId>,
    pub(super) user: Option<UserId>,
    pub(super) scopes: HashSet<Scope>,
    /// The workspaces it may touch; empty for all.
    pub(super) workspaces: Vec<WorkspaceId>,
}

/// How someone was identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// Not at all.
    Anonymous,
    /// By a token.
    Person,
    /// By a service key, with its name.
    Service(String),
    /// By word alone.
    Development,
}

/// Whom a request turned out to be from, for what surrounds it: told as soon as it is known, also where the request is turned away.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<OnceLock<Identity>>);

impl Known {
    /// That of a request; one that nobody looks at where it is surrounded by nothing.
    pub(in crate::http) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Who it is, if that was found out.
    pub fn get(&self) -> Option<&Identity> {
        self.0.get()
    }

    /// Tells who it is, the log too. The first word holds.
    pub(super) fn is(&self, identity: &Identity) {
        if self.0.set(identity.clone()).is_err() || identity.kind == IdentityKind::Anonymous {
            return;
        }
        if let Some(workspace) = &identity.workspace {
            trace::in_workspace(workspace);
        }
    }
}

impl Identity {
    #[cfg(test)]
    pub(crate) fn test_person(workspace: &str, user: &str) -> Self {
        let workspace = WorkspaceId::new(workspace).expect("an id");
        Self {
            kind: IdentityKind::Person,
            workspace: Some(workspace.clone()),
            user: Some(UserId::new(user).expect("an id")),
            scopes: HashSet::from([Scope::Search]),
            workspaces: vec![workspace],
        }
    }

    /// How it was identified.
    pub fn kind(&self) -> &IdentityKind {
        &self.kind
    }

    /// The workspace it asks about, if it named one.
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        self.workspace.as_ref()
    }

    /// The person it asks for, if it named one.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The caller of a search: a person in a workspace.
    pub fn caller(&self) -> Result<Caller, ApiError> {
        self.require(Scope::Search)?;
        let workspace = self.workspace.clone().ok_or_else(|| self.unnamed())?;
        let user = self.user.clone().ok_or_else(|| self.unnamed())?;
        Ok(Caller { workspace, subject: Subject::User(user) })
    }

    /// The caller who opens a page by id: a person, or anyone who has the link and says to which workspace.
    pub fn reader(&self) -> Result<Caller, ApiError> {
        let nobody = matches!(self.kind, IdentityKind::Anonymous | IdentityKind::Development) && self.user.is_none();
        match &self.workspace {
            Some(workspace) if nobody => Ok(Caller { workspace: workspace.clone(), subject: Subject::Anonymous }),
            _ => self.caller(),
        }
    }

    /// The workspace that an administrator asks about.
    pub fn administered(&self) -> Result<&WorkspaceId, ApiError> {
        self.require(Scope::Admin)?;
        self.workspace.as_ref().ok_or_else(|| self.unnamed())
    }

    /// Whether it is an administrator.
    pub fn is_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    /// Whether it administers a workspace, named or not.
    pub fn may_administer(&self, workspace: &WorkspaceId) -> bool {
        self.is_admin() && (self.workspaces.is_empty() || self.workspaces.contains(workspace))
    }

    /// Refuses everyone who may not see what all workspaces come to: an administrator of some is none of them.
    pub fn operates(&self) -> Result<(), ApiError> {
        self.require(Scope::Admin)?;
        let is_of_all = matches!(self.kind, IdentityKind::Service(_) | IdentityKind::Development);
        if is_of_all && self.workspaces.is_empty() {
            return Ok(());
        }
        Err(ApiError::new(ProblemCode::Forbidden, "this is for service keys that may administer every workspace"))
    }

    /// Refuses everyone who is not identified.
    pub fn require_known(&self) -> Result<(), ApiError> {
        if self.kind == IdentityKind::Anonymous {
            return Err(refused("send `Authorization: Bearer` with a token or key"));
        }
        Ok(())
    }

    /// Refuses everyone who may not do this.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        self.require_known()?;
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(ApiError::new(ProblemCode::Forbidden, "this token or key does not have the scope for that"))
    }

    /// Whether it may send events of this workspace.
    pub fn may_write(&self, workspace: &WorkspaceId) -> bool {
        self.scopes.contains(&Scope::Ingest) && (self.workspaces.is_empty() || self.workspaces.contains(workspace))
    }

    /// What to answer to someone who is known and did not say for whom or where.
    fn unnamed(&self) -> ApiError {
        match self.kind {
            IdentityKind::Development => {
                refused("name the workspace and the person: `Tessera-Workspace`, `Tessera-User`")
            }
            _ => ApiError::new(
                ProblemCode::CallerRequired,
                "name the workspace and the person: `Tessera-Workspace`, `Tessera-Act-As`",
            ),
        }
    }
}
