//! Does the helper read what it is sent, and believe only whom it may?

#![expect(clippy::disallowed_methods, reason = "tests read and write files")]

use std::os::unix::fs::symlink;

use linnet::config_dirs::{Believe, Kind, MAX_CONFIG_FILE, directories, read};

use super::frame::{Assembly, MAX_PIECE, Numbered, packets};

#[test]
fn a_message_longer_than_a_packet_arrives_whole() {
    for length in [0, 1, MAX_PIECE, 3 * MAX_PIECE + 7] {
        let body = "ä".repeat(length);
        let message = Numbered { number: 7, body };
        let packets = packets(&message, 1 << 20).unwrap();
        let mut assembly = Assembly::default();
        let mut whole = None;
        for packet in &packets {
            assert!(whole.is_none());
            whole = assembly.add::<Numbered<String>>(packet, 1 << 20).unwrap();
        }
        assert_eq!(whole.unwrap().body, message.body);
    }
}

#[test]
fn what_is_too_long_or_no_message_is_an_error() {
    let long = Numbered {
        number: 1,
        body: "x".repeat(100),
    };
    assert!(packets(&long, 99).is_err());
    let mut assembly = Assembly::default();
    for packet in [&[][..], &[9, b'1'], &[0, b'{'], &[1; 200]] {
        assert!(assembly.add::<Numbered<String>>(packet, 99).is_err());
    }
}

#[test]
fn files_come_in_order_and_unreadable_ones_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for sub in ["conf.d", "profiles"] {
        std::fs::create_dir(at(sub)).unwrap();
    }
    std::fs::write(at("linnet.toml"), "main").unwrap();
    std::fs::write(at("conf.d/20-b.toml"), "b").unwrap();
    std::fs::write(at("conf.d/10-a.toml"), "a").unwrap();
    std::fs::write(at("conf.d/.hidden.toml"), "x").unwrap();
    std::fs::write(at("conf.d/notes.txt"), "x").unwrap();
    std::fs::create_dir(at("conf.d/30-c.toml")).unwrap();
    std::fs::write(at("profiles/office.toml"), [0xff]).unwrap();
    symlink("gone", at("profiles/vpn.toml")).unwrap();
    let long = std::fs::File::create(at("profiles/z.toml")).unwrap();
    long.set_len(MAX_CONFIG_FILE + 1).unwrap();
    let texts = read(&directories(Some(dir.path())), Believe::Everything);
    let rows: Vec<_> = texts
        .iter()
        .map(|text| {
            let name = text.path.file_name().unwrap().to_str().unwrap();
            (text.kind, name, text.text.as_deref().ok())
        })
        .collect();
    assert_eq!(
        rows,
        [
            (Kind::Main, "linnet.toml", Some("main")),
            (Kind::DropIn, "10-a.toml", Some("a")),
            (Kind::DropIn, "20-b.toml", Some("b")),
            (Kind::DropIn, "30-c.toml", None),
            (Kind::Profile, "office.toml", None),
            (Kind::Profile, "vpn.toml", None),
            (Kind::Profile, "z.toml", None),
        ]
    );
}

#[test]
fn a_reader_with_more_rights_believes_only_what_root_put_there() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let me = std::fs::metadata(dir.path())
        .map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata));
    let me = me.unwrap();
    std::fs::write(at("linnet.toml"), "main").unwrap();
    std::fs::create_dir(at("profiles")).unwrap();
    std::fs::write(at("secret"), "secret").unwrap();
    symlink("../secret", at("profiles/a.toml")).unwrap();
    std::fs::hard_link(at("secret"), at("profiles/b.toml")).unwrap();
    let said = |believe| {
        let texts = read(&directories(Some(dir.path())), believe);
        let said = texts.into_iter().map(|text| text.text.ok());
        said.collect::<Vec<_>>()
    };
    let all = [Some("main"), Some("secret"), Some("secret")].map(|text| text.map(str::to_owned));
    assert_eq!(said(Believe::Everything), all);
    assert_eq!(said(Believe::Only(me)), all, "nobody else can write there");
    assert_eq!(said(Believe::Only(me + 1)), [None, None, None]);
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
    std::fs::set_permissions(at("profiles"), open).unwrap();
    assert_eq!(
        said(Believe::Only(me)),
        [Some("main".to_owned()), None, None]
    );
}
