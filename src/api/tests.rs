//! Does the definition say what travels? Every type of it has the fields of its struct, and the reverse.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

/// Returns the fields of the definition's types, and of the replies of its methods, by name.
fn defined() -> BTreeMap<String, BTreeSet<String>> {
    let text: String = DEFINITION
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect::<Vec<_>>()
        .join(" ");
    let mut fields_by_name = BTreeMap::new();
    let mut rest = text.as_str();
    while let Some(at) = ["type ", "method "]
        .iter()
        .filter_map(|word| rest.find(word))
        .min()
    {
        rest = &rest[at..];
        let (head, after) = rest.split_once('(').unwrap();
        let is_method = head.starts_with("method");
        let name = head.split_whitespace().nth(1).unwrap().to_owned();
        let (inner, after) = after.split_once(')').unwrap();
        let (inner, after) = match is_method {
            true => {
                let (_, reply) = after.split_once('(').unwrap();
                reply.split_once(')').unwrap()
            }
            false => (inner, after),
        };
        let fields = inner
            .split(',')
            .filter_map(|field| field.split_once(':'))
            .map(|(field, _)| field.trim().to_owned())
            .collect();
        fields_by_name.insert(name, fields);
        rest = after;
    }
    fields_by_name
}

fn fields(value: &impl Serialize) -> BTreeSet<String> {
    let Value::Object(object) = serde_json::to_value(value).unwrap() else {
        panic!("a struct is an object");
    };
    object.keys().cloned().collect()
}

#[test]
fn the_definition_has_the_fields_that_travel() {
    let some = || Some(String::new());
    let latency = Latency {
        count: 1,
        sum_ms: 1.0,
        p50_ms: Some(1.0),
        p95_ms: Some(1.0),
        p99_ms: Some(1.0),
    };
    let upstream = UpstreamStatus {
        srtt_ms: Some(1.0),
        failing: some(),
        proof: "proven".to_owned(),
        next_try_ms: Some(1.0),
        manners: vec![String::new()],
        latency: latency.clone(),
        ..UpstreamStatus::default()
    };
    let scope = ScopeStatus {
        link: some(),
        network: some(),
        hit_rate: Some(1.0),
        ..ScopeStatus::default()
    };
    let listener = ListenerStatus {
        place: String::new(),
        stub: String::new(),
        state: String::new(),
        queries: 0,
        strangers: 0,
        limited: 0,
        refused: 0,
        malformed: 0,
        reflective: 0,
        connections: 0,
    };
    let unmade = UnmadeStatus {
        told: some(),
        ..UnmadeStatus::default()
    };
    let item = ItemStatus {
        kind: Some(ItemKind::Rule),
        detail: some(),
        ..ItemStatus::default()
    };
    let list = ListStatus {
        name: String::new(),
        path: String::new(),
        format: String::new(),
        state: String::new(),
        error: some(),
        names: 0,
        bytes: 0,
        broken_lines: 0,
        load_ms: 0.0,
        hits: 0,
    };
    let status = Status {
        lists: vec![list.clone()],
        rules: vec![item.clone()],
        listeners: vec![listener.clone()],
        unmade: vec![unmade.clone()],
        idle_profiles: vec![String::new()],
        default_scope: some(),
        journal_trouble: some(),
        ..Status::default()
    };
    let key = TrustAnchor {
        owner: String::new(),
        key_tag: 1,
        algorithm: 1,
        state: String::new(),
    };
    let option = OptionStatus {
        text: some(),
        ..OptionStatus::default()
    };
    let supply = SupplyStatus {
        options: vec![option.clone()],
        state: some(),
        server: some(),
        portal: some(),
        trouble: some(),
        renew_ms: Some(1),
        expires_ms: Some(1),
        ..SupplyStatus::default()
    };
    let cable = CableStatus {
        port_description: some(),
        name: some(),
        description: some(),
        vlan: Some(1),
        max_frame: Some(1),
        ..CableStatus::default()
    };
    let peer = PeerStatus {
        name: some(),
        endpoint: some(),
        state: some(),
        ..PeerStatus::default()
    };
    let association = AssociationStatus {
        from: some(),
        ..AssociationStatus::default()
    };
    let reach = ReachStatus::default();
    let portal = PortalStatus {
        captive: Some(true),
        url: some(),
        venue: some(),
        remaining_ms: Some(1),
        trouble: some(),
        ..PortalStatus::default()
    };
    let link = LinkStatus {
        reach: vec![reach.clone()],
        portal: Some(portal.clone()),
        cable: vec![cable.clone()],
        peers: vec![peer.clone()],
        associations: vec![association.clone()],
        profile: some(),
        port_of: some(),
        default_route_metric: Some(1),
        told: some(),
        ..LinkStatus::default()
    };
    let observer = ObserverStatus {
        trouble: some(),
        ..ObserverStatus::default()
    };
    let defined = defined();
    for (name, found) in [
        ("Latency", fields(&latency)),
        ("UpstreamStatus", fields(&upstream)),
        ("ScopeStatus", fields(&scope)),
        ("Status", fields(&status)),
        ("ListStatus", fields(&list)),
        ("TrustAnchor", fields(&key)),
        ("ObserverStatus", fields(&observer)),
        ("ListenerStatus", fields(&listener)),
        ("ItemStatus", fields(&item)),
        ("SupplyStatus", fields(&supply)),
        ("OptionStatus", fields(&option)),
        ("LinkStatus", fields(&link)),
        ("UnmadeStatus", fields(&unmade)),
        ("CableStatus", fields(&cable)),
        ("PeerStatus", fields(&peer)),
        ("AssociationStatus", fields(&association)),
        ("ReachStatus", fields(&reach)),
        ("PortalStatus", fields(&portal)),
        ("Plan", fields(&PlanReply::default())),
    ] {
        assert_eq!(found, defined[name], "{name}");
    }
}

