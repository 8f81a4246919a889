//! What do lines of each format come to, and which of them are broken?

use super::*;

fn config(format: ListFormat) -> ListConfig {
    ListConfig {
        name: "test".into(),
        path: "test".into(),
        format,
        action: None,
        subdomains: None,
        error: config::model::BlockError::Blocked,
        exceptions: Vec::new(),
        scopes: Vec::new(),
    }
}

fn read(config: &ListConfig, text: &str) -> List {
    let mut reader = ListReader::new(config);
    for line in text.as_bytes().split_inclusive(|byte| *byte == b'\n') {
        reader.line(line);
    }
    reader.finish()
}

/// Returns the action and how far above the name its rule is, with `=` for a rule of the name itself.
fn find(list: &List, name: &str) -> String {
    let name: DomainName = name.parse().unwrap();
    let Some(hit) = list.find(&Key::new(name.as_wire()).unwrap()) else {
        return "-".to_owned();
    };
    let action = match hit.action {
        Action::Data(data) => {
            let texts = data.iter().map(|datum| {
                let star = if datum.below { "*." } else { "" };
                format!("{}:{star}{}", datum.record_type, datum.data.len())
            });
            texts.collect::<Vec<_>>().join(" ")
        }
        other @ (Action::Nxdomain
        | Action::Nodata
        | Action::Refuse
        | Action::ZeroAddress
        | Action::Pass
        | Action::ByStream) => format!("{other:?}"),
    };
    format!(
        "{action} {}{}",
        hit.labels_above,
        if hit.exact { "=" } else { "" }
    )
}

fn broken(list: &List) -> Vec<String> {
    let texts = list.broken().iter().map(|broken| {
        let part = broken.text.get(broken.part.clone()).unwrap_or("?");
        format!("{}: {} at {part:?}", broken.line, broken.why)
    });
    texts.collect()
}

#[test]
fn a_list_of_domains_means_all_below_them() {
    let text = "\u{feff}# ads\nAds.Example # why\r\n*.wild.example\n.dot.example\nb\u{fc}cher.example\n\n  spaced.example  \n\
         two words\nbad!name\n192.0.2.1\n.\na..b\n||adblock.example^\nads.example\n";
    let list = read(&config(ListFormat::Domains), text);
    for (name, expected) in [
        ("ads.example", "Nxdomain 0="),
        ("x.y.ads.example", "Nxdomain 2"),
        ("wild.example", "Nxdomain 0="),
        ("a.dot.example", "Nxdomain 1"),
        ("xn--bcher-kva.example", "Nxdomain 0="),
        ("spaced.example", "Nxdomain 0="),
        ("example", "-"),
        ("notads.example", "-"),
        (".", "-"),
    ] {
        assert_eq!(find(&list, name), expected, "{name}");
    }
    assert_eq!(list.len(), 5);
    assert_eq!(
        broken(&list),
        [
            "8: there is more than a name; is the file in the form of hosts(5)? at \"words\"",
            "9: no name of such a file has the character '!' at \"bad!name\"",
            "10: this is an address, not a name at \"192.0.2.1\"",
            "11: the root cannot be listed at \"\"",
            "12: this is not a domain name: a label is empty at \"a..b\"",
            "13: no name of such a file has the character '|' at \"||adblock.example^\"",
        ]
    );
}

#[test]
fn a_list_of_hosts_means_its_names_exactly_and_rewrites_to_other_addresses() {
    let text = "127.0.0.1 localhost\n0.0.0.0 ads.example tracker.example # both\n:: ads.example\n192.0.2.9 moved.example\n\
         2001:db8::9 moved.example\nexample.net\n0.0.0.0\n127.0.0.1 x!y good.example\n::1%lo ip6-loopback\n";
    let list = read(&config(ListFormat::Hosts), text);
    for (name, expected) in [
        ("localhost", "-"),
        ("ads.example", "Nxdomain 0="),
        ("x.ads.example", "-"),
        ("tracker.example", "Nxdomain 0="),
        ("moved.example", "1:4 28:16 0="),
        ("good.example", "Nxdomain 0="),
    ] {
        assert_eq!(find(&list, name), expected, "{name}");
    }
    assert_eq!(list.broken_lines(), 3, "{:?}", broken(&list));
    let below = ListConfig {
        subdomains: Some(true),
        action: Some(BlockAction::ZeroAddress),
        ..config(ListFormat::Hosts)
    };
    assert_eq!(find(&read(&below, text), "x.ads.example"), "ZeroAddress 1");
}

