//! Whether messages can be published now, for readiness.

/// What a publisher's connection is worth at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerState {
    /// There is no session; one is being tried for.
    Connecting {
        /// Why the last session or attempt ended; empty before the first.
        reason: String,
    },
    /// Connected, and the broker takes messages.
    Open,
    /// Connected, but the broker takes no messages, or confirms none.
    Blocked {
        /// What the broker said, or what was observed.
        reason: String,
    },
}

impl BrokerState {
    /// The names of all states.
    pub(crate) const NAMES: [&'static str; 3] = ["connecting", "open", "blocked"];

    /// The state's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Open => "open",
            Self::Blocked { .. } => "blocked",
        }
    }

    /// Whether a message published now has a good chance to be confirmed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

impl std::fmt::Display for BrokerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connecting { reason } if reason.is_empty() => f.write_str("connecting"),
            Self::Connecting { reason } => write!(f, "connecting: {reason}"),
            Self::Open => f.write_str("open"),
            Self::Blocked { reason } => write!(f, "blocked: {reason}"),
        }
    }
}
