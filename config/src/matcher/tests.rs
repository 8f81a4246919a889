//! Which links does a match take?

use super::*;

fn glob(text: &str) -> Glob {
    text.parse().unwrap()
}

#[test]
fn globs_fit_by_rows() {
    for (pattern, fitting, strange) in [
        (
            "vpn*",
            &["vpn", "vpn0", "vpn*"][..],
            &["vp", "xvpn0", ""][..],
        ),
        ("*", &["", "a", "é"], &[]),
        ("eth?", &["eth0", "ethé"], &["eth", "eth10"]),
        ("eth[0-3]", &["eth0", "eth3"], &["eth4", "eth", "eth-"]),
        ("eth[!0-3]", &["eth4", "ethx"], &["eth0", "eth"]),
        ("[]a]", &["]", "a"], &["b"]),
        ("[!]]", &["a"], &["]"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[*]", &["*"], &["a"]),
        ("*0*1", &["01", "a0b1", "0011"], &["10", "0"]),
        ("**a", &["a", "ba"], &["b", ""]),
        ("!vpn*", &["eth0", ""], &["vpn0"]),
        ("é*", &["é", "éa"], &["e"]),
        (
            "pci-0000:00:1f.6",
            &["pci-0000:00:1f.6"],
            &["pci-0000:00:1fx6"],
        ),
    ] {
        for text in fitting {
            assert!(glob(pattern).matches(text), "{pattern} fits {text:?}");
        }
        for text in strange {
            assert!(
                !glob(pattern).matches(text),
                "{pattern} does not fit {text:?}"
            );
        }
        assert_eq!(glob(pattern).to_string(), pattern);
    }
}

#[test]
fn bad_globs_say_why() {
    for (text, error) in [
        ("", GlobError::Empty),
        ("!", GlobError::Empty),
        ("[", GlobError::OpenClass),
        ("a[]", GlobError::OpenClass),
        ("[!]", GlobError::OpenClass),
        ("[a-", GlobError::OpenClass),
        ("[z-a]", GlobError::BackwardRange),
    ] {
        assert_eq!(text.parse::<Glob>(), Err(error), "{text}");
    }
}

#[test]
fn many_stars_do_not_take_exponential_time() {
    // With one recursion for each star this would not end in the life of the machine.
    let pattern = "*a".repeat(200) + "b";
    assert!(!glob(&pattern).matches(&"a".repeat(5000)));
}

#[test]
fn hardware_addresses_read_and_write() {
    let mac = Mac([0, 0x53, 0, 0xa1, 0xb2, 0xc3]);
    for text in ["00:53:00:a1:b2:c3", "00-53-00-A1-B2-C3"] {
        assert_eq!(text.parse(), Ok(mac));
    }
    assert_eq!(mac.to_string(), "00:53:00:a1:b2:c3");
    for text in [
        "",
        "00:53:00:a1:b2",
        "00:53:00:a1:b2:c3:d4",
        "0:53:00:a1:b2:c3",
        "00:53-00:a1:b2:c3",
        "+0:53:00:a1:b2:c3",
        "00:53:00:a1:b2:gg",
    ] {
        assert_eq!(text.parse::<Mac>(), Err(MacError), "{text}");
    }
}

#[test]
fn every_part_that_is_given_must_hold() {
    let link = LinkTraits {
        names: &["vpn0", "office-vpn"],
        mac: None,
        borrows_mac: false,
        kind: "wireguard",
        driver: None,
        path: None,
    };
    let matches = |name: &[&str], kind: &[&str], driver: &[&str], mac: &[Mac]| {
        let globs = |texts: &[&str]| texts.iter().map(|text| glob(text)).collect();
        LinkMatch {
            name: globs(name),
            kind: globs(kind),
            driver: globs(driver),
            mac: mac.to_vec(),
            path: Vec::new(),
        }
        .matches(&link)
    };
    assert!(matches(&["vpn*"], &[], &[], &[]));
    assert!(matches(&["eth0", "office*"], &["wireguard"], &[], &[]));
    assert!(!matches(&["vpn*"], &["tun"], &[], &[]));
    assert!(
        !matches(&["vpn*"], &[], &["*"], &[]),
        "no driver fits no glob"
    );
    assert!(!matches(&[], &[], &[], &[Mac([0; 6])]));
}

#[test]
fn an_address_that_may_be_another_links_is_not_enough() {
    let mac = Mac([0, 0x53, 0, 0xa1, 0xb2, 0xc3]);
    let vlan = LinkTraits {
        names: &["eth0.5"],
        mac: Some(mac),
        borrows_mac: true,
        kind: "vlan",
        driver: None,
        path: None,
    };
    let own = LinkTraits {
        names: &["eth0"],
        borrows_mac: false,
        kind: "ethernet",
        ..vlan
    };
    let by_mac = LinkMatch {
        mac: vec![mac],
        ..LinkMatch::default()
    };
    assert!(by_mac.matches(&own) && !by_mac.matches(&vlan));
    let by_name = LinkMatch {
        name: vec![glob("eth0*")],
        ..by_mac.clone()
    };
    let by_kind = LinkMatch {
        kind: vec![glob("vlan")],
        ..by_mac.clone()
    };
    assert!(by_name.matches(&vlan) && by_kind.matches(&vlan));
    let another = LinkTraits {
        mac: Some(Mac([2; 6])),
        ..vlan
    };
    assert!(!by_name.matches(&another));
}
