//! How is a link told over the control interface? What should be on it, how far that is, what its network supplies.

use std::sync::Arc;
use std::time::Duration;

use config::model::PolicyRule;
use config::time::Instant;
use linkmgr::clients::Report;
use linkmgr::{Holder, Item, ItemState, Protocol, Setting, Who};
use linnet::api::{CableStatus, ItemKind, ItemStatus, OptionStatus, SupplyStatus};
use policy::facts::{Supplier, Supply};
use policy::links::{RouteKey, Switch};

/// Why DHCPv4 does not run.
const LACKS_MAC: &str = "DHCPv4 needs a hardware address of six octets, and the link has none";

/// Converts an item of the plan. `holder` is who has its place, or has made it, where that is known and it is somebody else; `name_of` knows links by
/// their index.
pub(crate) fn item(
    item: &Item,
    state: &ItemState,
    holder: Option<Holder>,
    name_of: impl Fn(u32) -> String,
) -> ItemStatus {
    let (state, detail) = match state {
        ItemState::Waiting => ("waiting", None),
        ItemState::Ours => ("ours", None),
        ItemState::Adopted => {
            let told = holder.map(|holder| holder_text(item, Some(holder), name_of));
            ("adopted", told)
        }
        ItemState::Foreign => ("foreign", Some(holder_text(item, holder, name_of))),
        ItemState::LinkDown => ("link-down", None),
        ItemState::Overridden => {
            let text = "somebody took the link down by hand; linnet up brings it back";
            ("overridden", Some(text.to_owned()))
        }
        ItemState::Changed => {
            let text = "somebody sets it otherwise again and again; it is set anew after a pause";
            ("changed", Some(text.to_owned()))
        }
        ItemState::TakenBy(link) => {
            let text = format!("{} has the same route", name_of(link.index));
            ("taken", Some(text))
        }
        ItemState::Duplicate => {
            let text = "somebody else on the link has it too";
            ("duplicate", Some(text.to_owned()))
        }
        ItemState::Probing => {
            let text = "neighbours are asked whether somebody has it";
            ("probing", Some(text.to_owned()))
        }
        ItemState::Unasked => {
            let text = "neighbours cannot be asked whether somebody has it; this is tried again";
            ("unasked", Some(text.to_owned()))
        }
        ItemState::Conflict(neighbour) => {
            let text = format!("{neighbour} has it too");
            ("conflict", Some(text))
        }
        ItemState::Failed(fault) => ("failed", Some(fault.to_string())),
    };
    ItemStatus {
        kind: Some(kind(item)),
        item: name(item),
        state: state.to_owned(),
        detail,
    }
}

/// Says who has the place of an item, or how to look.
fn holder_text(item: &Item, holder: Option<Holder>, name_of: impl Fn(u32) -> String) -> String {
    match (item, holder) {
        (_, Some(Holder::Default { index, maker })) => {
            let who = maker_text(maker, "a routing program");
            let link = name_of(index);
            format!("{who} has a default route with this metric by {link}")
        }
        (Item::Route(key), Some(Holder::Beside)) => {
            let look = look_at(key);
            format!("somebody else's route is beside it, and would be changed for it: {look}")
        }
        (Item::Route(key), Some(Holder::Unproven { index })) => {
            let by = index.map_or_else(String::new, |index| format!(" by {}", name_of(index)));
            let look = look_at(key);
            format!(
                "a route{by} with linnet's number is there, and is nobody's, as after linnet release: {look}"
            )
        }
        (Item::Rule(rule), Some(Holder::Unproven { .. })) => {
            let look = look_at_rule(rule);
            format!(
                "a rule with linnet's number is there, and is nobody's, as after linnet release: {look}"
            )
        }
        (Item::Rule(rule), Some(Holder::Rule(maker))) => {
            let who = match maker.who() {
                // As of each rule that is made with iproute2, if nothing else is asked of it.
                Who::Unsaid => "somebody else".to_owned(),
                Who::Ours | Who::Configurator | Who::Program | Who::Kernel | Who::Redirect => {
                    maker_text(maker, "somebody else")
                }
            };
            format!("{who} has made it: {}", look_at_rule(rule))
        }
        (_, Some(Holder::Prefix(prefix))) => format!("somebody else has made it as {prefix}"),
        (_, Some(Holder::Peer(Some(peer)))) => {
            format!("somebody else has made it with {peer} at the other end")
        }
        (_, Some(Holder::Peer(None))) => "somebody else has made it without another end".to_owned(),
        (Item::Route(key), None) => format!("somebody else has its place: {}", look_at(key)),
        (Item::Setting(_, Setting::Mac), _) => {
            "the link has none of six octets, and could not get back what it has".to_owned()
        }
        _ => "somebody else has something of his own in its place".to_owned(),
    }
}

