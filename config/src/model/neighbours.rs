//! What is asked of the neighbours themselves on a link? [`MdnsMode`] and [`LlmnrMode`].

/// What is done by multicast DNS (RFC 6762) on a link.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum MdnsMode {
    /// Nothing.
    #[default]
    Off,
    /// Names in `.local` are asked for when a program does.
    Resolve,
    /// That, and this machine answers for its own name.
    Respond,
}

impl MdnsMode {
    /// Returns the word for it, as the configuration has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Resolve => "resolve",
            Self::Respond => "respond",
        }
    }
}

/// What is done by LLMNR (RFC 4795) on a link; this machine never answers.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum LlmnrMode {
    /// Nothing.
    #[default]
    Off,
    /// Single labels are asked for when a program does, and no search suffix completes them.
    Resolve,
}
