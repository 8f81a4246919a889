//! Is the work in proportion to what has changed? What happens to the clients of one link, beside ten others and ten thousand.

use super::*;
use crate::ra::Reachability;
use crate::tables::counted::looks;

/// What each of a row of happenings leads past.
fn looks_of_each(links: u32) -> Vec<(&'static str, u64)> {
    let mut world = World::new(Wanted::default());
    let others = (100..100 + links).map(|index| LinkId { index, birth: 1 });
    let ids: Vec<LinkId> = others.chain([LINK]).collect();
    let mut plan = LinksPlan::default();
    for id in &ids {
        let [_, _, high, low] = id.index.to_be_bytes();
        let facts = LinkFacts {
            name: format!("eth{}", id.index).into(),
            mac: Some(Mac([2, 0, 0, 1, high, low])),
            ..world.links[&LINK].clone()
        };
        world.links.insert(*id, facts);
        let mut link = link_plan();
        link.clients = wanted(true, true);
        plan.links.insert(*id, link);
    }
    let clients = &mut world.clients;
    clients.apply_plan(&plan.into(), WALL, world.now);
    clients.apply_links(&world.links, WALL, world.now);
    world.drain();
    let mut told = Vec::new();
    let mut count = |what, act: &mut dyn FnMut(&mut Clients, &mut Instant)| {
        let before = looks();
        act(&mut world.clients, &mut world.now);
        while world.clients.poll_ports().is_some() {}
        while world.clients.poll_transmit().is_some() {}
        while world.clients.poll_ports().is_some() {}
        while world.clients.poll_note().is_some() {}
        let _changed = world.clients.take_changed();
        told.push((what, looks() - before));
    };
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    count("a neighbour", &mut |clients, now| {
        clients.handle_neighbour(LINK.index, router, Reachability::Failed, WALL, *now);
    });
    count("a duplicate", &mut |clients, now| {
        clients.handle_dad_failed(LINK.index, router, WALL, *now);
    });
    count("a packet", &mut |clients, now| {
        let heard = Heard {
            index: LINK.index,
            port: Port::Arp,
            from: SERVER.into(),
            hop_limit: 0,
            checksum: Checksum::Complete,
            octets: ArpPacket::announcement(OTHER, ADDRESS).emit(),
        };
        clients.handle_heard(&heard, |_| false, WALL, *now);
    });
    count("the time of one", &mut |clients, now| {
        *now = clients.poll_timeout().expect("every client waits");
        clients.handle_timeout(WALL, *now);
    });
    count("a port that cannot be had", &mut |clients, now| {
        clients.handle_unheard(&[(LINK.index, Port::Arp)], WALL, *now);
        *now = *now + REOPEN;
        clients.handle_unheard(&[], WALL, *now);
    });
    count("an order to renew", &mut |clients, now| {
        clients.renew(LINK, WALL, *now);
    });
    count("an order to release", &mut |clients, now| {
        let _is_told = clients.release(LINK, WALL, *now);
    });
    let changed = BTreeSet::from([LINK]);
    world.links.remove(&LINK);
    let (links, now) = (world.links.clone(), world.now);
    let before = looks();
    world.clients.apply_changed(&links, &changed, WALL, now);
    told.push(("its end", looks() - before));
    told
}

#[test]
fn what_happens_to_one_link_leads_past_no_others() {
    let (few, many) = (looks_of_each(10), looks_of_each(10_000));
    // A few ports for each.
    let is_little = |(_, looks): &(&str, u64)| *looks < 20;
    assert!(few.iter().chain(&many).all(is_little), "{few:?} {many:?}");
}
