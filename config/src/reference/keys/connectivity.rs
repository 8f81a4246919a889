//! The keys of `[connectivity]`.

use super::key;
use crate::reference::{Form, Key, Section, Syntax};

/// In the order of the reference.
pub(super) const KEYS: [Key; 5] = [
    key(
        Section::Connectivity,
        "check",
        Syntax::Choice(&["auto", "always", "never"]),
        Some("\"auto\""),
        "Of which links it is found out what lies behind them: those whose network supplies something (DHCP, router advertisements), and all that have a default route where several have one; all that have one; or none.",
    ),
    key(
        Section::Connectivity,
        "portal",
        Syntax::Boolean,
        Some("true"),
        "Whether the portal that a network announces (RFC 8910) is asked by HTTPS whether somebody has to log in (RFC 8908), and a network that forges answers where it leads people to.",
    ),
    key(
        Section::Connectivity,
        "name",
        Syntax::Text(Form::Domain),
        None,
        "The name that is asked for instead of one that is made up right below the root; it should be signed, and is asked in the link's own scope.",
    ),
    key(
        Section::Connectivity,
        "url",
        Syntax::Text(Form::Url),
        None,
        "A page that is fetched beside, which must answer with success, lead nowhere else, and at http:// be no HTML, as that is what portals put in its place; without it no page is.",
    ),
    key(
        Section::Connectivity,
        "retry-max",
        Syntax::Time {
            min: 5,
            max: 86_400,
        },
        Some("\"5m\""),
        "The longest pause between two tries on a link that leads nowhere or to a portal; they begin 5 s apart, and wait for somebody to ask for a name once they are 40 s apart.",
    ),
];
