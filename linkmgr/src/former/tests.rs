//! Are files of other DHCP clients read as those clients write them, and is anything else nothing?

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x10]);

fn id(octets: &[u8]) -> Arc<[u8]> {
    octets.into()
}

fn lease(by: Leaving, address: &str, client_id: Option<Arc<[u8]>>) -> Former4 {
    Former4 {
        address: address.parse().unwrap(),
        client_id,
        by,
    }
}

#[test]
fn networkd_says_what_it_called_itself() {
    let text = b"# This is private data. Do not parse.\nADDRESS=192.0.2.109\nNETMASK=255.255.255.0\nCLIENTID=ffb149d79000020000ab110033bdebf95e192c\n";
    let former = Leaving::NetworkdLease.parse(text, "net0");
    let client_id = Some(id(&[
        0xff, 0xb1, 0x49, 0xd7, 0x90, 0, 2, 0, 0, 0xab, 0x11, 0, 0x33, 0xbd, 0xeb, 0xf9, 0x5e,
        0x19, 0x2c,
    ]));
    assert_eq!(
        former.dhcp4,
        Some(lease(Leaving::NetworkdLease, "192.0.2.109", client_id))
    );
    let text = b"ADMIN_STATE=configured\nDHCP6_CLIENT_IAID=0xb149d790\nDHCP6_CLIENT_DUID=DUID-EN/Vendor:0000ab110033bdebf95e192c\n";
    let dhcp6 = Leaving::NetworkdLink.parse(text, "net0").dhcp6.unwrap();
    assert_eq!(dhcp6.iaid, 0xb149_d790);
    assert_eq!(
        dhcp6.duid.octets(),
        [
            0, 2, 0, 0, 0xab, 0x11, 0, 0x33, 0xbd, 0xeb, 0xf9, 0x5e, 0x19, 0x2c
        ]
    );
}

#[test]
fn network_manager_says_what_it_called_itself() {
    let text = b"[device]\nmanaged=true\n\n[dhcp4]\ndhcp4.dhcp_client_identifier=01:02:00:00:00:00:10\ndhcp4.ip_address=192.0.2.109\n\n\
        [dhcp6]\ndhcp6.dhcp6_client_id=00:04:33:e8:7c:10\ndhcp6.iaid=45:03:f6:ff\ndhcp6.ip6_address=2001:db8:a::1f75\n";
    let former = Leaving::NetworkManager.parse(text, "net0");
    assert_eq!(
        former.dhcp4,
        Some(lease(
            Leaving::NetworkManager,
            "192.0.2.109",
            Some(id(&[1, 2, 0, 0, 0, 0, 0x10]))
        ))
    );
    let dhcp6 = former.dhcp6.unwrap();
    assert_eq!(dhcp6.iaid, 0x4503_f6ff);
    assert_eq!(dhcp6.duid.octets(), [0, 4, 0x33, 0xe8, 0x7c, 0x10]);
    assert_eq!(dhcp6.address, "2001:db8:a::1f75".parse().ok());
}

const DHCLIENT: &str = r#"# a comment; with { all } kinds of "signs
lease {
  interface "net0";
  fixed-address 192.0.2.5;
  option dhcp-client-identifier 1:2:0:0:0:0:10;
  renew 0 2026/11/29 11:28:25;
}
lease {
  interface "net1";
  fixed-address 192.0.2.6;
  option domain-search "a.test.", "b.test.";
}
lease {
  interface "net0";
  fixed-address 192.0.2.109;
  option domain-name "an; odd } \"name\"";
  option dhcp-client-identifier "\000lab";
}
"#;

const DHCLIENT6: &str = r#"default-duid "\000\001\000\0012\236";
lease6 {
  interface "net0";
  ia-na 00:00:00:10 {
    starts 1795950078;
    renew 1800;
    iaaddr 2001:db8:a::1048 {
      starts 1795950078;
      preferred-life 3600;
    }
  }
  option dhcp6.client-id 0:1:0:1:32:9e:c2:7e:2:0:0:0:0:10;
  option dhcp6.server-id 0:1:0:1:32:9e:c2:7b:f2:12:a6:ce:f9:5f;
}
"#;

