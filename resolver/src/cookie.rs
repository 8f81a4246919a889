//! Did a client get our answers at this address before? Server cookies in the form that all servers share (RFC 9018).
//!
//! A cookie is a hash over the client's cookie, the time and its address; nothing is remembered per client. The secret changes
//! every day by itself. `now` is in seconds, of any clock that does not go back.

use std::net::IpAddr;

use crate::carried::CLIENT_COOKIE;

/// Length of a server cookie, in octets (RFC 9018 §4).
pub const SERVER_COOKIE: usize = 16;
/// The only version there is.
const VERSION: u8 = 1;
/// How old a cookie may be, in seconds (RFC 9018 §4.3).
const AGE_MAX: u32 = 3600;
/// How long a secret is used, in seconds.
const SECRET_LIFETIME: u32 = 24 * 3600;

/// Makes and checks server cookies.
pub struct Cookies {
    master: [u8; 16],
}

impl Cookies {
    /// Makes cookies from a secret that nobody can guess.
    pub const fn new(master: [u8; 16]) -> Self {
        Self { master }
    }

    /// Makes the cookie for a client.
    pub fn make(
        &self,
        client: &[u8; CLIENT_COOKIE],
        address: IpAddr,
        now: u32,
    ) -> [u8; SERVER_COOKIE] {
        let [a, b, c, d] = now.to_be_bytes();
        let head = [VERSION, 0, 0, 0, a, b, c, d];
        seal(&self.secret(now), client, head, address)
    }

    /// Whether a client got this cookie from us, at this address, a short while ago.
    pub fn holds(
        &self,
        client: &[u8; CLIENT_COOKIE],
        server: &[u8],
        address: IpAddr,
        now: u32,
    ) -> bool {
        let Ok(server) = <&[u8; SERVER_COOKIE]>::try_from(server) else {
            return false;
        };
        let [version, r0, r1, r2, a, b, c, d, ..] = *server;
        let made_at = u32::from_be_bytes([a, b, c, d]);
        let in_time = now.checked_sub(made_at).is_some_and(|age| age <= AGE_MAX);
        let head = [version, r0, r1, r2, a, b, c, d];
        let expected = seal(&self.secret(made_at), client, head, address);
        // All octets are compared, whichever differs.
        let differing = expected
            .iter()
            .zip(server)
            .fold(0, |differing, (one, other)| differing | (one ^ other));
        version == VERSION && in_time && differing == 0
    }

