//! What does a DNS server say, and what did a client hear? Messages by hand; each answer tells which network it is of.
//!
//! Every server answers for every name, claimed ones too: what leaks is answered, and seen.

use std::net::Ipv4Addr;

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As it should.
    Usual,
    /// It says nothing.
    Silent,
    /// It takes seconds.
    Late,
    /// REFUSED.
    Refusing,
    /// SERVFAIL.
    Failing,
    /// A portal: every name has the portal's own address.
    Portal,
    /// Its first reply is to another question.
    Forging,
}

/// What an answer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) rcode: u8,
    pub(super) addresses: Vec<Ipv4Addr>,
    pub(super) has_reason: bool,
}

/// Writes a question for addresses.
pub(super) fn question(id: u16, name: &str) -> Vec<u8> {
    let mut wire = id.to_be_bytes().to_vec();
    wire.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    put_name(&mut wire, name);
    wire.extend([0, 1, 0, 1]);
    // OPT, so that errors say why.
    wire.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    wire
}

/// Reads which name a message asks for, in lower case, and of which type.
pub(super) fn asked(wire: &[u8]) -> Option<(String, u16)> {
    let (name, end) = name(wire, 12)?;
    let kind = wire.get(end..end + 2)?;
    Some((name, u16::from_be_bytes([kind[0], kind[1]])))
}

/// Whether a name is of corp.example, which the office's profile claims.
pub(super) fn is_claimed(name: &str) -> bool {
    // Also with a search suffix behind it.
    let inside = format!("{name}.");
    inside.starts_with("corp.example.") || inside.contains(".corp.example.")
}

/// Writes the reply of a server; `tag` is the address that its names have.
pub(super) fn reply(query: &[u8], manner: Manner, tag: Ipv4Addr, ttl: u32) -> Option<Vec<u8>> {
    let (name, kind) = asked(query)?;
    let code = match manner {
        Manner::Silent => return None,
        Manner::Refusing => 5,
        Manner::Failing => 2,
        Manner::Usual | Manner::Late | Manner::Portal | Manner::Forging => 0,
    };
    let end = self::name(query, 12)?.1 + 4;
    let exists =
        !name.starts_with("none") && name != "ipv4only.arpa" && !name.ends_with("resolver.arpa");
    let mut wire = query.get(..end)?.to_vec();
    wire[2] = 0x81;
    let code = if code == 0 && !exists { 3 } else { code };
    wire[3] = 0x80 | code;
    wire[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    let mut answers = 0;
    if code == 0 && kind == 1 {
        let mut owner = vec![0xc0, 12];
        let aliases = [("intruder", "git.corp.example"), ("out.", "www.pub.test")];
        let mut aliases = aliases.iter();
        let alias = aliases.find(|(name_of, _)| name.starts_with(name_of));
        let target = alias.filter(|_| manner != Manner::Portal);
        if let Some((_, target)) = target {
            let mut data = Vec::new();
            put_name(&mut data, target);
            put_record(&mut wire, &owner, 5, ttl, &data);
            owner = data;
            answers += 1;
        }
        put_record(&mut wire, &owner, 1, ttl, &tag.octets());
        answers += 1;
    } else if code == 0 || code == 3 {
        let mut data = vec![0, 0];
        data.extend([0; 4]);
        data.extend([0, 0, 0, 60].repeat(4));
        wire[9] = 1;
        put_record(&mut wire, &[0], 6, 60, &data);
    }
    wire[7] = answers;
    if query.get(11) != Some(&0) {
        wire[11] = 1;
        wire.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }
    Some(wire)
}

/// Makes of a reply one that answers something else.
pub(super) fn spoil(reply: &[u8]) -> Vec<u8> {
    let mut wire = reply.to_vec();
    if let Some(octet) = wire.get_mut(13) {
        *octet = b'x';
    }
    wire
}

/// Reads an answer.
pub(super) fn seen(wire: &[u8]) -> Option<Seen> {
    let count = |at: usize| {
        Some(usize::from(u16::from_be_bytes([
            *wire.get(at)?,
            *wire.get(at + 1)?,
        ])))
    };
    let mut at = 12;
    for _ in 0..count(4)? {
        at = name(wire, at)?.1 + 4;
    }
    let mut seen = Seen {
        rcode: wire.get(3)? & 15,
        addresses: Vec::new(),
        has_reason: false,
    };
    for number in 0..count(6)? + count(8)? + count(10)? {
        at = name(wire, at)?.1;
        let head = wire.get(at..at + 10)?;
        let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
        let data = wire.get(at + 10..at + 10 + length)?;
        match u16::from_be_bytes([head[0], head[1]]) {
            1 if number < count(6)? => {
                seen.addresses
                    .push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
            }
            41 => seen.has_reason |= data.starts_with(&[0, 15]),
            _ => {}
        }
        at += 10 + length;
    }
    Some(seen)
}

fn put_name(wire: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
}

fn put_record(wire: &mut Vec<u8>, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) {
    wire.extend(owner);
    wire.extend(kind.to_be_bytes());
    wire.extend([0, 1]);
    wire.extend(ttl.to_be_bytes());
    wire.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    wire.extend(data);
}

/// Reads a name, in lower case; returns it with the place behind it.
fn name(wire: &[u8], start: usize) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    let (mut at, mut end) = (start, None);
    for _ in 0..130 {
        let length = *wire.get(at)?;
        if length == 0 {
            return Some((labels.join("."), end.unwrap_or(at + 1)));
        }
        if length & 0xc0 == 0xc0 {
            end = end.or(Some(at + 2));
            at = (usize::from(length & 0x3f) << 8) | usize::from(*wire.get(at + 1)?);
            continue;
        }
        let label = wire.get(at + 1..at + 1 + usize::from(length))?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + usize::from(length);
    }
    None
}