/// Says who it is by the number that the kernel has of him; `program` is what a program is called that does not set links up.
fn maker_text(maker: Protocol, program: &str) -> String {
    match maker.who() {
        Who::Unsaid => "somebody who does not say who he is".to_owned(),
        Who::Redirect => "an ICMP redirect".to_owned(),
        Who::Kernel => "the kernel itself".to_owned(),
        Who::Program => format!("{program} (protocol {maker})"),
        Who::Ours | Who::Configurator => format!("somebody else (protocol {maker})"),
    }
}

/// The command that shows the rules at the place of one.
fn look_at_rule(rule: &PolicyRule) -> String {
    let family = if rule.is_ipv6 { 6 } else { 4 };
    format!("ip -{family} rule show priority {}", rule.priority)
}

/// The command that shows who has the place of a route.
fn look_at(key: &RouteKey) -> String {
    let family = if key.to.address.is_ipv4() { 4 } else { 6 };
    format!(
        "ip -{family} route show table {} exact {}",
        key.table, key.to
    )
}

/// Names a setting.
pub(crate) fn setting_name(setting: Setting) -> String {
    match setting {
        Setting::Up => "up".to_owned(),
        Setting::Mtu => "mtu".to_owned(),
        Setting::Mac => "hardware address".to_owned(),
        Setting::Switch(switch) => switch_name(switch),
    }
}

const fn kind(item: &Item) -> ItemKind {
    match item {
        Item::Setting(..) => ItemKind::Setting,
        Item::Address(..) => ItemKind::Address,
        Item::Route(_) => ItemKind::Route,
        Item::Rule(_) => ItemKind::Rule,
    }
}

fn name(item: &Item) -> String {
    match item {
        Item::Setting(_, setting) => setting_name(*setting),
        Item::Address(_, prefix) => format!("address {prefix}"),
        Item::Route(key) => {
            let from = key.from.map(|from| format!(" from {from}"));
            let from = from.unwrap_or_default();
            format!(
                "route {}{from} metric {} table {}",
                key.to, key.metric, key.table
            )
        }
        Item::Rule(rule) => {
            let family = if rule.is_ipv6 { "IPv6" } else { "IPv4" };
            format!("rule {} of {family}", rule.priority)
        }
    }
}

fn switch_name(switch: Switch) -> String {
    if let Some(hardware) = switch.hardware() {
        return hardware.name().to_owned();
    }
    let path = switch.path("");
    path.replace("/conf//", "/")
}

/// Converts what a link's network supplies; clients that have got nothing yet are told too.
pub(crate) fn supplies<'a>(
    supplied: impl Iterator<Item = (Supplier, &'a Supply)>,
    report: Option<&Report>,
    now: Instant,
) -> Vec<SupplyStatus> {
    let mut told: Vec<SupplyStatus> = supplied
        .map(|(supplier, supply)| self::supply(supplier, supply, now))
        .collect();
    let Some(report) = report else {
        return told;
    };
    if let Some(status) = &report.dhcp4 {
        let told = of(Supplier::Dhcp4, &mut told);
        told.state = Some(status.state.to_string());
        told.trouble = status.trouble.as_ref().map(ToString::to_string);
        if let Some(lease) = &status.lease {
            told.server = Some(lease.server.to_string());
            told.bootp = lease.bootp;
            told.renew_ms = lease.renew_at.map(|at| millis(at.since(now)));
            told.expires_ms = lease.expires_at.map(|at| millis(at.since(now)));
            told.options = options(&lease.options);
        }
    }
    if report.lacks_mac {
        let told = of(Supplier::Dhcp4, &mut told);
        told.trouble = Some(LACKS_MAC.to_owned());
    }
    if let Some(report) = &report.dhcp6 {
        let told = of(Supplier::Dhcp6, &mut told);
        told.state = Some(report.state.to_owned());
        told.server.clone_from(&report.server);
        told.trouble = report.complaint.as_ref().map(ToString::to_string);
        told.renew_ms = report.renew.map(|seconds| u64::from(seconds) * 1000);
        told.options = options(&report.options);
    }
    if let Some(report) = &report.ra {
        let told = of(Supplier::Ra, &mut told);
        let routers: Vec<String> = report
            .routers
            .iter()
            .map(|router| router.address.to_string())
            .collect();
        told.server = (!routers.is_empty()).then(|| routers.join(" "));
        if let (true, Some(asked)) = (routers.is_empty(), report.solicitations) {
            told.trouble = Some(format!("no router answers, asked {asked} times"));
        }
    }
    told
}

