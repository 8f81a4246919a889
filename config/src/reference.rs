//! Which keys are there? One table, [`KEYS`]: key checking, suggestions, `docs/config.md` and the JSON schema come from it.
//!
//! Says what a key looks like and what it is for; what its value means is decided in `check`.

mod keys;
mod kinds;
mod schema;
mod text;

pub use keys::KEYS;
pub use schema::json_schema;
pub(crate) use text::describe;
pub use text::markdown;

/// The kinds of file that have keys of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `linnet.toml` and `conf.d/*.toml`.
    Main,
    /// `profiles/*.toml`.
    Profile,
}

/// A table that holds keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The top of `linnet.toml`.
    Main,
    /// `[resolver]`.
    Resolver,
    /// `[links]`.
    Links,
    /// `[connectivity]`.
    Connectivity,
    /// One of `[[listeners]]`.
    Listeners,
    /// `[metrics]`.
    Metrics,
    /// `[dnstap]`.
    Dnstap,
    /// `[log]`.
    Log,
    /// One of `[[records]]`.
    Records,
    /// One of `[[lists]]`.
    Lists,
    /// One of `[[services]]`.
    Services,
    /// The top of a profile.
    Profile,
    /// `match` of a profile.
    Match,
    /// `[dns]` of a profile.
    Dns,
    /// `[dhcp]` of a profile.
    Dhcp,
    /// `[take]` of a profile.
    Take,
    /// `[delegated]` of a profile.
    Delegated,
    /// `[carrier]` of a profile.
    Carrier,
    /// `[hardware]` of a profile.
    Hardware,
    /// One of `addresses` of a profile.
    Addresses,
    /// One of `[[routes]]` of a profile.
    Routes,
    /// One of `[[rules]]` of a profile.
    Rules,
    /// `[link]` of a profile: its keys beyond the common ones hang on the kind.
    Link,
    /// One of `[[ports]]` of a profile: likewise.
    Ports,
    /// One of `[[peers]]` of a profile.
    Peers,
    /// One of `[[associations]]` of a profile.
    Associations,
}

impl Section {
    /// All sections, in the order of the reference.
    pub const ALL: [Self; 26] = [
        Self::Main,
        Self::Resolver,
        Self::Links,
        Self::Connectivity,
        Self::Listeners,
        Self::Metrics,
        Self::Dnstap,
        Self::Log,
        Self::Records,
        Self::Lists,
        Self::Services,
        Self::Profile,
        Self::Match,
        Self::Dns,
        Self::Dhcp,
        Self::Take,
        Self::Delegated,
        Self::Carrier,
        Self::Hardware,
        Self::Addresses,
        Self::Routes,
        Self::Rules,
        Self::Link,
        Self::Ports,
        Self::Peers,
        Self::Associations,
    ];

    /// Returns the kind of file that it stands in.
    pub const fn file(self) -> FileKind {
        match self {
            Self::Main
            | Self::Resolver
            | Self::Links
            | Self::Connectivity
            | Self::Listeners
            | Self::Metrics
            | Self::Dnstap
            | Self::Log
            | Self::Records
            | Self::Lists
            | Self::Services => FileKind::Main,
            Self::Profile
            | Self::Match
            | Self::Dns
            | Self::Dhcp
            | Self::Take
            | Self::Delegated
            | Self::Carrier
            | Self::Hardware
            | Self::Addresses
            | Self::Routes
            | Self::Rules
            | Self::Link
            | Self::Ports
            | Self::Peers
            | Self::Associations => FileKind::Profile,
        }
    }