#[test]
fn the_last_lease_of_dhclient_on_the_link_counts() {
    let read = |link| Leaving::Dhclient.parse(DHCLIENT.as_bytes(), link).dhcp4;
    assert_eq!(
        read("net0"),
        Some(lease(Leaving::Dhclient, "192.0.2.109", Some(id(b"\0lab"))))
    );
    assert_eq!(
        read("net1"),
        Some(lease(Leaving::Dhclient, "192.0.2.6", None))
    );
    assert_eq!(read("net2"), None);
    let all = shared(DHCLIENT.as_bytes());
    let links: Vec<&str> = all.keys().map(|link| &**link).collect();
    assert_eq!(links, ["net0", "net1"]);
    assert_eq!(all["net0"].dhcp4, read("net0"));
    let dhcp6 = Leaving::Dhclient.parse(DHCLIENT6.as_bytes(), "net0").dhcp6;
    let dhcp6 = dhcp6.unwrap();
    assert_eq!((dhcp6.iaid, dhcp6.duid.octets().len()), (0x10, 14));
    assert_eq!(dhcp6.address, "2001:db8:a::1048".parse().ok());
}

#[test]
fn dhcpcd_keeps_the_servers_messages() {
    let mut message = vec![0; 240];
    message[16..20].copy_from_slice(&[192, 0, 2, 109]);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    let options = [53, 1, 5, 0, 61, 3, 0, 7, 8, 255, 61, 2, 1, 1];
    let said = [&message[..], &options].concat();
    let former = Leaving::DhcpcdLease.parse(&said, "net0");
    assert_eq!(
        former.dhcp4,
        Some(lease(
            Leaving::DhcpcdLease,
            "192.0.2.109",
            Some(id(&[0, 7, 8]))
        ))
    );
    // A server that does not say it back: it is made of the DUID, unless that cannot be read.
    let silent = [&message[..], &[53, 1, 5, 255]].concat();
    let former = Leaving::DhcpcdLease.parse(&silent, "net0");
    let usual: &[u8] = b"hostname\n#clientid\nduid\npersistent\n";
    let rows: [(&[u8], &[u8], Option<u16>, Option<&[u8]>); 6] = [
        (
            usual,
            b"00:01:00:02\n",
            None,
            Some(&[255, 0, 0, 0, 0x10, 0, 1, 0, 2]),
        ),
        // VLANs have the hardware address of their link.
        (
            usual,
            b"00:01:00:02\n",
            Some(0x102),
            Some(&[255, 0xff, 0, 1, 2, 0, 1, 0, 2]),
        ),
        (usual, b"", None, None),
        (b"# duid\n", b"00:01:00:02\n", None, None),
        (
            b"duid\ninterface net0\n  iaid 5\n",
            b"00:01:00:02\n",
            None,
            None,
        ),
        (b"duid\nclientid\n", b"00:01:00:02\n", None, None),
    ];
    for (conf, duid, vlan, made) in rows {
        let mut with = former.clone();
        let dhcpcd = Dhcpcd {
            conf,
            duid,
            mac: MAC,
            vlan,
        };
        dhcpcd.complete(&mut with);
        let expected = lease(Leaving::DhcpcdLease, "192.0.2.109", made.map(id));
        assert_eq!(with.dhcp4, Some(expected), "{vlan:?}");
    }

    let association = [
        &[0, 0, 0, 9][..],
        &[0; 8],
        &[0, 5, 0, 24, 0x20, 1, 0xd, 0xb8],
        &[0; 20],
    ]
    .concat();
    let message = [
        &[7, 1, 2, 3, 0, 1, 0, 4, 0, 3, 0, 1, 0, 3, 0, 40][..],
        &association,
    ]
    .concat();
    let dhcp6 = Leaving::DhcpcdLease6.parse(&message, "net0").dhcp6.unwrap();
    assert_eq!((dhcp6.iaid, dhcp6.duid.octets()), (9, &[0, 3, 0, 1][..]));
    assert_eq!(dhcp6.address, "2001:db8::".parse().ok());
}

