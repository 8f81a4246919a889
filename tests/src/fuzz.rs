//! What must survive any bytes? Every parser of linnet, as a table of targets.
//!
//! `tests/fuzz` runs each target under the fuzzer; the replay test runs each over its corpus, and over damaged copies of it, on
//! stable. A target returns nothing: it must end, and not panic.

use config::diagnostic::Colour;
use config::layer::{Layer, LayerKind, Origin, Rank};
use resolver::wire::{Question, class, rtype};

/// A target: its name, which is its corpus' folder, and what to do with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("query", query),
    ("reply", reply),
    ("hosts", hosts),
    ("frame", frame),
    ("socket_table", socket_table),
    ("netlink", netlink),
    ("config", config_file),
    ("resolv_conf", resolv_conf),
    ("call", call),
];

/// Runs one target by its name.
///
/// # Panics
/// When there is none of this name, or when the target finds a mistake.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("a target of this name");
    target(bytes);
}

fn query(bytes: &[u8]) {
    if let Ok(query) = resolver::wire::parse_query(bytes) {
        assert!(
            query.question.name.as_wire().len() <= 255,
            "a name is never longer"
        );
    }
}

fn reply(bytes: &[u8]) {
    let id = bytes
        .first_chunk::<2>()
        .map_or(0, |id| u16::from_be_bytes(*id));
    let name = config::name::DomainName::from_wire(bytes.get(12..).unwrap_or_default());
    let name = name.unwrap_or_else(|_| config::name::DomainName::root());
    let question = Question {
        name,
        record_type: rtype::A,
        class: class::IN,
    };
    let Ok(reply) = resolver::record::parse_reply(bytes, id, &question) else {
        return;
    };
    for record in reply
        .answers
        .iter()
        .chain(&reply.authority)
        .chain(&reply.additional)
    {
        let text = resolver::present::record_text(record);
        drop(text);
    }
    let template = resolver::template::Template::build(
        &question,
        reply.rcode,
        &reply.answers,
        &reply.authority,
        &reply.additional,
    );
    assert!(template.heap_size() < 1 << 20, "an answer is bounded");
}

fn hosts(bytes: &[u8]) {
    let hosts = resolver::hosts::Hosts::parse(&String::from_utf8_lossy(bytes));
    assert!(hosts.len() <= bytes.len(), "names come from the text");
}

fn frame(bytes: &[u8]) {
    let _frame = resolver_io::frame::parse(bytes);
}

fn socket_table(bytes: &[u8]) {
    assert!(
        resolver_io::holder::parse(bytes).len() <= bytes.len(),
        "a row a line"
    );
}

fn netlink(bytes: &[u8]) {
    assert!(
        linkmgr_io::message::parse_message(bytes).len() <= bytes.len(),
        "an event takes a message"
    );
}

fn config_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    for path in ["linnet.toml", "conf.d/10-a.toml", "profiles/office.toml"] {
        let origin = Origin {
            rank: Rank::Admin,
            path: path.into(),
        };
        let kind = LayerKind::of(path).expect("a path that is read");
        let loaded = config::load(&[Layer {
            origin,
            text: text.clone(),
            kind,
        }]);
        for found in &loaded.diagnostics {
            assert!(
                !found.render(&text, Colour::Plain).is_empty(),
                "a finding is shown"
            );
        }
    }
}

fn resolv_conf(bytes: &[u8]) {
    let parsed = config::resolv_conf::parse(bytes);
    assert!(
        parsed.nameservers.len() <= bytes.len(),
        "servers come from the text"
    );
}

fn call(bytes: &[u8]) {
    let call: Result<linnet::api::Call, _> = serde_json::from_slice(bytes);
    drop(call);
}