#[test]
fn the_definition_has_the_kinds_that_travel() {
    let kinds = [
        ItemKind::Setting,
        ItemKind::Address,
        ItemKind::Route,
        ItemKind::Rule,
    ];
    let words = kinds.map(|kind| serde_json::to_value(kind).unwrap());
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let line = format!("\ntype ItemKind ({})\n", words.join(", "));
    assert!(DEFINITION.contains(&line), "{line}");
}

#[test]
fn words_of_a_newer_daemon_are_understood() {
    let new = serde_json::json!({ "kind": "neighbour", "item": "neighbour 192.0.2.1", "state": "ours", "age": 7 });
    let item: ItemStatus = serde_json::from_value(new).unwrap();
    assert_eq!(item.kind, Some(ItemKind::Unknown));
    let text = serde_json::to_string(&item).unwrap();
    assert!(text.contains("\"kind\":\"unknown\""), "{text}");
    let new = serde_json::json!({ "event": "lease", "link": "wlan0", "lease": { "address": "192.0.2.7" } });
    let notice: Notice = serde_json::from_value(new).unwrap();
    assert_eq!(notice, Notice::Unknown);
}

#[test]
fn a_status_of_an_older_daemon_is_understood() {
    let old = serde_json::json!({
        "id": "a", "owner": "b", "state": "ready", "claims": [], "dnssec": "",
        "upstreams": [{ "upstream": "192.0.2.1", "current": true, "sent": 1, "lost": 0 }],
        "cache_entries": 0, "cache_bytes": 0, "cache_hits": 0, "cache_misses": 0,
    });
    let scope: ScopeStatus = serde_json::from_value(old).unwrap();
    assert_eq!(scope.latency, Latency::default());
    let old = serde_json::json!({ "item": "address 192.0.2.7/24", "state": "ours" });
    let item: ItemStatus = serde_json::from_value(old).unwrap();
    assert_eq!(item.kind, None);
}