#[test]
fn an_initramfs_says_its_address() {
    let text = b"DEVICE='net0'\nPROTO='dhcp'\nIPV4ADDR='192.0.2.109'\n";
    let read = |text: &[u8]| Leaving::Initramfs.parse(text, "net0").dhcp4;
    assert_eq!(
        read(text),
        Some(lease(Leaving::Initramfs, "192.0.2.109", None))
    );
    assert_eq!(read(b"PROTO='none'\nIPV4ADDR='192.0.2.109'\n"), None);
}

#[test]
fn what_is_not_on_the_link_counts_for_nothing_and_the_first_word_for_most() {
    let prefix = |address: &str, length| Prefix {
        address: address.parse().unwrap(),
        length,
    };
    let on_link = [prefix("192.0.2.109", 24), prefix("2001:db8:a::1048", 64)];
    let mut former = Former::default();
    former.add(
        Leaving::NetworkdLease.parse(b"ADDRESS=192.0.2.5\nCLIENTID=0102\n", "net0"),
        &on_link,
    );
    assert_eq!(former, Former::default());
    former.add(
        Leaving::NetworkdLease.parse(b"ADDRESS=192.0.2.109\nCLIENTID=0102\n", "net0"),
        &on_link,
    );
    former.add(
        Leaving::Dhclient.parse(DHCLIENT.as_bytes(), "net0"),
        &on_link,
    );
    former.add(
        Leaving::Dhclient.parse(DHCLIENT6.as_bytes(), "net0"),
        &on_link,
    );
    assert_eq!(
        former.dhcp4,
        Some(lease(
            Leaving::NetworkdLease,
            "192.0.2.109",
            Some(id(&[1, 2]))
        ))
    );
    assert_eq!(former.dhcp6.unwrap().iaid, 0x10);
    // A link of this number in another network namespace.
    let link = b"DHCP6_CLIENT_IAID=0x01\nDHCP6_CLIENT_DUID=DUID-LL:00010203\n";
    let mut nobody = Former::default();
    nobody.add(Leaving::NetworkdLink.parse(link, "net0"), &on_link);
    assert_eq!(nobody, Former::default());
    // Nor is it believed for another client's DHCPv4 lease, but for networkd's, and for what only a DHCPv6 server gives.
    let mut another = Former::default();
    another.add(
        Leaving::Dhclient.parse(DHCLIENT.as_bytes(), "net0"),
        &on_link,
    );
    another.add(Leaving::NetworkdLink.parse(link, "net0"), &on_link);
    assert_eq!(another.dhcp6, None);
    let mut networkd = Former::default();
    networkd.add(
        Leaving::NetworkdLease.parse(b"ADDRESS=192.0.2.109\n", "net0"),
        &on_link,
    );
    networkd.add(Leaving::NetworkdLink.parse(link, "net0"), &on_link);
    assert_eq!(networkd.dhcp6.map(|it| it.iaid), Some(1));
    let mut only6 = Former::default();
    let given = [prefix("fe80::1", 64), prefix("2001:db8:a::1048", 128)];
    only6.add(Leaving::NetworkdLink.parse(link, "net0"), &given);
    assert_eq!(only6.dhcp6.map(|it| it.iaid), Some(1));
}

#[test]
fn what_does_not_read_is_not_there() {
    let rows: [&[u8]; 9] = [
        b"",
        b"ADDRESS=192.0.2",
        b"CLIENTID=0",
        b"lease { interface \"net0\"; fixed-address",
        b"lease { lease { lease { lease { lease { lease {",
        b"}}}}",
        b"\"\\",
        b"DHCP6_CLIENT_IAID=0x\nDHCP6_CLIENT_DUID=DUID-LL:",
        &[255; 300],
    ];
    for row in rows {
        for leaving in Leaving::ALL {
            let former = leaving.parse(row, "net0");
            let is_cookieless = leaving == Leaving::DhcpcdLease && row.len() > 240;
            assert!(
                former.dhcp6.is_none() && (former.dhcp4.is_none() || is_cookieless),
                "{leaving:?} {row:?}"
            );
        }
    }
}

