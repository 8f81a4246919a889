//! The keys of `[[records]]` and `[[lists]]`.

use super::key;
use crate::reference::{Form, Key, Section, Syntax};

/// In the order of the reference.
pub(super) const KEYS: [Key; 14] = [
    key(
        Section::Records,
        "name",
        Syntax::Text(Form::Owner),
        None,
        "The owner; a wildcard means the names below, as RFC 4592 has it.",
    ),
    key(
        Section::Records,
        "type",
        Syntax::Text(Form::RecordType),
        None,
        "The record type.",
    ),
    key(
        Section::Records,
        "data",
        Syntax::OneOrMore(Form::Data),
        None,
        "The data, one text for each record; names in it are absolute, with or without the final dot.",
    ),
    key(
        Section::Records,
        "ttl",
        Syntax::Integer {
            min: 0,
            max: 604_800,
        },
        Some("60"),
        "The TTL, in seconds.",
    ),
    key(
        Section::Records,
        "pass-on",
        Syntax::Boolean,
        Some("false"),
        "Whether types that the name does not have here are asked for as if there were no record; without it the answer is that there are none.",
    ),
    key(
        Section::Records,
        "reverse",
        Syntax::Boolean,
        Some("false"),
        "Whether the addresses of an A or AAAA record point back to its name.",
    ),
    key(
        Section::Lists,
        "path",
        Syntax::Text(Form::Path),
        None,
        "The file, within the administrator's directory when it is not absolute; it is read again whenever it changes.",
    ),
    key(
        Section::Lists,
        "name",
        Syntax::Text(Form::Label),
        None,
        "What the list is called; its file's name without ending when not given.",
    ),
    key(
        Section::Lists,
        "format",
        Syntax::Choice(&["domains", "hosts", "rpz"]),
        Some("\"domains\""),
        "How the file is written: a name a line, as hosts(5), or a response policy zone with its QNAME triggers.",
    ),
    key(
        Section::Lists,
        "action",
        Syntax::Choice(&["nxdomain", "nodata", "refuse", "zero-address"]),
        None,
        "What becomes of its names; without it what an RPZ file says, else they do not exist.",
    ),
    key(
        Section::Lists,
        "subdomains",
        Syntax::Boolean,
        None,
        "Whether names below a listed one are meant too; without it they are for domains, are not for hosts, and are as an RPZ file says.",
    ),
    key(
        Section::Lists,
        "error",
        Syntax::Choice(&["blocked", "censored", "filtered"]),
        Some("\"blocked\""),
        "What the answer says of the reason (Extended DNS Errors 15, 16 and 17); a rewritten one says 4.",
    ),
    key(
        Section::Lists,
        "exceptions",
        Syntax::List(Form::Domain),
        Some("[]"),
        "Names, each with all below it, that the list does not touch.",
    ),
    key(
        Section::Lists,
        "scopes",
        Syntax::List(Form::ScopeName),
        Some("[]"),
        "The profiles whose scopes it holds in, or default for names that nobody claims; none for everywhere.",
    ),
];
