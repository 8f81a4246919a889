//! How is the journal written? One line an item, words between blanks; a line that does not read proves nothing.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::{FromStr, SplitWhitespace};
use std::sync::Arc;

use config::model::{Hardware, PolicyRule, Prefix, RouteKind};
use policy::facts::Supplier;
use policy::links::{RouteKey, Switch};

use super::{Changed, Entries};
use crate::status::Setting;

const FIRST_LINE: &str = "linnet-link-journal 1";
const NOBODY: &str = "profile";
const SUPPLIERS: [(Supplier, &str); 4] = [
    (Supplier::Dhcp4, "dhcp4"),
    (Supplier::Dhcp6, "dhcp6"),
    (Supplier::Ra, "ra"),
    (Supplier::Ipv4ll, "ipv4ll"),
];
/// Those of network cards come after them.
const SETTINGS: [Setting; 15] = [
    Setting::Up,
    Setting::Mtu,
    Setting::Mac,
    Setting::Switch(Switch::AcceptRa),
    Setting::Switch(Switch::UseTempaddr),
    Setting::Switch(Switch::LinkLocal6),
    Setting::Switch(Switch::DisableIpv6),
    Setting::Switch(Switch::Forwarding6),
    Setting::Switch(Switch::ForceForwarding6),
    Setting::Switch(Switch::Forwarding4),
    Setting::Switch(Switch::Mtu6),
    Setting::Switch(Switch::HopLimit6),
    Setting::Switch(Switch::Reachable6),
    Setting::Switch(Switch::Retransmit6),
    Setting::Switch(Switch::Promote4),
];
const KINDS: [(RouteKind, &str); 9] = [
    (RouteKind::Unicast, "unicast"),
    (RouteKind::Blackhole, "blackhole"),
    (RouteKind::Unreachable, "unreachable"),
    (RouteKind::Prohibit, "prohibit"),
    (RouteKind::Throw, "throw"),
    (RouteKind::Local, "local"),
    (RouteKind::Broadcast, "broadcast"),
    (RouteKind::Anycast, "anycast"),
    (RouteKind::Multicast, "multicast"),
];

fn setting_word(setting: Setting) -> &'static str {
    match setting {
        Setting::Up => "up",
        Setting::Mtu => "mtu",
        Setting::Mac => "mac",
        Setting::Switch(Switch::AcceptRa) => "accept-ra",
        Setting::Switch(Switch::UseTempaddr) => "use-tempaddr",
        Setting::Switch(Switch::LinkLocal6) => "link-local6",
        Setting::Switch(Switch::DisableIpv6) => "disable-ipv6",
        Setting::Switch(Switch::Forwarding6) => "forwarding6",
        Setting::Switch(Switch::ForceForwarding6) => "force-forwarding6",
        Setting::Switch(Switch::Forwarding4) => "forwarding4",
        Setting::Switch(Switch::Mtu6) => "mtu6",
        Setting::Switch(Switch::HopLimit6) => "hop-limit6",
        Setting::Switch(Switch::Reachable6) => "reachable6",
        Setting::Switch(Switch::Retransmit6) => "retransmit6",
        Setting::Switch(Switch::Promote4) => "promote4",
        Setting::Switch(Switch::Hardware(hardware)) => hardware.name(),
    }
}

fn setting(word: &str) -> Option<Setting> {
    let cards = Hardware::all().map(|it| Setting::Switch(Switch::Hardware(it)));
    let mut settings = SETTINGS.into_iter().chain(cards);
    settings.find(|setting| setting_word(*setting) == word)
}

/// Writes the text.
pub(super) fn emit(id: &str, entries: &Entries) -> String {
    let mut text = format!("{FIRST_LINE}\nboot {id}\n");
    let written = emit_entries(entries, &mut text);
    debug_assert!(written.is_ok(), "a string takes everything");
    text
}

