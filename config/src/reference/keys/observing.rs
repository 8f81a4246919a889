//! The keys of `[metrics]`, `[dnstap]` and `[log]`.

use super::key;
use crate::reference::{Form, Key, Section, Syntax};

/// In the order of the reference.
pub(super) const KEYS: [Key; 9] = [
    key(
        Section::Metrics,
        "listen",
        Syntax::Text(Form::Place),
        None,
        "Where GET /metrics is answered; without it, nowhere.",
    ),
    key(
        Section::Dnstap,
        "socket",
        Syntax::Text(Form::Place),
        None,
        "The collector's socket, which is connected to again when it went away; what it does not take in time is counted and left out.",
    ),
    key(
        Section::Dnstap,
        "file",
        Syntax::Text(Form::Path),
        None,
        "A file instead of a collector; it begins anew with linnetd, and where a reload finds that it was moved away.",
    ),
    key(
        Section::Dnstap,
        "messages",
        Syntax::Choice(&["all", "client", "forwarder"]),
        Some("\"all\""),
        "Which messages: those of clients (`\"client\"`), those of upstreams and of the authoritative servers that linnet's own recursion asks (`\"forwarder\"`), or all of them.",
    ),
    key(
        Section::Dnstap,
        "client-addresses",
        Syntax::Boolean,
        Some("true"),
        "Whether addresses and ports of clients are told.",
    ),
    key(
        Section::Log,
        "queries",
        Syntax::Choice(&["off", "errors", "all"]),
        Some("\"off\""),
        "Which questions have a line: none, those that ended with an error, or all.",
    ),
    key(
        Section::Log,
        "names",
        Syntax::Boolean,
        Some("false"),
        "Whether a line has the name that was asked for, and texts that may hold it; otherwise it has a number that stands for the name until linnetd ends.",
    ),
    key(
        Section::Log,
        "file",
        Syntax::Text(Form::Path),
        None,
        "The file for the lines, opened again by a reload when it was moved away; without it they go where linnetd logs.",
    ),
    key(
        Section::Log,
        "lines-per-second",
        Syntax::Integer {
            min: 1,
            max: 100_000,
        },
        Some("100"),
        "The most lines in a second; what is beyond is counted, and the count logged.",
    ),
];
