//! The keys of `[[services]]`.

use super::key;
use crate::reference::{Form, Key, Section, Syntax};

/// In the order of the reference.
pub(super) const KEYS: [Key; 6] = [
    key(
        Section::Services,
        "type",
        Syntax::Text(Form::ServiceType),
        None,
        "What is offered, as it is registered.",
    ),
    key(
        Section::Services,
        "port",
        Syntax::Integer {
            min: 1,
            max: 65_535,
        },
        None,
        "Where it is offered.",
    ),
    key(
        Section::Services,
        "name",
        Syntax::Text(Form::Text),
        None,
        "What users see, up to 63 octets; what the machine is called when not given, and with a number behind it where a neighbour has the name.",
    ),
    key(
        Section::Services,
        "text",
        Syntax::List(Form::ServiceText),
        Some("[]"),
        "What programs want to know before they connect: the strings of the TXT record.",
    ),
    key(
        Section::Services,
        "subtypes",
        Syntax::List(Form::Subtype),
        Some("[]"),
        "Narrower types that it is found by too.",
    ),
    key(
        Section::Services,
        "profiles",
        Syntax::List(Form::ProfileId),
        Some("[]"),
        "The profiles on whose links it is announced; none for all links that answer for this machine.",
    ),
];