fn emit_entries(entries: &Entries, text: &mut String) -> fmt::Result {
    for (index, kind) in &entries.kinds {
        writeln!(text, "link {index} {kind}")?;
    }
    for ((index, setting), Changed { was, ours }) in &entries.settings {
        writeln!(text, "was {index} {} {was} {ours}", setting_word(*setting))?;
    }
    for ((index, setting), had) in &entries.had {
        for value in had {
            writeln!(text, "had {index} {} {value}", setting_word(*setting))?;
        }
    }
    for ((index, prefix), supplier) in &entries.addresses {
        writeln!(
            text,
            "address {index} {prefix} {}",
            supplier_word(*supplier)
        )?;
    }
    for (index, prefix) in &entries.bare {
        writeln!(text, "bare {index} {prefix}")?;
    }
    for (key, supplier) in &entries.routes {
        let RouteKey {
            table,
            to,
            metric,
            from,
        } = key;
        let supplier = supplier_word(*supplier);
        write!(text, "route {table} {to} {metric} {supplier}")?;
        match from {
            Some(from) => writeln!(text, " {from}")?,
            None => writeln!(text)?,
        }
    }
    for (key, ways) in &entries.ways {
        for (index, via) in ways {
            let RouteKey {
                table,
                to,
                metric,
                from,
            } = key;
            write!(text, "way {table} {to} {metric} {index} {via}")?;
            match from {
                Some(from) => writeln!(text, " {from}")?,
                None => writeln!(text)?,
            }
        }
    }
    for rule in &entries.rules {
        emit_rule(rule, text)?;
    }
    Ok(())
}

fn emit_rule(rule: &PolicyRule, text: &mut String) -> fmt::Result {
    let family = if rule.is_ipv6 { 6 } else { 4 };
    write!(text, "rule {family} {}", rule.priority)?;
    write!(text, " kind={}", word(&KINDS, rule.kind))?;
    if let Some(from) = rule.from {
        write!(text, " from={from}")?;
    }
    if let Some(to) = rule.to {
        write!(text, " to={to}")?;
    }
    if let Some((mark, mask)) = rule.mark {
        write!(text, " mark={mark} mask={mask}")?;
    }
    if let Some(name) = &rule.incoming {
        write!(text, " in={name}")?;
    }
    if let Some(name) = &rule.outgoing {
        write!(text, " out={name}")?;
    }
    if let Some(table) = rule.table {
        write!(text, " table={table}")?;
    }
    if let Some(length) = rule.suppress_length {
        write!(text, " suppress={length}")?;
    }
    if rule.tos != 0 {
        write!(text, " tos={}", rule.tos)?;
    }
    if let Some(protocol) = rule.protocol {
        write!(text, " protocol={protocol}")?;
    }
    for (key, ports) in [
        ("sport", rule.source_ports),
        ("dport", rule.destination_ports),
    ] {
        if let Some((first, last)) = ports {
            write!(text, " {key}={first}-{last}")?;
        }
    }
    if let Some((first, last)) = rule.users {
        write!(text, " users={first}-{last}")?;
    }
    if rule.vrf {
        write!(text, " vrf=1")?;
    }
    if let Some(goto) = rule.goto {
        write!(text, " goto={goto}")?;
    }
    writeln!(text, "{}", if rule.invert { " invert=1" } else { "" })
}

/// Reads the text; `None` when it is about another boot, or no journal at all.
pub(super) fn parse(text: &str, id: &str) -> Option<Entries> {
    let mut lines = text.lines();
    if lines.next()? != FIRST_LINE || lines.next()?.strip_prefix("boot ")? != id {
        return None;
    }
    let mut entries = Entries::default();
    for line in lines {
        // What does not read proves nothing; the rest does.
        let _is_read = parse_line(line, &mut entries).is_some();
    }
    Some(entries)
}