    /// Returns how a diagnostic calls it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Main => "linnet.toml",
            Self::Resolver => "[resolver]",
            Self::Links => "[links]",
            Self::Connectivity => "[connectivity]",
            Self::Listeners => "[[listeners]]",
            Self::Metrics => "[metrics]",
            Self::Dnstap => "[dnstap]",
            Self::Log => "[log]",
            Self::Records => "[[records]]",
            Self::Lists => "[[lists]]",
            Self::Services => "[[services]]",
            Self::Profile => "a profile",
            Self::Match => "match",
            Self::Dns => "[dns]",
            Self::Dhcp => "[dhcp]",
            Self::Take => "[take]",
            Self::Delegated => "[delegated]",
            Self::Carrier => "[carrier]",
            Self::Hardware => "[hardware]",
            Self::Addresses => "[[addresses]]",
            Self::Routes => "[[routes]]",
            Self::Rules => "[[rules]]",
            Self::Link => "[link]",
            Self::Ports => "[[ports]]",
            Self::Peers => "[[peers]]",
            Self::Associations => "[[associations]]",
        }
    }

    /// Returns where a key that belongs here is to be written.
    pub const fn place(self) -> &'static str {
        match self {
            Self::Main => "at the top of linnet.toml",
            Self::Resolver => "in [resolver] of linnet.toml",
            Self::Links => "in [links] of linnet.toml",
            Self::Connectivity => "in [connectivity] of linnet.toml",
            Self::Listeners => "in [[listeners]] of linnet.toml",
            Self::Metrics => "in [metrics] of linnet.toml",
            Self::Dnstap => "in [dnstap] of linnet.toml",
            Self::Log => "in [log] of linnet.toml",
            Self::Records => "in [[records]] of linnet.toml or of a profile",
            Self::Lists => "in [[lists]] of linnet.toml",
            Self::Services => "in [[services]] of linnet.toml",
            Self::Profile => "at the top of a profile, before any [section]",
            Self::Match => "in `match` of a profile, as match = { … }",
            Self::Dns => "in [dns] of a profile",
            Self::Dhcp => "in [dhcp] of a profile",
            Self::Take => "in [take] of a profile",
            Self::Delegated => "in [delegated] of a profile",
            Self::Carrier => "in [carrier] of a profile",
            Self::Hardware => "in [hardware] of a profile",
            Self::Addresses => "in `addresses` of a profile, as { address = … }",
            Self::Routes => "in [[routes]] of a profile",
            Self::Rules => "in [[rules]] of a profile",
            Self::Link => "in [link] of a profile",
            Self::Ports => "in [[ports]] of a profile",
            Self::Peers => "in [[peers]] of a profile",
            Self::Associations => "in [[associations]] of a profile",
        }
    }

    /// Returns its keys.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.section == self)
    }
}

/// What a text in a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A path.
    Path,
    /// A unix socket, or an address and port.
    Place,
    /// An upstream.
    Upstream,
    /// A domain name.
    Domain,
    /// An address to listen at, with or without port.
    Listen,
    /// An address with the length of its network.
    Prefix,
    /// A network: a prefix without host bits.
    Network,
    /// An address.
    Address,
    /// A glob.
    Glob,
    /// A hardware address.
    Mac,
    /// A hardware address, or how one is made up.
    MacUse,
    /// A domain name, or one with `*.` before it.
    Owner,
    /// A record type.
    RecordType,
    /// A record's data, as zone files have it.
    Data,
    /// A word that something is called by.
    Label,
    /// A profile's id, or `default`.
    ScopeName,
    /// A profile's id.
    ProfileId,
    /// A type of service.
    ServiceType,
    /// A narrower type of service.
    Subtype,
    /// A string of a service's TXT record.
    ServiceText,
    /// A prefix for DNS64, `auto` or `off`.
    Mapping,
    /// A link's name.
    LinkName,
    /// Any text.
    Text,
    /// How the lower half of an address is made.
    Generation,
    /// What a DHCP server knows us by.
    ClientId,
    /// What a DHCP server knows the machine by.
    Duid,
    /// An option's value, its type before it.
    OptionValue,
    /// `ignore`, or a length of time.
    CarrierUse,
    /// An address, and perhaps its share.
    Hop,
    /// A number, or the first and the last of several.
    Range,
    /// A mark, and perhaps a mask.
    Mark,
    /// A length of time in milliseconds or seconds.
    Interval,
    /// Two numbers with a colon between them.
    Pair,
    /// Two ports with a hyphen between them.
    PortRange,
    /// A VLAN's number, or two with a hyphen between them.
    Vlans,
    /// A key of WireGuard.
    WireguardKey,
    /// A name or address, and a port.
    Endpoint,
    /// An address on the Web.
    Url,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A size in bytes, as `"8MiB"`.
    Size {
        /// The least, in bytes.
        min: u64,
        /// The greatest, in bytes.
        max: u64,
    },
    /// A length of time, as `"1d"`.
    Time {
        /// The least, in seconds.
        min: u64,
        /// The greatest, in seconds.
        max: u64,
    },
    /// One text.
    Text(Form),
    /// A list of texts.
    List(Form),
    /// One text, or a list.
    OneOrMore(Form),
    /// A list of whole numbers.
    Numbers {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A table whose keys are numbers from 1 on, with a text for each.
    Numbered {
        /// The greatest number.
        max: i64,
        /// What the texts are.
        form: Form,
    },
    /// A list of texts and tables; a text stands for a table that has it as `address`.
    Mixed(Form, Section),
    /// A table.
    Table(Section),
    /// A list of tables.
    Tables(Section),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table that it stands in.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub syntax: Syntax,
    /// What holds without it, as TOML; `None` when nothing does.
    pub default: Option<&'static str>,
    /// What it is for, in one sentence.
    pub doc: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// The version that brought it.
    pub since: &'static str,
}

