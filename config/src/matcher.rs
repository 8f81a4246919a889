//! Which links does a profile govern? [`LinkMatch`], a conjunction of globs and values.

use std::fmt;

/// The predicate that binds a profile to links; every part that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkMatch {
    /// Globs on the link's name or alternative names; one must match.
    pub name: Vec<Glob>,
    /// Hardware addresses; one must be equal.
    pub mac: Vec<Mac>,
    /// Globs on the kind: `ethernet`, `wifi`, `loopback`, or the kernel's `IFLA_INFO_KIND` (`veth`, `wireguard`, `tun`).
    pub kind: Vec<Glob>,
    /// Globs on the driver.
    pub driver: Vec<Glob>,
    /// Globs on the device's path, as `pci-0000:00:1f.6`.
    pub path: Vec<Glob>,
}

/// What a link is, as far as a match can see.
#[derive(Debug, Clone, Copy)]
pub struct LinkTraits<'a> {
    /// The name and the alternative names.
    pub names: &'a [&'a str],
    /// The hardware address, when there is one of six octets.
    pub mac: Option<Mac>,
    /// The kind.
    pub kind: &'a str,
    /// The driver.
    pub driver: Option<&'a str>,
    /// The device's path.
    pub path: Option<&'a str>,
}

impl LinkMatch {
    /// Whether a link with these traits is governed.
    pub fn matches(&self, link: &LinkTraits<'_>) -> bool {
        let any = |globs: &[Glob], value: Option<&str>| {
            globs.is_empty()
                || value.is_some_and(|value| globs.iter().any(|glob| glob.matches(value)))
        };
        let named = self.name.is_empty()
            || self
                .name
                .iter()
                .any(|glob| link.names.iter().any(|name| glob.matches(name)));
        let mac = self.mac.is_empty() || link.mac.is_some_and(|mac| self.mac.contains(&mac));
        named
            && mac
            && any(&self.kind, Some(link.kind))
            && any(&self.driver, link.driver)
            && any(&self.path, link.path)
    }
}

impl fmt::Display for LinkMatch {
    /// Writes the match as a person would call the links: the globs on names, or what else there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = [&self.name, &self.kind, &self.driver, &self.path]
            .into_iter()
            .flatten()
            .map(|glob| glob.0.as_str())
            .collect();
        if parts.is_empty() {
            return f.write_str("by hardware address");
        }
        f.write_str(&parts.join("|"))
    }
}

/// A hardware address of six octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// A shell-like pattern: `*`, `?`, `[a-z]`, `[!a]`; a leading `!` negates the whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(pub(crate) String);

impl std::str::FromStr for Glob {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Glob {
    /// Whether the whole of `text` fits the pattern.
    pub fn matches(&self, text: &str) -> bool {
        match self.0.strip_prefix('!') {
            Some(pattern) => !fits(pattern.as_bytes(), text.as_bytes()),
            None => fits(self.0.as_bytes(), text.as_bytes()),
        }
    }
}

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| fits(rest, &text[skip..])),
        (Some((b'?', rest)), Some((_, tail))) => fits(rest, tail),
        (Some((byte, rest)), Some((first, tail))) => byte == first && fits(rest, tail),
        _ => false,
    }
}