fn parse_line(line: &str, entries: &mut Entries) -> Option<()> {
    let mut words = line.split_whitespace();
    match words.next()? {
        "link" => {
            let index = number(&mut words)?;
            entries.kinds.insert(index, words.next()?.into());
        }
        "was" => {
            let index = number(&mut words)?;
            let setting = setting(words.next()?)?;
            let (was, ours) = (number(&mut words)?, number(&mut words)?);
            let changed = Changed { was, ours };
            entries.settings.insert((index, setting), changed);
        }
        "had" => {
            let index = number(&mut words)?;
            let setting = setting(words.next()?)?;
            let value = number(&mut words)?;
            let had = entries.had.entry((index, setting)).or_default();
            had.insert(value);
        }
        "address" => {
            let index = number(&mut words)?;
            let prefix = prefix(words.next()?)?;
            let supplier = supplier(words.next()?)?;
            entries.addresses.insert((index, prefix), supplier);
        }
        "bare" => {
            let index = number(&mut words)?;
            entries.bare.insert((index, prefix(words.next()?)?));
        }
        "route" => {
            let key = place(&mut words)?;
            let supplier = supplier(words.next()?)?;
            let from = source(&mut words)?;
            entries.routes.insert(RouteKey { from, ..key }, supplier);
        }
        "way" => {
            let key = place(&mut words)?;
            let way = (number(&mut words)?, number(&mut words)?);
            let from = source(&mut words)?;
            let ways = entries.ways.entry(RouteKey { from, ..key });
            ways.or_default().insert(way);
        }
        "rule" => {
            entries.rules.insert(rule(&mut words)?);
        }
        _ => return None,
    }
    Some(())
}

/// Reads the place of a route up to its metric.
fn place(words: &mut SplitWhitespace<'_>) -> Option<RouteKey> {
    Some(RouteKey {
        table: number(words)?,
        to: prefix(words.next()?)?,
        metric: number(words)?,
        from: None,
    })
}

/// Reads the sources that a route is for, where it is not for all.
fn source(words: &mut SplitWhitespace<'_>) -> Option<Option<Prefix>> {
    match words.next() {
        Some(from) => prefix(from).map(Some),
        None => Some(None),
    }
}

fn rule(words: &mut SplitWhitespace<'_>) -> Option<PolicyRule> {
    let is_ipv6 = match words.next()? {
        "4" => false,
        "6" => true,
        _ => return None,
    };
    let mut rule = PolicyRule {
        priority: number(words)?,
        is_ipv6,
        from: None,
        to: None,
        mark: None,
        incoming: None,
        outgoing: None,
        table: None,
        kind: RouteKind::Unicast,
        suppress_length: None,
        invert: false,
        ..PolicyRule::default()
    };
    let (mut mark, mut mask) = (None, None);
    for word in words {
        let (key, value) = word.split_once('=')?;
        match key {
            "kind" => rule.kind = meaning(&KINDS, value)?,
            "from" => rule.from = Some(prefix(value)?),
            "to" => rule.to = Some(prefix(value)?),
            "mark" => mark = Some(value.parse().ok()?),
            "mask" => mask = Some(value.parse().ok()?),
            "in" => rule.incoming = Some(Arc::from(value)),
            "out" => rule.outgoing = Some(Arc::from(value)),
            "table" => rule.table = Some(value.parse().ok()?),
            "suppress" => rule.suppress_length = Some(value.parse().ok()?),
            "invert" => rule.invert = true,
            "tos" => rule.tos = value.parse().ok()?,
            "protocol" => rule.protocol = Some(value.parse().ok()?),
            "sport" => rule.source_ports = Some(range(value)?),
            "dport" => rule.destination_ports = Some(range(value)?),
            "users" => rule.users = Some(range(value)?),
            "vrf" => rule.vrf = true,
            "goto" => rule.goto = Some(value.parse().ok()?),
            // A rule that is read by halves would prove another one.
            _ => return None,
        }
    }
    rule.mark = mark.zip(mask);
    Some(rule)
}

fn range<T: FromStr>(text: &str) -> Option<(T, T)> {
    let (first, last) = text.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn number<T: FromStr>(words: &mut SplitWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}

fn prefix(text: &str) -> Option<Prefix> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (length <= longest).then_some(Prefix { address, length })
}

fn supplier(text: &str) -> Option<Option<Supplier>> {
    if text == NOBODY {
        return Some(None);
    }
    meaning(&SUPPLIERS, text).map(Some)
}

fn supplier_word(supplier: Option<Supplier>) -> &'static str {
    supplier.map_or(NOBODY, |supplier| word(&SUPPLIERS, supplier))
}

fn word<T: Copy + PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    let found = table.iter().find(|(it, _)| *it == value);
    found.map_or("", |(_, word)| word)
}

fn meaning<T: Copy>(table: &[(T, &'static str)], text: &str) -> Option<T> {
    let found = table.iter().find(|(_, word)| *word == text);
    found.map(|(value, _)| *value)
}
