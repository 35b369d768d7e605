//! Why someone can or cannot see a page: the decision, retold with its reasons.
//!
//! For administrators only: it names pages, groups and grants that the subject may not know of. It decides nothing;
//! the verdict is `AccessGraph::decide`, and the rest shows what that was made from, in the newest view.

use std::collections::{HashMap, HashSet};
use std::fmt;

use schemas::grant::{Grant, Level, Principal, Role};
use schemas::ids::PageId;
use serde::{Deserialize, Serialize};

use crate::caller::{Decision, Subject};
use crate::change::PageOrdinal;
use crate::directory::{PUBLIC, PrincipalIndex, Reached};
use crate::graph::AccessGraph;
use crate::tree::{Fault, Link, Presence};

/// What a subject can do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Finds it by search and opens it.
    FindsAndOpens,
    /// Opens it with its link; search does not show it.
    OpensByLink,
    /// Finds it in the trash.
    InTrash,
    /// Nothing.
    Nothing,
}

/// One page of the way from the root down, and what it contributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PathStep {
    /// The page.
    pub page: PageId,
    /// Grants that come down to it. None at the root, at a restricted page, and at a broken one.
    pub inherited: Vec<Grant>,
    /// Its own grants.
    pub own: Vec<Grant>,
    /// Whether it cuts off the grants from above.
    pub restricted: bool,
    /// Whether it was put into the trash itself.
    pub trashed: bool,
    /// Why nobody has access to it, whatever the grants.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<Fault>,
}

/// One principal that the subject is, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reach {
    /// The principal.
    pub principal: Principal,
    /// From the subject to the principal, both included: each is in the next.
    pub through: Vec<Principal>,
}

/// A grant that reaches the subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Match {
    /// The grant.
    pub grant: Grant,
    /// The page that it was given on: the explained one or one above it.
    pub given_on: PageId,
    /// From the subject to the principal of the grant.
    pub through: Vec<Principal>,
}

/// Why a subject can or cannot find and open a page. `Display` tells it in plain sentences, one per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// Whom it is about: `user:ID` or `anonymous`.
    pub subject: String,
    /// The page it is about.
    pub page: PageId,
    /// What holds now.
    pub verdict: Verdict,
    /// Whether search shows it.
    pub can_find: bool,
    /// Whether it opens by id.
    pub can_open: bool,
    /// The level, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub level: Option<Level>,
    /// What will hold once a change that was taken in is committed, where that differs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<Verdict>,
    /// The role of the subject; none for strangers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<Role>,
    /// Root first, the page last; from the nearest break down if it is broken. Empty for a page that is not there.
    pub path: Vec<PathStep>,
    /// Everything that the subject is, nearest first.
    pub principals: Vec<Reach>,
    /// The grants that reach the subject.
    pub matches: Vec<Match>,
    /// The reasons in plain English, the verdict first.
    pub sentences: Vec<String>,
    /// The access state that it tells.
    pub access_seq: u64,
    /// The access state up to which access is given.
    pub published_seq: u64,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentences.join("\n"))
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision { discover: true, .. } => Self::FindsAndOpens,
            Decision { read: true, .. } => Self::OpensByLink,
            _ if decision.in_trash() => Self::InTrash,
            _ => Self::Nothing,
        }
    }
}