    /// Returns the secret of a time.
    fn secret(&self, at: u32) -> [u8; 16] {
        let [a, b, c, d] = (at / SECRET_LIFETIME).to_be_bytes();
        let half = |number: u8| siphash24(&self.master, [number, a, b, c, d]).to_le_bytes();
        let mut secret = [0; 16];
        let (front, back) = secret.split_at_mut(8);
        front.copy_from_slice(&half(0));
        back.copy_from_slice(&half(1));
        secret
    }
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

/// Completes a server cookie (RFC 9018 §4.4).
fn seal(
    secret: &[u8; 16],
    client: &[u8; CLIENT_COOKIE],
    head: [u8; 8],
    address: IpAddr,
) -> [u8; SERVER_COOKIE] {
    let input = client.iter().chain(&head).copied();
    let hash = match address {
        IpAddr::V4(v4) => siphash24(secret, input.chain(v4.octets())),
        IpAddr::V6(v6) => siphash24(secret, input.chain(v6.octets())),
    };
    let mut cookie = [0; SERVER_COOKIE];
    let (front, back) = cookie.split_at_mut(head.len());
    front.copy_from_slice(&head);
    back.copy_from_slice(&hash.to_le_bytes());
    cookie
}

/// SipHash-2-4 (Aumasson and Bernstein 2012).
fn siphash24(key: &[u8; 16], input: impl IntoIterator<Item = u8>) -> u64 {
    let word = |octets: &[u8]| {
        let last_first = octets.iter().rev();
        last_first.fold(0, |word, octet| word << 8 | u64::from(*octet))
    };
    let (low, high) = key.split_at(8);
    let (k0, k1) = (word(low), word(high));
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (mut word, mut length) = (0, 0_u64);
    for octet in input {
        word |= u64::from(octet) << (length % 8 * 8);
        length += 1;
        if length.is_multiple_of(8) {
            compress(&mut state, word);
            word = 0;
        }
    }
    // The last word ends in the length, modulo 256.
    compress(&mut state, word | length << 56);
    state[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn compress(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    round(state);
    state[0] ^= word;
}

fn round(state: &mut [u64; 4]) {
    let [v0, v1, v2, v3] = state;
    *v0 = v0.wrapping_add(*v1);
    *v2 = v2.wrapping_add(*v3);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v1);
    *v0 = v0.wrapping_add(*v3);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets<const N: usize>(hex: &str) -> [u8; N] {
        let octets = (0..N).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
        octets.collect::<Vec<u8>>().try_into().unwrap()
    }

    #[test]
    fn hash_is_the_one_of_its_authors() {
        let key = octets("000102030405060708090a0b0c0d0e0f");
        assert_eq!(siphash24(&key, 0..15), 0xa129_ca61_49be_45e5);
        assert_eq!(siphash24(&key, []), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    fn cookies_are_those_of_the_rfc() {
        // RFC 9018 appendix A: secret, client cookie, address, server cookie.
        let rows = [
            (
                "e5e973e5a6b2a43f48e7dc849e37bfcf",
                "2464c4abcf10c957",
                "198.51.100.100",
                "010000005cf79f111f8130c3eee29480",
            ),
            (
                "e5e973e5a6b2a43f48e7dc849e37bfcf",
                "2464c4abcf10c957",
                "198.51.100.100",
                "010000005cf7a871d4a564a1442aca77",
            ),
            (
                "dd3bdf9344b678b185a6f5cb60fca715",
                "22681ab97d52c298",
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "010000005cf7c57926556bd0934c72f8",
            ),
            (
                "445536bcd2513298075a5d379663c962",
                "22681ab97d52c298",
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "010000005cf7c609a6bb79d16625507a",
            ),
        ];
        for (secret, client, address, expected) in rows {
            let expected: [u8; SERVER_COOKIE] = octets(expected);
            let head = *expected.first_chunk().unwrap();
            let made = seal(
                &octets(secret),
                &octets(client),
                head,
                address.parse().unwrap(),
            );
            assert_eq!(made, expected, "{address}");
        }
    }

    #[test]
    fn a_cookie_holds_for_its_client_and_its_hour_and_nobody_else() {
        let cookies = Cookies::new([3; 16]);
        let address: IpAddr = "10.0.0.2".parse().unwrap();
        let other: IpAddr = "10.0.0.3".parse().unwrap();
        // Over the change of secrets, too.
        for now in [1_000_000, 30 * SECRET_LIFETIME - 5] {
            let cookie = cookies.make(b"01234567", address, now);
            assert!(cookies.holds(b"01234567", &cookie, address, now));
            assert!(cookies.holds(b"01234567", &cookie, address, now + AGE_MAX));
            assert!(!cookies.holds(b"01234567", &cookie, address, now + AGE_MAX + 1));
            assert!(!cookies.holds(b"01234567", &cookie, address, now - 1));
            assert!(!cookies.holds(b"01234568", &cookie, address, now));
            assert!(!cookies.holds(b"01234567", &cookie, other, now));
            assert!(!Cookies::new([4; 16]).holds(b"01234567", &cookie, address, now));
            for at in 0..SERVER_COOKIE {
                let mut forged = cookie;
                forged[at] ^= 1;
                assert!(!cookies.holds(b"01234567", &forged, address, now), "{at}");
            }
            assert!(!cookies.holds(b"01234567", &cookie[..15], address, now));
        }
    }
}