/// Returns what is told of a supplier; a client that has got nothing yet is told too.
fn of(supplier: Supplier, told: &mut Vec<SupplyStatus>) -> &mut SupplyStatus {
    let supplier = word(supplier);
    let place = told.iter().position(|told| told.supplier == supplier);
    let place = place.unwrap_or(told.len());
    if place == told.len() {
        told.push(SupplyStatus {
            supplier,
            ..SupplyStatus::default()
        });
    }
    &mut told[place]
}

fn supply(supplier: Supplier, supply: &Supply, now: Instant) -> SupplyStatus {
    let ends = supply
        .addresses
        .iter()
        .filter_map(|address| address.valid_until);
    SupplyStatus {
        supplier: word(supplier),
        addresses: texts(supply.addresses.iter().map(|address| address.prefix)),
        routes: supply
            .routes
            .iter()
            .map(|route| match route.via {
                Some(via) => format!("{} via {via}", route.to),
                None => route.to.to_string(),
            })
            .collect(),
        delegated: texts(supply.delegated.iter().map(|delegated| delegated.prefix)),
        upstreams: texts(supply.upstreams.iter()),
        search: texts(supply.search.iter()),
        time_servers: texts(supply.time_servers.iter()),
        portal: supply.portal.as_ref().map(ToString::to_string),
        unconfirmed: supply.unconfirmed,
        expires_ms: ends.map(|at| millis(at.since(now))).min(),
        ..SupplyStatus::default()
    }
}

/// What a server says in an option that nobody here knows is shown as it came, and as a text where it is one.
fn options(options: &[(u16, Arc<[u8]>)]) -> Vec<OptionStatus> {
    let of = |(number, octets): &(u16, Arc<[u8]>)| {
        let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let is_plain = |octet: &u8| octet.is_ascii_graphic() || *octet == b' ';
        let is_text = !octets.is_empty() && octets.iter().all(is_plain);
        let text = octets.iter().map(|octet| char::from(*octet)).collect();
        OptionStatus {
            number: *number,
            octets: pairs.join(":"),
            text: is_text.then_some(text),
        }
    };
    options.iter().map(of).collect()
}

/// Converts what switches say of themselves.
pub(crate) fn cable(report: Option<&Report>) -> Vec<CableStatus> {
    let neighbours = report.map(|report| report.lldp.iter());
    let neighbours = neighbours.into_iter().flatten();
    neighbours
        .map(|neighbour| CableStatus {
            chassis: neighbour.chassis.to_string(),
            port: neighbour.port.to_string(),
            port_description: neighbour.port_description.as_ref().map(ToString::to_string),
            name: neighbour.name.as_ref().map(ToString::to_string),
            description: neighbour.description.as_ref().map(ToString::to_string),
            capabilities: neighbour.capabilities.names().map(str::to_owned).collect(),
            addresses: texts(neighbour.addresses.iter()),
            vlan: neighbour.vlan,
            max_frame: neighbour.max_frame,
        })
        .collect()
}

fn texts<T: ToString>(values: impl Iterator<Item = T>) -> Vec<String> {
    values.map(|value| value.to_string()).collect()
}