impl AccessGraph {
    /// Says why a subject can or cannot find and open a page.
    ///
    /// Costs what the page has above it and the subject's groups. Never to be shown to others than administrators.
    pub fn explain(&self, subject: &Subject, page: &PageId) -> Explanation {
        let ordinal = self.ordinal_of(page);
        let newest = ordinal.map(|at| self.decide_in(&self.newest, subject, at)).unwrap_or_default();
        let published = ordinal.map(|at| self.decide_in(&self.published, subject, at)).unwrap_or_default();
        let decision = newest.and(published);
        let verdict = Verdict::from(decision);
        let path = ordinal.map(|at| self.path_to(at)).unwrap_or_default();
        let reached = self.reached_by(&self.newest, subject);
        let principals = reached.iter().map(|to| self.reach(&reached, to.principal)).collect();
        let role = match subject {
            Subject::User(user) => self.role_of(user),
            Subject::Anonymous => None,
        };
        let mut explanation = Explanation {
            subject: subject.to_string(),
            page: page.clone(),
            verdict,
            can_find: decision.discover,
            can_open: decision.read,
            level: decision.level,
            pending: Some(Verdict::from(newest)).filter(|&newest| newest != verdict),
            role,
            matches: ordinal.map(|at| self.matches(at, &path, &reached)).unwrap_or_default(),
            path,
            principals,
            sentences: Vec::new(),
            access_seq: self.seq(),
            published_seq: self.published_seq(),
        };
        explanation.sentences = tell(&explanation, newest, self.missing_parent(ordinal));
        explanation
    }

    fn path_to(&self, ordinal: PageOrdinal) -> Vec<PathStep> {
        let mut known = HashMap::new();
        let mut path: Vec<PathStep> = Vec::new();
        let gone = self.tree.get(ordinal).is_none_or(|node| node.presence == Presence::Deleted);
        if gone {
            return path;
        }
        // Going round a cycle once is enough.
        let mut seen = HashSet::from([ordinal.0]);
        let upwards: Vec<u32> = self.tree.ancestors(ordinal.0).take_while(|&above| seen.insert(above)).collect();
        for at in upwards.into_iter().rev().chain([ordinal.0]) {
            let node = self.tree.node(at);
            let Some(page) = node.page.clone() else { continue };
            let broken = self.is_broken(at);
            let parent = self.tree.parent(at).filter(|_| !node.restricted && !broken);
            path.push(PathStep {
                page,
                inherited: parent.map(|parent| self.name_grants(self.effective_grants(parent))).unwrap_or_default(),
                own: self.name_grants(&node.grants),
                restricted: node.restricted,
                trashed: node.trashed,
                fault: broken.then(|| self.tree.fault(at, &mut known)),
            });
        }
        path
    }

    fn name_grants(&self, grants: &[(PrincipalIndex, Level)]) -> Vec<Grant> {
        let name = |&(principal, level): &(PrincipalIndex, Level)| Grant {
            principal: self.principals.name(principal).clone(),
            level,
        };
        grants.iter().map(name).collect()
    }

    /// The way from the subject to a principal that it is.
    fn reach(&self, reached: &[Reached], to: PrincipalIndex) -> Reach {
        let mut through = Vec::new();
        let mut next = Some(to);
        while let Some(principal) = next {
            through.push(self.principals.name(principal).clone());
            next = reached.iter().find(|step| step.principal == principal).and_then(|step| step.through);
        }
        through.reverse();
        Reach { principal: self.principals.name(to).clone(), through }
    }

    fn matches(&self, ordinal: PageOrdinal, path: &[PathStep], reached: &[Reached]) -> Vec<Match> {
        let reaches = |principal| principal == PUBLIC || reached.iter().any(|step| step.principal == principal);
        let effective = self.effective_grants(ordinal.0).iter().filter(|(principal, _)| reaches(*principal));
        let given_on = |grant: &Grant| path.iter().rev().find(|step| step.own.contains(grant));
        self.name_grants(&effective.copied().collect::<Vec<_>>())
            .into_iter()
            .filter_map(|grant| {
                let given_on = given_on(&grant)?.page.clone();
                let number = self.principals.get(&grant.principal)?;
                Some(Match { through: self.reach(reached, number).through, grant, given_on })
            })
            .collect()
    }

    /// The page that the topmost known one above hangs under, when that has not arrived or is deleted.
    fn missing_parent(&self, ordinal: Option<PageOrdinal>) -> Option<PageId> {
        let ordinal = ordinal?.0;
        let top = self.tree.ancestors(ordinal).last().unwrap_or(ordinal);
        match &self.tree.node(top).link {
            Link::Waiting(page) => Some(page.clone()),
            Link::Page(parent) => self.tree.node(*parent).page.clone(),
            Link::Unknown | Link::Workspace => None,
        }
    }
}

