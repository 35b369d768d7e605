//! The people: who has which role, which groups hold whom, and so which principals a user is.
//!
//! Principals are numbered once ([`Principals`]) so that the hot paths compare integers. Group lists are kept both
//! ways, down for the change and up for the question. Invariant: a group is in `containing[member]` exactly when the
//! member is in `members[group]`.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::grant::{Principal, Role};

/// The number of a principal in its workspace. Numbers only grow; a name that was ever used keeps its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PrincipalIndex(pub(crate) u32);

/// The number of [`Principal::Workspace`].
pub(crate) const WORKSPACE: PrincipalIndex = PrincipalIndex(0);
/// The number of [`Principal::Public`].
pub(crate) const PUBLIC: PrincipalIndex = PrincipalIndex(1);

impl PrincipalIndex {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// The numbering of principals.
#[derive(Debug)]
pub(crate) struct Principals {
    numbers: HashMap<Principal, PrincipalIndex>,
    names: Vec<Principal>,
}

impl Principals {
    pub(crate) fn new() -> Self {
        let mut principals = Self { numbers: HashMap::new(), names: Vec::new() };
        principals.intern(&Principal::Workspace);
        principals.intern(&Principal::Public);
        principals
    }

    pub(crate) fn intern(&mut self, principal: &Principal) -> PrincipalIndex {
        if let Some(&number) = self.numbers.get(principal) {
            return number;
        }
        let number = PrincipalIndex(self.names.len() as u32);
        self.numbers.insert(principal.clone(), number);
        self.names.push(principal.clone());
        number
    }

    pub(crate) fn get(&self, principal: &Principal) -> Option<PrincipalIndex> {
        self.numbers.get(principal).copied()
    }

    pub(crate) fn name(&self, number: PrincipalIndex) -> &Principal {
        &self.names[number.at()]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PrincipalIndex, &Principal)> {
        self.names.iter().enumerate().map(|(at, name)| (PrincipalIndex(at as u32), name))
    }
}

type List = Option<Arc<[PrincipalIndex]>>;

/// Roles and groups, each vector indexed by [`PrincipalIndex`] and as long as it was needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    roles: Vec<Option<Role>>,
    /// Sorted members of each group that exists.
    members: Vec<List>,
    /// Groups that hold a principal directly, unordered.
    containing: Vec<List>,
}

/// One principal of a user, and the one through which it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) principal: PrincipalIndex,
    /// The principal directly inside; `None` for the user itself.
    pub(crate) through: Option<PrincipalIndex>,
}

impl Directory {
    pub(crate) fn role(&self, user: PrincipalIndex) -> Option<Role> {
        self.roles.get(user.at()).copied().flatten()
    }

    /// Whether anyone can be reached by a grant to this principal.
    pub(crate) fn knows(&self, number: PrincipalIndex, name: &Principal) -> bool {
        match name {
            Principal::User(_) => !matches!(self.role(number), None | Some(Role::Removed)),
            Principal::Group(_) => self.members_of(number).is_some(),
            Principal::Workspace | Principal::Public => true,
        }
    }

    /// Everything a user is, nearest first: itself, its groups breadth-first, then the workspace for members.
    ///
    /// Empty for an unknown or removed user. `public` is not listed: it is everyone.
    pub(crate) fn principals_of(&self, user: PrincipalIndex) -> Vec<Reached> {
        let role = match self.role(user) {
            None | Some(Role::Removed) => return Vec::new(),
            Some(role) => role,
        };
        let mut reached = vec![Reached { principal: user, through: None }];
        let mut seen = std::collections::HashSet::from([user]);
        let mut next = 0;
        while let Some(&Reached { principal, .. }) = reached.get(next) {
            next += 1;
            for &group in self.containing.get(principal.at()).and_then(Option::as_deref).unwrap_or_default() {
                if seen.insert(group) {
                    reached.push(Reached { principal: group, through: Some(principal) });
                }
            }
        }
        if role == Role::Member {
            reached.push(Reached { principal: WORKSPACE, through: Some(user) });
        }
        reached
    }

    pub(crate) fn set_role(&mut self, user: PrincipalIndex, role: Role) {
        *slot(&mut self.roles, user) = Some(role);
    }

    /// The sorted members of a group; `None` when there is no such group.
    pub(crate) fn members_of(&self, group: PrincipalIndex) -> Option<&[PrincipalIndex]> {
        self.members.get(group.at()).and_then(Option::as_deref)
    }

    /// Replaces the members of a group (`None`: the group is gone). `members` is sorted and has no doubles.
    ///
    /// Costs what the difference costs, not what the group holds.
    pub(crate) fn set_members(&mut self, group: PrincipalIndex, members: Option<&[PrincipalIndex]>) {
        debug_assert!(members.unwrap_or_default().is_sorted_by(|a, b| a < b), "members are sorted, without doubles");
        let before = slot(&mut self.members, group).take();
        let (old, new) = (before.as_deref().unwrap_or_default(), members.unwrap_or_default());
        for &gone in old.iter().filter(|member| new.binary_search(member).is_err()) {
            let list = slot(&mut self.containing, gone);
            let kept: Arc<[_]> = list.iter().flat_map(|l| l.iter()).copied().filter(|&g| g != group).collect();
            *list = (!kept.is_empty()).then_some(kept);
        }
        for &added in new.iter().filter(|member| old.binary_search(member).is_err()) {
            let list = slot(&mut self.containing, added);
            *list = Some(list.iter().flat_map(|l| l.iter()).copied().chain([group]).collect());
        }
        self.members[group.at()] = members.map(Arc::from);
    }
}

fn slot<T: Clone + Default>(of: &mut Vec<T>, number: PrincipalIndex) -> &mut T {
    if of.len() <= number.at() {
        of.resize(number.at() + 1, T::default());
    }
    &mut of[number.at()]
}