fn word(supplier: Supplier) -> String {
    let word = match supplier {
        Supplier::Dhcp4 => "dhcp4",
        Supplier::Dhcp6 => "dhcp6",
        Supplier::Ra => "ra",
        Supplier::Ipv4ll => "ipv4ll",
    };
    word.to_owned()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use config::model::Prefix;

    use super::*;

    fn prefix(address: [u8; 4], length: u8) -> Prefix {
        Prefix {
            address: address.into(),
            length,
        }
    }

    fn rule(is_ipv6: bool) -> Item {
        Item::Rule(PolicyRule {
            priority: 900,
            is_ipv6,
            ..PolicyRule::default()
        })
    }

    fn default_route() -> Item {
        Item::Route(RouteKey {
            table: 254,
            to: prefix([0; 4], 0),
            metric: 100,
            from: None,
        })
    }

    fn told(thing: &Item, state: &ItemState, holder: Option<Holder>) -> ItemStatus {
        item(thing, state, holder, |index| format!("net{index}"))
    }

    #[test]
    fn every_item_has_its_kind() {
        for (item, kind) in [
            (Item::Setting(2, Setting::Mtu), ItemKind::Setting),
            (
                Item::Address(2, prefix([192, 0, 2, 7], 24)),
                ItemKind::Address,
            ),
            (default_route(), ItemKind::Route),
            (rule(true), ItemKind::Rule),
        ] {
            let told = told(&item, &ItemState::Ours, None);
            assert_eq!((told.kind, told.detail), (Some(kind), None), "{item:?}");
        }
    }

    #[test]
    fn whoever_has_a_place_is_named_by_his_number() {
        for (number, who) in [
            (12, "a routing program (protocol bird)"),
            (77, "a routing program (protocol 77)"),
            (0, "somebody who does not say who he is"),
            (1, "an ICMP redirect"),
            (2, "the kernel itself"),
            (16, "somebody else (protocol dhcp)"),
        ] {
            let holder = Holder::Default {
                index: 3,
                maker: Protocol(number),
            };
            let told = told(&default_route(), &ItemState::Foreign, Some(holder));
            let text = format!("{who} has a default route with this metric by net3");
            assert_eq!(told.detail, Some(text));
        }
    }

    #[test]
    fn an_adopted_rule_says_who_has_made_it() {
        let theirs = |number| Holder::Rule(Protocol(number));
        for (holder, is_ipv6, text) in [
            (
                theirs(18),
                false,
                "somebody else (protocol keepalived) has made it: ip -4 rule show priority 900",
            ),
            (
                theirs(77),
                true,
                "somebody else (protocol 77) has made it: ip -6 rule show priority 900",
            ),
            (
                theirs(0),
                false,
                "somebody else has made it: ip -4 rule show priority 900",
            ),
            (
                theirs(2),
                false,
                "the kernel itself has made it: ip -4 rule show priority 900",
            ),
            (
                Holder::Unproven { index: None },
                true,
                "a rule with linnet's number is there, and is nobody's, as after linnet release: ip -6 rule show priority 900",
            ),
        ] {
            let told = told(&rule(is_ipv6), &ItemState::Adopted, Some(holder));
            assert_eq!(told.detail.as_deref(), Some(text));
        }
    }

    #[test]
    fn clients_that_have_got_nothing_say_why() {
        let report = Report {
            ra: Some(linkmgr::ra::Report {
                solicitations: Some(4),
                ..linkmgr::ra::Report::default()
            }),
            dhcp6: Some(linkmgr::dhcp6::Report {
                state: "SOLICIT",
                complaint: Some("no addresses".into()),
                ..linkmgr::dhcp6::Report::default()
            }),
            ..Report::default()
        };
        let supply = Supply::default();
        let supplied = [(Supplier::Dhcp6, &supply)];
        let told = supplies(supplied.into_iter(), Some(&report), Instant::ZERO);
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].state.as_deref(), Some("SOLICIT"));
        assert_eq!(told[0].trouble.as_deref(), Some("no addresses"));
        let trouble = told[1].trouble.as_deref();
        assert_eq!(trouble, Some("no router answers, asked 4 times"));
        let report = Report {
            lacks_mac: true,
            ..Report::default()
        };
        let told = supplies(std::iter::empty(), Some(&report), Instant::ZERO);
        let told = told.iter().map(|it| (&*it.supplier, it.trouble.as_deref()));
        assert!(told.eq([("dhcp4", Some(LACKS_MAC))]));
    }
}