/// Finds a key of a section.
pub fn find(section: Section, name: &str) -> Option<&'static Key> {
    section.keys().find(|key| key.name == name)
}

/// Finds the section, of whatever file, that a name which is unknown in `section` belongs to; the same file first.
pub(crate) fn home(section: Section, name: &str) -> Option<&'static Key> {
    let mut homes: Vec<&Key> = KEYS
        .iter()
        .filter(|key| key.name == name && key.section != section)
        .collect();
    homes.sort_by_key(|key| key.section.file() != section.file());
    homes.first().copied()
}

/// Names longer than this get no suggestion: comparing costs the product of the lengths.
const LONGEST_COMPARED: usize = 64;
/// How alike two words must be, from 0 to 1, for one to be suggested for the other.
const ALIKE: f64 = 0.75;

/// Returns the known word that `said` most likely means.
pub(crate) fn nearest<'a>(said: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if said.len() > LONGEST_COMPARED {
        return None;
    }
    let said = said.to_lowercase().replace('_', "-");
    known
        .map(|word| (strsim::jaro_winkler(&said, word), word))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_its_neighbour_and_a_strange_one_none() {
        let keys = || Section::Resolver.keys().map(|key| key.name);
        for (said, meant) in [
            ("lissen", Some("listen")),
            ("upstream", Some("upstreams")),
            ("resolv_conf", Some("resolv-conf")),
            ("Cache-Size", Some("cache-size")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(nearest(said, keys()), meant, "{said}");
        }
        assert_eq!(nearest(&"listen".repeat(100), keys()), None);
    }

    #[test]
    fn every_key_is_unique_and_documented_in_one_sentence() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(key.doc.ends_with('.') && !key.doc.contains(". "), "{key:?}");
            assert!(
                KEYS[at + 1..]
                    .iter()
                    .all(|other| (other.section, other.name) != (key.section, key.name)),
                "{key:?}"
            );
        }
    }

    #[test]
    fn every_secret_key_is_masked_by_its_name() {
        for key in KEYS {
            assert_eq!(key.secret, crate::secret::looks_secret(key.name), "{key:?}");
        }
    }

    #[test]
    fn a_key_in_the_wrong_place_finds_its_home() {
        assert_eq!(
            home(Section::Profile, "claims").map(|key| key.section),
            Some(Section::Dns)
        );
        assert_eq!(
            home(Section::Profile, "upstreams").map(|key| key.section),
            Some(Section::Dns)
        );
        assert_eq!(
            home(Section::Main, "dns").map(|key| key.section),
            Some(Section::Profile)
        );
        assert!(home(Section::Main, "frobnicate").is_none());
    }
}
