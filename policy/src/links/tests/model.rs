//! Thousands of small worlds: whatever profiles and networks say, a plan keeps its word.

use std::collections::BTreeSet;

use super::*;

/// A small generator of our own: the same worlds in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }
}

fn network(dice: &mut Dice) -> NetworkSettings {
    let mut network = NetworkSettings {
        autoconnect: dice.below(5) != 0,
        dhcp4: dice.coin().then(Dhcp4Settings::default),
        dhcp6: dice.coin().then(Dhcp6Settings::default),
        ra: dice.pick(&[RaUse::Kernel, RaUse::Off, RaUse::Own(RaSettings::default())]),
        ipv4ll: dice.pick(&[Ipv4llMode::Off, Ipv4llMode::Fallback, Ipv4llMode::Always]),
        metric: dice.pick(&[None, None, Some(0), Some(100), Some(u32::MAX)]),
        table: dice.pick(&[None, None, None, Some(100)]),
        priority: i32::try_from(dice.below(2)).unwrap(),
        mtu: dice.pick(&[None, Some(1280)]),
        default_route: dice.pick(&[DefaultRouteUse::Auto, DefaultRouteUse::Never]),
        ..NetworkSettings::default()
    };
    if dice.coin() {
        network.addresses = vec![
            prefix("192.0.2.77/24").into(),
            prefix("2001:db8::77/64").into(),
        ];
        network.routes = vec![Route {
            metric: dice.pick(&[None, Some(0), Some(300)]),
            ..fixed_route("0.0.0.0/0", &["192.0.2.1"])
        }];
    }
    network.take.routes = dice.coin();
    network.take.mtu = dice.coin();
    network.carrier.supplied = CarrierUse::Grace(Duration::from_secs(dice.below(4)));
    network.carrier.fixed = dice.pick(&[CarrierUse::Ignore, CarrierUse::Grace(Duration::ZERO)]);
    network
}

fn supply(dice: &mut Dice) -> Supply {
    let ends = [50, 200, 3700];
    let mut supply = Supply::default();
    for text in [
        "192.0.2.10/24",
        "192.0.2.77/32",
        "2001:db8::a/64",
        "2001:db8::a/128",
        "169.254.1.1/16",
    ] {
        if dice.below(3) == 0 {
            supply.addresses.push(address(text, dice.pick(&ends)));
        }
    }
    for (to, via) in [
        ("0.0.0.0/0", "192.0.2.1"),
        ("0.0.0.0/0", "198.51.100.1"),
        ("0.0.0.0/1", "192.0.2.1"),
        ("192.0.2.0/24", ""),
        ("::/0", "fe80::1"),
        ("::/0", "fe80::2"),
        ("2001:db8::/64", ""),
        ("2001:db8:1::/48", "fe80::2"),
    ] {
        if dice.below(3) == 0 {
            supply.routes.push(route(to, via, dice.pick(&ends)));
        }
    }
    supply.mtu = dice.pick(&[None, Some(0), Some(600), Some(1400), Some(u32::MAX)]);
    supply
}

