//! How do people read records? Names of types, classes and codes, and records as zone-file text.
//!
//! The DNS library prints what it knows; the rest is in the form of RFC 3597 §5. Does not read zone files.

use crate::record::RawRecord;

/// Returns a type's mnemonic: `AAAA`, `HTTPS`, `TYPE65280`.
pub fn type_name(record_type: u16) -> String {
    format!("TYPE{record_type}")
}

/// Reads a type: a mnemonic in either case, `TYPE65`, or a number.
pub fn parse_type(_text: &str) -> Option<u16> {
    None
}

/// Returns a class's mnemonic: `IN`, `CLASS65280`.
pub fn class_name(class: u16) -> String {
    format!("CLASS{class}")
}

/// Returns a code's mnemonic: `NXDOMAIN`, `RCODE3841`.
pub fn rcode_name(rcode: u16) -> String {
    format!("RCODE{rcode}")
}

/// Returns a record as a line of a zone file, without line end.
pub fn record_text(_record: &RawRecord) -> String {
    String::new()
}
