//! Does every form of an anchor file read, and is every mistake in it told?

use super::*;
use crate::anchors::negative::parse_negatives;
use crate::anchors::rollover::Rollover;
use crate::anchors::tests::{KSK_2017, KSK_2024};
use crate::anchors::{Match, TrustAnchors, key_tag};

const DS_2017: &str = "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
const DS_2024: &str = "38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16";
/// 32 bytes.
const ED25519: &str = "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";

/// `OWNER TAG` of each anchor, and `LINE: PROBLEM` of each diagnostic.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let parsed = parse_anchors(text);
    let shown = |(owner, anchor): &(Name, Anchor)| {
        let form = match anchor {
            Anchor::Ds(_) => "DS",
            Anchor::Key(key) => {
                assert_eq!(key_tag(key), anchor.key_tag());
                "DNSKEY"
            }
        };
        format!("{owner} {form} {}", anchor.key_tag())
    };
    let anchors = parsed.anchors.iter().map(shown).collect();
    let told = |found: &Diagnostic| format!("{}: {}", found.line, found.problem);
    (anchors, parsed.diagnostics.iter().map(told).collect())
}

fn problem(text: &str) -> Problem {
    let mut parsed = parse_anchors(text);
    assert_eq!(parsed.anchors, [], "{text}");
    assert_eq!(parsed.diagnostics.len(), 1, "{text}");
    parsed.diagnostics.remove(0).problem
}

#[test]
fn digests_of_iana_read_as_the_built_in_anchors() {
    let parsed = parse_anchors(&format!(". IN DS {DS_2017}\n. IN DS {DS_2024}\n"));
    assert_eq!(parsed.diagnostics, []);
    let built_in = TrustAnchors::built_in();
    let Some(Match::Positive { anchors, .. }) = built_in.deepest(&Name::root(), 0) else {
        panic!("the root has anchors");
    };
    let read: Vec<Anchor> = parsed
        .anchors
        .into_iter()
        .map(|(_, anchor)| anchor)
        .collect();
    assert_eq!(read, anchors);
}

#[test]
fn every_form_of_a_record_reads() {
    let split = DS_2024.replace("8D0A", "8D 0A");
    let rows = [
        format!(". DS {DS_2024}"),
        format!(". IN DS {DS_2024}"),
        format!(".\t172800\tIN\tDS\t{DS_2024}\r"),
        format!(". IN 172800 ds {}", DS_2024.to_lowercase()),
        format!(". 2d12h in ds {DS_2024}"),
        format!("  . IN DS {DS_2024}"),
        format!("@ DS {DS_2024} ; the root"),
        format!("; a comment\n# another\n\n. DS {DS_2024} # end"),
        format!(". DS 38696 RSASHA256 2 {}", &DS_2024[10..]),
        format!(". DS ({split}\n)"),
        ". (\n IN DS ; comment (\n 38696 8 2 \n 683D2D0ACB8C9B712A1948B27F741219 ; half\n 298D0A450D612C483AF444A4C0FB2B16 )"
            .to_owned(),
        format!("$TTL 1d\n$ORIGIN .\n@ DS {DS_2024}"),
        format!("\u{feff}. DS {DS_2024}"),
    ];
    for text in rows {
        assert_eq!(
            read(&text),
            (vec![". DS 38696".to_owned()], vec![]),
            "{text}"
        );
    }
}

#[test]
fn hash_mark_opens_a_comment_only_where_a_word_begins() {
    let expected = Problem::Field(Field::Digest, Box::from("00#root"));
    assert_eq!(problem(". DS 1 8 2 00# root"), expected);
}

#[test]
fn keys_read_in_one_piece_in_many_and_quoted() {
    let (half, rest) = KSK_2024.split_at(101);
    let rows = [
        format!(". 86400 IN DNSKEY 257 3 8 {KSK_2024} ; KSK"),
        format!(". DNSKEY 257 3 8 {half} {rest}"),
        format!(". DNSKEY 257 3 RSASHA256 (\n\t{half}\n\t{rest}\n) ; comment"),
        format!(". DNSKEY 257 3 8 \"{half}\" \"{rest}\""),
    ];
    for text in rows {
        assert_eq!(
            read(&text),
            (vec![". DNSKEY 38696".to_owned()], vec![]),
            "{text}"
        );
    }
}

#[test]
fn owners_follow_origin_and_the_line_before() {
    let text = format!(
        "$ORIGIN corp.test.\n\
         @ DNSKEY 257 3 15 {ED25519}\n\
         \tIN DS 1 15 2 {digest}\n\
         \t3600 DS 2 15 2 {digest}\n\
         lab IN DS 3 15 2 {digest}\n\
         Other.Test. DS 4 15 2 {digest}\n\
         $ORIGIN sub\n\
         a DS 5 15 2 {digest}\n",
        digest = "00".repeat(32),
    );
    let (anchors, diagnostics) = read(&text);
    assert_eq!(diagnostics, [""; 0]);
    let expected = [
        "corp.test. DS 1",
        "corp.test. DS 2",
        "lab.corp.test. DS 3",
        "Other.Test. DS 4",
        "a.sub.corp.test. DS 5",
    ];
    assert_eq!(anchors[1..], expected);
    assert!(anchors[0].starts_with("corp.test. DNSKEY "));
}