fn world(dice: &mut Dice) -> (Config, Facts) {
    let profiles = ["eth*", "wlan*", "*"].into_iter().enumerate();
    let mut config = config(profiles.map(|(at, links)| {
        let name = format!("p{at}");
        profile(&name, links, network(dice))
    }));
    config.links.default_route = dice.below(5) != 0;
    let mut facts = Facts {
        as_of: at(100),
        ..Facts::default()
    };
    for (index, (name, kind)) in [
        ("eth0", "ethernet"),
        ("eth1", "ethernet"),
        ("wlan0", "wifi"),
        ("wg0", "wireguard"),
    ]
    .into_iter()
    .enumerate()
    {
        let index = u32::try_from(index).unwrap() + 2;
        link(&mut facts, index, name, kind);
        let link = facts.links.get_mut(&id(index)).unwrap();
        link.up = dice.below(4) != 0;
        if !link.up && dice.coin() {
            facts.down_since.insert(id(index), at(98));
        }
        if dice.below(4) == 0 {
            link.default_route4 = Some(DefaultRoute {
                metric: dice.pick(&[0, 100, 1024]),
                gateway: None,
            });
        }
        for supplier in Supplier::ALL {
            if dice.coin() {
                facts.supplies.insert((id(index), supplier), supply(dice));
            }
        }
        let reach = [
            Reach::Validated,
            Reach::Unknown,
            Reach::Portal,
            Reach::Nowhere,
        ];
        facts
            .reach
            .insert((id(index), Family::Ipv4), dice.pick(&reach));
        if dice.below(6) == 0 {
            facts
                .told
                .insert(id(index), dice.pick(&[Told::Up, Told::Down, Told::Release]));
        }
    }
    (config, facts)
}

#[test]
fn three_thousand_worlds_keep_their_word() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut routes, mut planned) = (0, 0);
    for number in 0..3_000 {
        let (config, mut facts) = world(&mut dice);
        let plan = links(&config, &facts);
        let world = || format!("world {number}:\n{plan}");
        assert_eq!(plan, links(&config, &facts), "{}", world());
        let mut defaults = BTreeSet::new();
        for (link_id, link) in &plan.links {
            planned += 1;
            let network = &config.profiles[&link.profile].network;
            assert_ne!(facts.told.get(link_id), Some(&Told::Release), "{}", world());
            let hosts: BTreeSet<_> = link.addresses.keys().map(|own| own.address).collect();
            assert_eq!(
                hosts.len(),
                link.addresses.len(),
                "an address twice, {}",
                world()
            );
            for (key, route) in &link.routes {
                routes += 1;
                assert_eq!(key.to, key.to.network(), "{}", world());
                assert!(key.to.address.is_ipv4() || key.metric != 0, "{}", world());
                assert!(
                    route.valid_until.is_none_or(|end| end > facts.as_of),
                    "{}",
                    world()
                );
                let supplied = route.supplier.is_some();
                if key.to.length <= 1 {
                    assert!(config.links.default_route || key.to.length == 1);
                    assert!(
                        !supplied || network.default_route == DefaultRouteUse::Auto,
                        "{}",
                        world()
                    );
                }
                if key.to.length == 0 && key.table == 254 {
                    let is_new = defaults.insert((key.to, key.metric));
                    assert!(is_new || !supplied, "two of one rank, {}", world());
                }
            }
            for address in link.addresses.values() {
                assert!(
                    address.valid_until.is_none_or(|end| end > facts.as_of),
                    "{}",
                    world()
                );
            }
            assert!(link.mtu.is_none_or(|mtu| mtu >= 576), "{}", world());
        }
        for uplink in [&plan.uplinks.v4, &plan.uplinks.v6].into_iter().flatten() {
            let first = &uplink.candidates[0];
            assert!(!uplink.to_string().is_empty());
            for other in &uplink.candidates[1..] {
                let is_fixed = first.is_fixed || other.is_fixed;
                assert!(first.up || !other.up, "{}", world());
                let is_better = (first.reach, -first.priority) <= (other.reach, -other.priority);
                assert!(is_better || is_fixed || first.up != other.up, "{}", world());
                assert!(
                    first.metric <= other.metric || first.up != other.up,
                    "{}",
                    world()
                );
            }
        }
        // What is in force changes nothing by being in force.
        facts.uplinks = plan.uplinks.current();
        let settled = links(&config, &facts);
        assert_eq!(settled.links, plan.links, "{}", world());
        // Until the review, the time changes nothing; every end of this world is before or after.
        if let Some(review) = plan.review_at {
            assert!(review > facts.as_of, "{}", world());
        }
    }
    assert!(routes > 5_000 && planned > 5_000, "{routes} {planned}");
}
