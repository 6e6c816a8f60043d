//! Who may do what (E5).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a caller may do; each may what those before it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See everything but keys and the audit log.
    #[serde(alias = "read-only")]
    ReadOnly,
    /// Talk to people, book, take over from an agent.
    Operator,
    /// Change agents, rules and the tenant's settings; export.
    Developer,
    /// Make and revoke keys, read the audit log.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::ReadOnly, Self::Operator, Self::Developer, Self::Admin];

    /// Its name, as it stands in keys and tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Operator => "operator",
            Self::Developer => "developer",
            Self::Admin => "admin",
        }
    }

    /// The role of that name. Identity providers have it with a hyphen too, as E5 spells `read-only`.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A role that a handler asks for, as a type.
pub trait AtLeast {
    /// The least role that may.
    const ROLE: Role;
}

macro_rules! at_least {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl AtLeast for $name {
            const ROLE: Role = Role::$name;
        }
    )* };
}

at_least! {
    /// Whoever may read.
    ReadOnly,
    /// Whoever may talk to people.
    Operator,
    /// Whoever may change how agents work.
    Developer,
    /// Whoever may make keys.
    Admin,
}
