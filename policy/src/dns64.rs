//! How does a scope come by IPv6 addresses where there are only IPv4 ones? What its owner says, then what its link tells; what
//! the link with the IPv6 default route tells, where it has none.
//!
//! Names that nobody claims follow `[resolver]`: a profile that only claims names has its own addresses, which the translator
//! of another network does not reach. What a router advertises (RFC 8781) is as good as an answer of RFC 7050, and sooner.

use config::Config;
use config::model::{DefaultUse, Dns64, DnsSettings, Mapping};

/// Whether a layer takes names that nobody claims.
pub(crate) const fn takes_all(dns: &DnsSettings) -> bool {
    match dns.default {
        DefaultUse::Yes | DefaultUse::Exclusive => true,
        DefaultUse::Auto => dns.claims.is_empty(),
        DefaultUse::No => false,
    }
}

/// Returns what is done in a scope; `told` is what the routers of its link say, or of the default route.
pub(crate) fn of(config: &Config, dns: &DnsSettings, told: &[Mapping]) -> Dns64 {
    let otherwise = match takes_all(dns) {
        true => &config.resolver.dns64,
        false => &Dns64::Off,
    };
    let said = dns.dns64.as_ref().unwrap_or(otherwise);
    match said {
        Dns64::Auto if !told.is_empty() => Dns64::Prefixes(told.to_vec()),
        Dns64::Auto | Dns64::Off | Dns64::Prefixes(_) => said.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::model::Prefix;

    fn mapping(address: &str) -> Mapping {
        Mapping::new(Prefix {
            address: address.parse().unwrap(),
            length: 96,
        })
        .unwrap()
    }

    #[test]
    fn claims_alone_have_it_only_when_their_profile_says_so() {
        let own = Dns64::Prefixes(vec![mapping("64:ff9b::")]);
        let told = Dns64::Prefixes(vec![mapping("2001:db8:64::")]);
        let claims = vec!["corp.test".parse().unwrap()];
        let dns = |default, claims: &[_], dns64: Option<&Dns64>| DnsSettings {
            default,
            claims: claims.to_vec(),
            dns64: dns64.cloned(),
            ..DnsSettings::default()
        };
        let routers = [mapping("2001:db8:64::")];
        let rows = [
            (
                dns(DefaultUse::Auto, &[], None),
                Dns64::Auto,
                Dns64::Auto,
                told.clone(),
            ),
            (
                dns(DefaultUse::Auto, &claims, None),
                Dns64::Auto,
                Dns64::Off,
                Dns64::Off,
            ),
            (
                dns(DefaultUse::No, &[], None),
                own.clone(),
                Dns64::Off,
                Dns64::Off,
            ),
            (
                dns(DefaultUse::Exclusive, &claims, None),
                own.clone(),
                own.clone(),
                own.clone(),
            ),
            (
                dns(DefaultUse::Yes, &claims, None),
                Dns64::Off,
                Dns64::Off,
                Dns64::Off,
            ),
            (
                dns(DefaultUse::Auto, &claims, Some(&own)),
                Dns64::Off,
                own.clone(),
                own.clone(),
            ),
            (
                dns(DefaultUse::Auto, &claims, Some(&Dns64::Auto)),
                Dns64::Off,
                Dns64::Auto,
                told,
            ),
            (
                dns(DefaultUse::Auto, &[], Some(&Dns64::Off)),
                own,
                Dns64::Off,
                Dns64::Off,
            ),
        ];
        for (at, (dns, resolver, without, with)) in rows.into_iter().enumerate() {
            let mut config = Config::default();
            config.resolver.dns64 = resolver;
            assert_eq!(of(&config, &dns, &[]), without, "row {at}");
            assert_eq!(of(&config, &dns, &routers), with, "row {at}");
        }
    }
}