const POLICY: &str = "$TTL 30\n@ SOA localhost. root.localhost. 1 2 3 4 5\n NS localhost.\nnx.example CNAME .\n*.nx.example CNAME .\n\
     nodata.example CNAME *.\npass.nx.example CNAME rpz-passthru.\ndrop.example CNAME rpz-drop.\n\
     own.example A 192.0.2.1\nown.example AAAA 2001:db8::1\n*.own.example CNAME walled.test.\nwild.example CNAME *.walled.test.\n\
     self.example CNAME self.example.\ntcp.example CNAME rpz-tcp-only.\n32.1.2.0.192.rpz-ip CNAME .\n";

#[test]
fn a_policy_zone_means_what_it_says() {
    let list = read(&config(ListFormat::Rpz), POLICY);
    for (name, expected) in [
        ("nx.example", "Nxdomain 0="),
        ("a.b.nx.example", "Nxdomain 2"),
        ("pass.nx.example", "Pass 0="),
        ("x.pass.nx.example", "Nxdomain 2"),
        ("nodata.example", "Nodata 0="),
        ("x.nodata.example", "-"),
        ("drop.example", "Refuse 0="),
        ("own.example", "1:4 28:16 0="),
        ("x.own.example", "5:13 1"),
        ("wild.example", "5:*.13 0="),
        ("self.example", "Pass 0="),
        ("tcp.example", "ByStream 0="),
    ] {
        assert_eq!(find(&list, name), expected, "{name}");
    }
    assert_eq!(list.broken_lines(), 1, "{:?}", broken(&list));
    let refuses = ListConfig {
        action: Some(BlockAction::Refuse),
        ..config(ListFormat::Rpz)
    };
    let list = read(&refuses, POLICY);
    assert_eq!(find(&list, "own.example"), "Refuse 0=");
    assert_eq!(
        find(&list, "pass.nx.example"),
        "Pass 0=",
        "what is let through stays so"
    );
}

#[test]
fn a_policy_zone_with_an_absolute_apex_is_read_below_it() {
    let text = "$ORIGIN rpz.test.\n@ 60 IN SOA ns. root. (\n 1 2\n 3 4 5 )\nads.example CNAME .\nother.test. CNAME .\n\
         bad.example A 192.0.2.300\nlast.example CNAME . (\n";
    let list = read(&config(ListFormat::Rpz), text);
    assert_eq!(find(&list, "ads.example"), "Nxdomain 0=");
    assert_eq!(find(&list, "ads.example.rpz.test"), "-");
    assert_eq!(
        broken(&list),
        [
            "6: the name is not in the zone rpz.test at \"other.test.\"",
            "7: this is not an IPv4 address at \"192.0.2.300\"",
            "9: a parenthesis is never closed at \"\"",
        ]
    );
}

#[test]
fn broken_lines_are_counted_all_and_kept_few() {
    let list = read(&config(ListFormat::Domains), &"!\n".repeat(1000));
    assert_eq!(
        (list.broken_lines(), list.broken().len()),
        (1000, MAX_BROKEN)
    );
    let mut reader = ListReader::new(&config(ListFormat::Domains));
    reader.line(&vec![b'a'; MAX_LINE + 1]);
    reader.line(b"\xff\xfe # not text\n");
    reader.line(b"good.example # \xff");
    let list = reader.finish();
    assert_eq!((list.broken_lines(), list.len()), (2, 1));
}