#[test]
fn nothing_is_taken_for_more_than_it_says() {
    let lease4 = |leaving: Leaving, text: &[u8]| leaving.parse(text, "net0").dhcp4;
    // A key that another one begins with, an identifier too short to be one, and what comes after all that is read of a file.
    let text = b"ADDRESS_BEFORE=192.0.2.5\nADDRESS=192.0.2.109\nCLIENTID=01\n";
    let plain = Some(lease(Leaving::NetworkdLease, "192.0.2.109", None));
    assert_eq!(lease4(Leaving::NetworkdLease, text), plain);
    let late = [&vec![b'\n'; FILE_MAX][..], text].concat();
    assert_eq!(lease4(Leaving::NetworkdLease, &late), None);
    // What dhclient says of no lease, and what is deeper than anything it writes.
    let lease_of_5 = "lease { interface \"net0\"; fixed-address 192.0.2.5; }";
    let before = format!("option dhcp-client-identifier 1:2:3; {lease_of_5}");
    let read = lease4(Leaving::Dhclient, before.as_bytes());
    assert_eq!(read, Some(lease(Leaving::Dhclient, "192.0.2.5", None)));
    let deep = format!("a {{ a {{ a {{ a {{ a {{ }} }} }} }} }} {lease_of_5}");
    assert_eq!(lease4(Leaving::Dhclient, deep.as_bytes()), None);
}

#[test]
fn a_message_that_dhcpcd_keeps_is_read_to_its_end_and_no_further() {
    let mut message = vec![0; 240];
    message[16..20].copy_from_slice(&[192, 0, 2, 109]);
    let read = |cookie: [u8; 4], options: &[u8]| {
        let mut said = message.clone();
        said[236..].copy_from_slice(&cookie);
        Leaving::DhcpcdLease.parse(&[&said[..], options].concat(), "net0")
    };
    const COOKIE: [u8; 4] = [99, 130, 83, 99];
    let plain = Some(lease(Leaving::DhcpcdLease, "192.0.2.109", None));
    assert_eq!(read([0; 4], &[61, 2, 7, 8]).dhcp4, plain);
    assert_eq!(read(COOKIE, &[255, 1, 0, 61, 2, 7, 8]).dhcp4, plain);
    // What the server has said back counts more than what the DUID would make.
    let said = read(COOKIE, &[61, 2, 7, 8, 255]);
    let mut with = said.clone();
    let dhcpcd = Dhcpcd {
        conf: b"duid\n",
        duid: b"00:01:00:02",
        mac: MAC,
        vlan: None,
    };
    dhcpcd.complete(&mut with);
    assert_eq!(with, said);

    // An association without an address comes before one that has one.
    let without = [&[0, 3, 0, 12, 0, 0, 0, 8][..], &[0; 8]].concat();
    let address = [&[0, 5, 0, 24, 0x20, 1, 0xd, 0xb8][..], &[0; 20]].concat();
    let with = [&[0, 3, 0, 40, 0, 0, 0, 9][..], &[0; 8], &address].concat();
    let said = [&[7, 1, 2, 3, 0, 1, 0, 4, 0, 3, 0, 1][..], &without, &with].concat();
    let dhcp6 = Leaving::DhcpcdLease6.parse(&said, "net0").dhcp6.unwrap();
    assert_eq!(dhcp6.iaid, 9);
}

#[test]
fn of_ipv6_too_the_first_word_counts_that_is_about_an_address_on_the_link() {
    let said = |iaid: u32, address: &str| Former {
        dhcp6: Some(Former6 {
            duid: Duid::from_octets(&[0, 3, 0, 1]).unwrap(),
            iaid,
            address: address.parse().ok(),
            by: Leaving::NetworkManager,
        }),
        made: address.parse().into_iter().collect(),
        ..Former::default()
    };
    let on_link = ["2001:db8::1", "2001:db8::2"].map(|it| Prefix {
        address: it.parse().unwrap(),
        length: 64,
    });
    let mut former = Former::default();
    for (iaid, address) in [(1, "2001:db8::9"), (2, "2001:db8::1"), (3, "2001:db8::2")] {
        former.add(said(iaid, address), &on_link);
    }
    assert_eq!(former.dhcp6.unwrap().iaid, 2);
    assert_eq!(former.made.len(), 3);
}