/// Tells an explanation in sentences.
fn tell(explanation: &Explanation, newest: Decision, missing_parent: Option<PageId>) -> Vec<String> {
    let Explanation { subject, page, path, .. } = explanation;
    let mut told = vec![match (explanation.verdict, explanation.level) {
        (Verdict::FindsAndOpens, Some(level)) => format!("{subject} can find and open {page}, with level {level}."),
        (Verdict::OpensByLink, Some(level)) => {
            format!("{subject} can open {page} with its link, with level {level}, and does not find it by search.")
        }
        (Verdict::InTrash, Some(level)) => format!("{subject} can find {page} in the trash, with level {level}."),
        _ => format!("{subject} can neither find nor open {page}."),
    }];
    let pending = match explanation.pending {
        Some(Verdict::FindsAndOpens) => Some("it can be found and opened"),
        Some(Verdict::OpensByLink) => Some("it opens with its link"),
        Some(Verdict::InTrash) => Some("it can be found in the trash"),
        Some(Verdict::Nothing) | None => None,
    };
    told.extend(pending.map(|outcome| format!("Once a pending change is committed, {outcome}.")));
    told.push(match explanation.role {
        Some(Role::Member) => format!("{subject} is a member of the workspace."),
        Some(Role::Guest) => format!("{subject} is a guest: grants to the workspace do not count."),
        Some(Role::Removed) => format!("{subject} was removed from the workspace: only public pages open, by link."),
        None if subject == "anonymous" => "Without an identity only public pages open, by link.".to_owned(),
        None => format!("{subject} is not known in the workspace: only public pages open, by link."),
    });
    let Some(last) = path.last() else {
        told.push(format!("There is no page {page}."));
        return told;
    };
    if let Some(fault) = last.fault {
        told.push(match (fault, missing_parent) {
            (Fault::MissingParent, Some(parent)) => format!(
                "{} hangs under {parent}, which is not known or deleted: nobody has access to it or to what is below.",
                path[0].page
            ),
            (Fault::MissingParent, None) => {
                format!("Where {} hangs is not known: nobody has access to it or to what is below.", path[0].page)
            }
            (Fault::Cycle, _) => {
                format!("{page} hangs, at some point above, under itself: nobody has access until that is undone.")
            }
            (Fault::TooDeep, _) => format!("{page} is deeper than {} levels: nobody has access.", crate::DEPTH_MAX),
            (Fault::OrdinalClash, _) => {
                format!(
                    "The number of {page}, or of a page above it, is taken twice: nobody has access. This is a bug."
                )
            }
        });
        return told;
    }
    for step in path.iter().filter(|step| step.trashed) {
        told.push(if step.page == *page {
            format!("{page} is in the trash: only those who can edit it find it there, and public links do not count.")
        } else {
            format!("{} is in the trash, and so is {page}: only those who can edit it find it there.", step.page)
        });
    }
    for step in path.iter().filter(|step| step.restricted) {
        told.push(format!("{} is restricted: no grants come down to it from above.", step.page));
    }
    for Match { grant: Grant { principal, level }, given_on, through } in &explanation.matches {
        let way: Vec<_> = through.iter().map(ToString::to_string).collect();
        told.push(match principal {
            Principal::Public => format!("{given_on} is open at level {level} to anyone with the link."),
            Principal::User(_) => format!("{given_on} gives {principal} the level {level}."),
            Principal::Workspace => format!("{given_on} gives all members the level {level}."),
            Principal::Group(_) => format!("{given_on} gives {principal} the level {level}: {}.", way.join(" in ")),
        });
    }
    if explanation.matches.is_empty() {
        told.push(format!("No grant on {page} reaches {subject}."));
    } else if newest.trashed && !newest.in_trash() {
        told.push("None of that is a level of edit or more.".into());
    }
    told
}
