//! Who may read what: the access graph and its one decision.