#[test]
fn root_key_of_unbound_gives_the_keys_it_trusts() {
    let text = format!(
        "; autotrust trust anchor file\n\
         ;;id: . 1\n\
         ;;last_queried: 1793000000 ;;Sun Oct 25 2026\n\
         ;;next_probe_time: 1793040000 ;;Mon Oct 26 2026\n\
         .\t86400\tIN\tDNSKEY\t257 3 8 {KSK_2024} ;{{id = 38696 (ksk), size = 2048b}} ;;state=2 [  VALID  ] ;;count=0\n\
         .\t86400\tIN\tDNSKEY\t257 3 8 {KSK_2017} ;{{id = 20326 (ksk), size = 2048b}} ;;state=3 [ MISSING ] ;;count=0\n\
         .\t86400\tIN\tDNSKEY\t257 3 15 {ED25519} ;{{id = 1 (ksk), size = 256b}} ;;state=1 [ ADDPEND ] ;;count=2\n"
    );
    let (anchors, diagnostics) = read(&text);
    assert_eq!(anchors, [". DNSKEY 38696", ". DNSKEY 20326"]);
    assert_eq!(
        diagnostics,
        ["7: unbound does not trust this key: its state is 1, not 2 (VALID) or 3 (MISSING)"]
    );
}

#[test]
fn every_bad_line_is_told_with_its_number_and_the_good_ones_count() {
    let text = format!(
        ". DS 1 8 2 00\n\
         . DS {DS_2017}\n\
         $INCLUDE other\n\
         test A 192.0.2.1\n\
         \n\
         . (DS\n\
         1 8 2\n\
         0g )\n\
         .. DS {DS_2017}\n\
         . DS {DS_2024}\n\
         . DNSKEY 257 3 8 \"abc\n\
         . DS 1 8 2 ) 00\n\
         . DS {DS_2017} (\n"
    );
    let (anchors, diagnostics) = read(&text);
    assert_eq!(anchors, [". DS 20326", ". DS 38696"]);
    assert_eq!(
        diagnostics,
        [
            "1: digest type 2 has 32 bytes, not 1",
            "3: `$INCLUDE` is not read here; give the records themselves",
            "4: `A` cannot be an anchor; only DS and DNSKEY can",
            "6: `0g` is not a digest in hexadecimal",
            "9: `..` is not a domain name",
            "11: a quotation mark is not closed",
            "12: a parenthesis is closed that was not opened",
            "13: a parenthesis is not closed",
        ]
    );
}

#[test]
fn every_problem_has_its_row() {
    let digest = "00".repeat(32);
    let word = |text: &str| Box::from(text);
    let rows = [
        (
            "<?xml version=\"1.0\"?>\n<TrustAnchor>".to_owned(),
            Problem::Xml,
        ),
        (
            "# bind\ntrust-anchors {\n . initial-ds 1 8 2 \"00\";\n};".to_owned(),
            Problem::NamedConf,
        ),
        ("$ORIGIN".to_owned(), Problem::Origin),
        (format!("\tDS 1 8 2 {digest}"), Problem::NoOwner),
        (
            format!("a..b DS 1 8 2 {digest}"),
            Problem::Owner(word("a..b")),
        ),
        (format!("\"\" DS 1 8 2 {digest}"), Problem::Owner(word(""))),
        (
            format!("{} DS 1 8 2 {digest}", "a".repeat(64)),
            Problem::Owner("a".repeat(40).into()),
        ),
        (". IN".to_owned(), Problem::NoType),
        (
            format!(". CH DS 1 8 2 {digest}"),
            Problem::Class(word("CH")),
        ),
        (format!(". CDS 1 8 2 {digest}"), Problem::Type(word("CDS"))),
        (". DS".to_owned(), Problem::Missing(Field::KeyTag)),
        (". DS 1".to_owned(), Problem::Missing(Field::Algorithm)),
        (". DS 1 8".to_owned(), Problem::Missing(Field::DigestType)),
        (". DS 1 8 2".to_owned(), Problem::Missing(Field::Digest)),
        (
            format!(". DS 65536 8 2 {digest}"),
            Problem::Field(Field::KeyTag, word("65536")),
        ),
        (
            format!(". DS +1 8 2 {digest}"),
            Problem::Field(Field::KeyTag, word("+1")),
        ),
        (
            format!(". DS 1 RSA 2 {digest}"),
            Problem::Field(Field::Algorithm, word("RSA")),
        ),
        (format!(". DS 1 0 2 {digest}"), Problem::NoAlgorithm),
        (
            format!(". DS 1 8 two {digest}"),
            Problem::Field(Field::DigestType, word("two")),
        ),
        (
            ". DS 1 8 9 0".to_owned(),
            Problem::Field(Field::Digest, word("0")),
        ),
        (
            format!(". DS 1 8 4 {digest}"),
            Problem::DigestLength {
                digest_type: 4,
                expected: 48,
                found: 32,
            },
        ),
        (". DNSKEY".to_owned(), Problem::Missing(Field::Flags)),
        (". DNSKEY 257".to_owned(), Problem::Missing(Field::Protocol)),
        (
            ". DNSKEY 257 3 8".to_owned(),
            Problem::Missing(Field::PublicKey),
        ),
        (format!(". DNSKEY 257 2 15 {ED25519}"), Problem::Protocol),
        (
            format!(". DNSKEY 257 3 13 {ED25519}"),
            Problem::KeyLength {
                algorithm: 13,
                found: 32,
            },
        ),
        (
            ". DNSKEY 257 3 8 AwEAAQ==".to_owned(),
            Problem::KeyLength {
                algorithm: 8,
                found: 4,
            },
        ),
        (
            ". DNSKEY 257 3 15 l02W\u{1}".to_owned(),
            Problem::Field(Field::PublicKey, word("l02W\u{fffd}")),
        ),
        (format!(". DNSKEY 1 3 15 {ED25519}"), Problem::NoZoneKey),
        (format!(". DNSKEY 385 3 15 {ED25519}"), Problem::Revoked),
    ];
    for (text, expected) in rows {
        assert_eq!(problem(&text), expected, "{text}");
    }
}

