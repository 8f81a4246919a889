//! Is the table of kinds sound? Each row alone, and the rows of one kind together.

use std::collections::BTreeSet;

use super::*;

fn rows() -> impl Iterator<Item = (&'static Kind, &'static Attribute)> {
    KINDS.iter().flat_map(|kind| {
        let ports = kind.ports.unwrap_or_default();
        kind.attributes
            .iter()
            .chain(ports)
            .map(move |row| (kind, row))
    })
}

#[test]
fn every_kind_is_found_by_its_name_and_can_be_written() {
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    assert!(names.is_sorted());
    for kind in &KINDS {
        assert_eq!(LinkKind::of(kind.name).unwrap().name, kind.name);
        if kind.maker == Maker::Netlink {
            assert_eq!(LinkKind::of_info(kind.info).unwrap().name, kind.name);
        }
    }
    let written = crate::reference::find(Section::Link, "kind").unwrap();
    let Syntax::Choice(words) = written.syntax else {
        panic!("{written:?}");
    };
    assert_eq!(words, names);
}

#[test]
fn every_row_is_documented_and_named_once() {
    for (kind, row) in rows() {
        let key = &row.key;
        assert!(key.doc.ends_with('.') && !key.doc.contains(". "), "{key:?}");
        assert!(!row.numbers.is_empty(), "{key:?}");
        assert_eq!(key.secret, crate::secret::looks_secret(key.name), "{key:?}");
        assert!(
            crate::reference::find(key.section, key.name).is_none(),
            "{} of {} is a key of all kinds",
            key.name,
            kind.name
        );
    }
    for kind in &KINDS {
        for rows in [kind.attributes, kind.ports.unwrap_or_default()] {
            let names: BTreeSet<&str> = rows.iter().map(|row| row.key.name).collect();
            assert_eq!(names.len(), rows.len(), "{}", kind.name);
        }
    }
}

#[test]
fn no_two_rows_of_a_kind_write_the_same_octets() {
    for kind in &KINDS {
        for rows in [kind.attributes, kind.ports.unwrap_or_default()] {
            let mut bits_by_number: BTreeMap<u16, BTreeSet<Option<u32>>> = BTreeMap::new();
            for row in rows.iter().filter(|row| row.wire != Wire::Elsewhere) {
                let bit = if let Wire::Bit(_, bit) | Wire::MaskedBit(bit) = row.wire {
                    Some(bit)
                } else {
                    None
                };
                for number in row.numbers {
                    let held = bits_by_number.entry(*number).or_default();
                    assert!(held.insert(bit), "{} of {}", row.key.name, kind.name);
                    assert!(!held.contains(&None) || held.len() == 1, "{}", kind.name);
                }
            }
        }
    }
}

#[test]
fn the_shape_in_a_profile_fits_the_shape_on_the_wire() {
    for (kind, row) in rows() {
        let fits = match row.wire {
            Wire::Number(_) => matches!(row.key.syntax, Syntax::Integer { .. }),
            Wire::Switch(_) | Wire::Flag | Wire::Bit(..) | Wire::MaskedBit(_) => {
                row.key.syntax == Syntax::Boolean
            }
            Wire::Word(_, codes) => {
                let words: Vec<&str> = codes.iter().map(|(word, _)| *word).collect();
                row.key.syntax == Syntax::Choice(words.leak())
            }
            Wire::Time(..) => matches!(
                row.key.syntax,
                Syntax::Time { .. } | Syntax::Text(Form::Interval)
            ),
            Wire::Address4 | Wire::Address6 | Wire::Address { .. } => {
                row.key.syntax == Syntax::Text(Form::Address)
            }
            Wire::Addresses { .. } => row.key.syntax == Syntax::List(Form::Address),
            Wire::Mac => row.key.syntax == Syntax::Text(Form::Mac),
            Wire::Link => row.key.syntax == Syntax::Text(Form::LinkName),
            Wire::Pairs => row.key.syntax == Syntax::List(Form::Pair),
            Wire::PortRange => row.key.syntax == Syntax::Text(Form::PortRange),
            Wire::Elsewhere => true,
        };
        assert!(fits, "{} of {}", row.key.name, kind.name);
    }
}

#[test]
fn numbers_fit_their_width() {
    for (kind, row) in rows() {
        let (Wire::Number(width), Syntax::Integer { min, max }) = (row.wire, row.key.syntax) else {
            continue;
        };
        let bits = match width {
            Width::U8 => 8,
            Width::U16 | Width::Be16 => 16,
            Width::U32 | Width::Be32 => 32,
            Width::U64 => 63,
        };
        let most = if min < 0 {
            1_i64 << (bits - 1)
        } else {
            1_i64 << bits
        };
        assert!(max < most, "{} of {}", row.key.name, kind.name);
    }
}

#[test]
fn every_default_is_a_value() {
    for (kind, row) in rows() {
        if row.key.default.is_some() && row.wire != Wire::Elsewhere {
            assert!(row.default().is_some(), "{} of {}", row.key.name, kind.name);
        }
    }
}
