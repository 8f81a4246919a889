//! What does dhclient say of leases? Its files (dhclient.leases(5)): declarations that end with `;` or have a block, the last one of
//! a link counting.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::{Former, Former4, Former6, Leaving, client_id, octets};
use crate::dhcp6::Duid;

/// Words of one declaration, and declarations within one another, that are looked at: those that matter have few.
const WORDS_MAX: usize = 8;
const DEPTH_MAX: usize = 4;

/// Reads a file of leases: what it says of each link.
pub(super) fn dhclient(text: &[u8]) -> BTreeMap<Box<str>, Former> {
    let mut formers = BTreeMap::new();
    let mut reader = Reader(text);
    let mut lease = Lease::default();
    let mut inside: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut words: Vec<Vec<u8>> = Vec::new();
    while let Some(token) = reader.next() {
        match token {
            Token::Word(word) if words.len() < WORDS_MAX => words.push(word),
            Token::Word(_) => {}
            Token::End => {
                lease.take(&words);
                words.clear();
            }
            Token::Begin => {
                let head = std::mem::take(&mut words);
                if inside.is_empty() {
                    lease = Lease::default();
                }
                lease.enter(&head);
                inside.push(head);
                if inside.len() > DEPTH_MAX {
                    return formers;
                }
            }
            Token::Leave => {
                words.clear();
                let head = inside.pop();
                if inside.is_empty()
                    && let Some(head) = head
                {
                    std::mem::take(&mut lease).leave(&head, &mut formers);
                }
            }
        }
    }
    formers
}

/// One lease, as far as it is read.
#[derive(Debug, Default)]
struct Lease {
    interface: Option<Vec<u8>>,
    address4: Option<std::net::Ipv4Addr>,
    client_id: Option<Vec<u8>>,
    iaid: Option<u32>,
    address6: Option<Ipv6Addr>,
    duid: Option<Duid>,
}

impl Lease {
    /// Takes the head of a block.
    fn enter(&mut self, head: &[Vec<u8>]) {
        match head {
            [key, iaid] if key == b"ia-na" => {
                let iaid = plain(iaid).and_then(|text| octets(text, 16));
                let iaid = iaid.and_then(|octets| octets.try_into().ok());
                self.iaid = iaid.map(u32::from_be_bytes);
            }
            [key, address] if key == b"iaaddr" && self.iaid.is_some() => {
                let address = plain(address).and_then(|text| text.parse().ok());
                self.address6 = self.address6.or(address);
            }
            _ => {}
        }
    }

    /// Takes a declaration without a block.
    fn take(&mut self, words: &[Vec<u8>]) {
        match words {
            [key, name] if key == b"interface" => self.interface = Some(name.clone()),
            [key, address] if key == b"fixed-address" => {
                self.address4 = plain(address).and_then(|text| text.parse().ok());
            }
            [key, name, value] if key == b"option" && name == b"dhcp-client-identifier" => {
                self.client_id = identifier(value);
            }
            [key, name, value] if key == b"option" && name == b"dhcp6.client-id" => {
                let octets = identifier(value);
                self.duid = octets.and_then(|octets| Duid::from_octets(&octets));
            }
            _ => {}
        }
    }

    fn leave(self, head: &[Vec<u8>], formers: &mut BTreeMap<Box<str>, Former>) {
        let Some(link) = self.interface.as_deref().and_then(plain) else {
            return;
        };
        let former = formers.entry(link.into()).or_default();
        match head {
            [word] if word == b"lease" => {
                if let Some(address) = self.address4 {
                    former.dhcp4 = Some(Former4 {
                        address,
                        client_id: self.client_id.and_then(client_id),
                        by: Leaving::Dhclient,
                    });
                }
            }
            [word] if word == b"lease6" => {
                if let (Some(duid), Some(iaid), Some(address)) =
                    (self.duid, self.iaid, self.address6)
                {
                    former.dhcp6 = Some(Former6 {
                        duid,
                        iaid,
                        address: Some(address),
                        by: Leaving::Dhclient,
                    });
                }
            }
            _ => {}
        }
    }
}

/// Octets as dhclient writes them: hexadecimal with colons, or as a text where all of them can be printed; a single number is no text.
fn identifier(word: &[u8]) -> Option<Vec<u8>> {
    match plain(word).filter(|text| text.contains(':')) {
        Some(text) => octets(text, 16).or_else(|| Some(word.to_vec())),
        None => Some(word.to_vec()),
    }
}

fn plain(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

/// A piece of the text.
enum Token {
    Word(Vec<u8>),
    Begin,
    Leave,
    End,
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn next(&mut self) -> Option<Token> {
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b'{' => return Some(Token::Begin),
                b'}' => return Some(Token::Leave),
                b';' => return Some(Token::End),
                b'"' => return Some(Token::Word(self.quoted())),
                b'#' => {
                    let end = rest.iter().position(|octet| *octet == b'\n');
                    self.0 = rest.get(end.unwrap_or(rest.len())..).unwrap_or_default();
                }
                octet if octet.is_ascii_whitespace() || *octet == b',' => {}
                octet => return Some(Token::Word(self.bare(*octet))),
            }
        }
    }

    fn bare(&mut self, first: u8) -> Vec<u8> {
        let is_end = |octet: &u8| octet.is_ascii_whitespace() || b"{};,\"".contains(octet);
        let end = self.0.iter().position(is_end).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        [&[first], word].concat()
    }

    /// Reads to the closing quotation mark; octets that cannot be printed are three octal digits after a backslash.
    fn quoted(&mut self) -> Vec<u8> {
        let mut word = Vec::new();
        while let Some((octet, rest)) = self.0.split_first() {
            self.0 = rest;
            match octet {
                b'"' => break,
                b'\\' => word.extend(self.escaped()),
                octet => word.push(*octet),
            }
        }
        word
    }

    fn escaped(&mut self) -> Option<u8> {
        if let Some((digits, rest)) = self.0.split_first_chunk::<3>()
            && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
        {
            self.0 = rest;
            let number = digits
                .iter()
                .fold(0_u32, |number, digit| number << 3 | u32::from(digit - b'0'));
            return u8::try_from(number).ok();
        }
        let (octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*octet)
    }
}