#[test]
fn unknown_algorithms_and_digests_are_anchors_for_the_validator_to_judge() {
    let text = format!(". DS 1 200 99 00\n. DNSKEY 257 3 253 {ED25519}\n");
    let (anchors, diagnostics) = read(&text);
    assert_eq!(diagnostics, [""; 0]);
    assert_eq!(anchors.len(), 2);
}

#[test]
fn owner_that_does_not_read_does_not_lend_the_one_before() {
    let digest = "00".repeat(32);
    let text =
        format!("a.test DS 1 8 2 {digest}\nb..test DS 2 8 2 {digest}\n\tDS 3 8 2 {digest}\n");
    let (anchors, diagnostics) = read(&text);
    assert_eq!(anchors, ["a.test. DS 1"]);
    assert_eq!(
        diagnostics,
        [
            "2: `b..test` is not a domain name",
            "3: the record has no owner"
        ]
    );
}

#[test]
fn an_empty_file_says_nothing() {
    for text in ["", "\n", ";", "# only\n; comments", "   \t", "()", "(\n)\n"] {
        assert_eq!(parse_anchors(text), ParsedAnchors::default(), "{text:?}");
    }
}

#[test]
fn whatever_the_text_is_it_reads_without_panic_and_within_its_lines() {
    let pieces = [
        ".",
        " ",
        "\n",
        "\t",
        "DS",
        "DNSKEY",
        "IN",
        "257",
        "3",
        "8",
        "2",
        "(",
        ")",
        "\"",
        ";",
        "#",
        "\\",
        "\\0",
        "\\300",
        "é",
        "\u{0}",
        "$ORIGIN",
        "$TTL",
        "@",
        "00",
        "AAAA",
        "=",
        "state=",
        ";;state=2",
        "a.test",
        "*",
        "xn--",
        "\r\n",
        "65536",
        "\u{feff}",
        "\u{10ffff}",
        DS_2017,
        ED25519,
        "<",
        "{",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..24 {
            // xorshift64
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = usize::try_from(seed % pieces.len() as u64).unwrap();
            text.push_str(pieces[at]);
            if seed & 0x300_0000 != 0 {
                text.push(' ');
            }
        }
        // The state files are read by the same rule: anything may stand in them.
        assert!(!Rollover::default().restore(&text).is_empty(), "{text:?}");
        let negatives = parse_negatives(&text);
        assert!(
            negatives
                .anchors
                .iter()
                .all(|anchor| !anchor.holds(u64::MAX)),
            "{text:?}"
        );
        let parsed = parse_anchors(&text);
        let lines = text.split('\n').count();
        assert!(
            parsed
                .diagnostics
                .iter()
                .all(|found| (1..=lines).contains(&found.line)),
            "{text:?}"
        );
        assert!(
            parsed.anchors.len() + parsed.diagnostics.len() <= lines,
            "{text:?}"
        );
        for (owner, _) in &parsed.anchors {
            assert!(owner.is_fqdn(), "{text:?}");
        }
    }
}
