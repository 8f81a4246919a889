//! Is what was made known again, wherever linnetd dies? Stories of orders, in which it dies at each step in turn: before and after each
//! request and each writing.

pub(crate) mod glass;

use config::kind::LinkKind;
use linnet::config_dirs::{ConfigText, Kind, Rank};
use policy::virtual_links::wanted;

use super::*;
use crate::reload;
use glass::Glass;

const BRIDGE: &str = "[link]\nname = \"br0\"\nkind = \"bridge\"\nvlan-filtering = true\nvlans = [\"5\"]\nports = [\"eth1\", \"inner0\"]\n\
    [[ports]]\nname = \"eth1\"\nvlans = [\"20-22\"]\n";
const PAIR: &str = "[link]\nname = \"inner0\"\nkind = \"veth\"\npeer = \"outer0\"\n";
const UPPER: &str = "[link]\nname = \"lan0\"\nkind = \"macvlan\"\nparent = \"outer0\"\n";
const DUMMY: &str = "[link]\nname = \"br0\"\nkind = \"dummy\"\n";
const TUN: &str = "[link]\nname = \"tun0\"\nkind = \"tun\"\n";

/// What is ordered, one after another; in the end nothing is.
const ORDERS: [&[&str]; 4] = [
    &[BRIDGE, PAIR, UPPER],
    // The bridge is made anew as something else, and its ports are nobody's.
    &[DUMMY, PAIR, TUN],
    &[BRIDGE, TUN],
    &[],
];

fn order(profiles: &[&str]) -> Order {
    let file = |(at, text): (usize, &&str)| ConfigText {
        rank: Rank::Admin,
        kind: Kind::Profile,
        path: format!("/e/profiles/p{at}.toml").into(),
        text: Ok((*text).to_owned()),
    };
    let files = profiles.iter().enumerate().map(file).collect();
    let understood = reload::understand(files, None);
    let wanted = wanted(&understood.config, &policy::Facts::default());
    assert_eq!(wanted.len(), profiles.len(), "all profiles read");
    Order {
        wanted,
        spared: policy::virtual_links::Spared::default(),
        adopted: BTreeSet::new(),
        is_last: false,
    }
}

/// Hands that die after so many steps.
struct Mortal {
    glass: Glass,
    disk: Option<String>,
    steps_left: usize,
    /// Whether the disk takes anything.
    is_full: bool,
    writes: usize,
    /// The link that the kernel refuses to touch, and how often it did.
    refuses: Option<Arc<str>>,
    refusals: usize,
    /// How the kernel refuses to make any link a port.
    refuses_ports: Option<Refusal>,
    /// What it was asked for.
    asked: Vec<LinkChange>,
    waits: usize,
}

impl Mortal {
    fn new(steps_left: usize) -> Self {
        let mut glass = Glass::default();
        for name in ["lo", "eth1", "eth2"] {
            glass.add(name, PresentLink::default());
        }
        let kind = LinkKind::of("bridge");
        glass.add(
            "virbr0",
            PresentLink {
                kind,
                ..PresentLink::default()
            },
        );
        glass.links.get_mut("eth2").unwrap().port_of = Some("virbr0".into());
        Self {
            glass,
            disk: None,
            steps_left,
            is_full: false,
            writes: 0,
            refuses: None,
            refusals: 0,
            refuses_ports: None,
            asked: Vec::new(),
            waits: 0,
        }
    }

    fn is_dead(&self) -> bool {
        self.steps_left == 0
    }

    /// Takes a step, unless it is the last one.
    fn step(&mut self) -> Result<(), &'static str> {
        self.steps_left = self.steps_left.saturating_sub(1);
        match self.is_dead() {
            true => Err("dead"),
            false => Ok(()),
        }
    }
}

impl Hands for Mortal {
    fn list(&mut self) -> Result<Links, Arc<str>> {
        match self.is_dead() {
            true => Err("dead".into()),
            false => Ok(self.glass.links.clone()),
        }
    }

    fn change(
        &mut self,
        change: &LinkChange,
        _there: &Links,
        indexes: &BTreeMap<Arc<str>, u32>,
    ) -> Result<(), Refusal> {
        self.step()?;
        self.asked.push(change.clone());
        if let LinkChange::Join { .. } | LinkChange::Rejoin { .. } = change
            && let Some(refusal) = &self.refuses_ports
        {
            return Err(refusal.clone());
        }
        if self
            .refuses
            .as_ref()
            .is_some_and(|name| *name == subject(change))
        {
            self.refusals += 1;
            return Err("busy".into());
        }
        let before = self.glass.clone();
        let changed = self.glass.change(change, indexes);
        if !self.is_full {
            self.check_proof(&before);
        }
        self.step()?;
        changed
    }

    fn keep(&mut self, text: &str) -> bool {
        if self.step().is_err() || self.is_full {
            return false;
        }
        self.writes += 1;
        self.disk = Some(text.to_owned());
        self.step().is_ok()
    }

    fn wait(&mut self, _pause: Duration) {
        self.waits += 1;
        // Whoever was in the way is gone after the second time.
        if self.waits == 2 {
            self.refuses = None;
        }
    }
}

impl Mortal {
    /// Whatever a request has made is on the disk by then.
    fn check_proof(&self, before: &Glass) {
        let book = Book::open(self.disk.as_deref(), "boot".into(), 0);
        let ours = &book.ours.links;
        for (name, link) in &self.glass.links {
            let old = before.links.get(name);
            if old.is_none_or(|old| old.index != link.index) {
                assert_eq!(ours.made.get(name), Some(&link.index), "{name}");
            }
            if let Some(of) = &link.port_of
                && old.is_none_or(|old| old.port_of.as_ref() != Some(of))
            {
                let is_owed = ours.owed.contains_key(&link.index);
                assert!(is_owed || book.is_joined(name, of), "{name}");
            }
            // Whoever else made it a port gets it back.
            let of = old.and_then(|old| old.port_of.as_ref());
            if let Some(of) = of.filter(|_| link.port_of.is_none())
                && self.glass.links.contains_key(of)
                && !book.is_joined(name, of)
            {
                assert!(ours.owed.contains_key(&link.index), "{name} of {of}");
            }
            for vlan in link.vlans.keys() {
                if old.is_none_or(|old| !old.vlans.contains_key(vlan)) {
                    assert!(ours.vlans.contains(&(Arc::clone(name), *vlan)), "{name}");
                }
            }
        }
    }
}

/// Tells the story in which linnetd dies after so many steps, and what others do then; returns whether it died at all.
fn tell(steps: usize, mut others: impl FnMut(&mut Glass)) -> bool {
    let mut hands = Mortal::new(steps);
    let mut foreign = hands.glass.links.clone();
    let mut life = 0;
    let mut book = Book::open(None, "boot".into(), 7);
    for profiles in ORDERS {
        let order = order(profiles);
        let _done = carry_out(&order, &Failures::new(), &mut book, &mut hands);
        if hands.is_dead() {
            others(&mut hands.glass);
            let theirs = hands.glass.links.iter();
            let theirs = theirs.filter(|(_, link)| !hands.glass.made.contains(&link.index));
            foreign = theirs
                .map(|(name, link)| (Arc::clone(name), link.clone()))
                .collect();
            hands.steps_left = usize::MAX;
            life += 1;
            book = Book::open(hands.disk.as_deref(), "boot".into(), 7000);
            let _done = carry_out(&order, &Failures::new(), &mut book, &mut hands);
        }
        // Nothing is left to do.
        let writes = hands.writes;
        let before = hands.glass.links.clone();
        let _done = carry_out(&order, &Failures::new(), &mut book, &mut hands);
        assert_eq!(hands.glass.links, before, "after {steps} steps");
        assert_eq!(hands.writes, writes, "after {steps} steps");
    }
    assert_eq!(
        hands.glass.made,
        BTreeSet::new(),
        "{steps}: something is left"
    );
    let indexes = |links: &Links| -> BTreeMap<Arc<str>, u32> {
        let links = links.iter();
        links
            .map(|(name, link)| (Arc::clone(name), link.index))
            .collect()
    };
    assert_eq!(indexes(&hands.glass.links), indexes(&foreign), "{steps}");
    for (name, link) in &hands.glass.links {
        let of = (&**name == "eth2").then(|| "virbr0".into());
        assert_eq!(link.port_of, of, "{steps}: {name}");
    }
    life > 0
}

#[test]
fn what_was_made_goes_wherever_linnetd_died() {
    let deaths = (1..).take_while(|steps| tell(*steps, |_| {})).count();
    assert!(deaths > 40, "{deaths}");
}

#[test]
fn a_link_that_somebody_made_while_linnetd_was_dead_stays() {
    let mut foreign = 0;
    let deaths = (1..).take_while(|steps| {
        tell(*steps, |glass| {
            for (name, kind) in [("br0", "bridge"), ("tun0", "tun"), ("inner0", "veth")] {
                if !glass.links.contains_key(name) {
                    foreign += 1;
                    let kind = LinkKind::of(kind);
                    glass.add(
                        name,
                        PresentLink {
                            kind,
                            ..PresentLink::default()
                        },
                    );
                }
            }
        })
    });
    assert!(deaths.count() > 40);
    assert!(foreign > 40, "{foreign}");
}

const BOND: &str =
    "[link]\nname = \"bond0\"\nkind = \"bond\"\nmode = \"802.3ad\"\nports = [\"eth1\"]\n";

/// Somebody else's bond, with a port of theirs, and hands that die after so many steps.
fn bonded(steps: usize) -> Mortal {
    let mut hands = Mortal::new(steps);
    let bond = PresentLink {
        kind: LinkKind::of("bond"),
        up: true,
        ..PresentLink::default()
    };
    hands.glass.add("bond0", bond);
    let port = PresentLink {
        port_of: Some("bond0".into()),
        up: true,
        ..PresentLink::default()
    };
    hands.glass.add("theirs", port);
    hands
}

/// A bond changes its mode while it has no ports.
#[test]
fn somebody_elses_port_of_a_bond_is_one_again_wherever_linnetd_died() {
    for then in [&[BOND][..], &[]] {
        let deaths = (1..).take_while(|steps| {
            let mut hands = bonded(*steps);
            let mut book = Book::open(None, "boot".into(), 7);
            let none = Failures::new();
            let _done = carry_out(&order(&[BOND]), &none, &mut book, &mut hands);
            let is_dead = hands.is_dead();
            if is_dead {
                hands.steps_left = usize::MAX;
                book = Book::open(hands.disk.as_deref(), "boot".into(), 7000);
                let _done = carry_out(&order(then), &none, &mut book, &mut hands);
            } else {
                let mode = &hands.glass.links["bond0"].attributes["mode"];
                assert_eq!(*mode, config::kind::Value::Word("802.3ad"));
            }
            let theirs = &hands.glass.links["theirs"];
            assert_eq!(theirs.port_of.as_deref(), Some("bond0"), "{steps}");
            assert!(theirs.up && hands.glass.links["bond0"].up, "{steps}");
            // Whoever takes it out, or the bond down, is not contradicted.
            let mut book = Book::open(hands.disk.as_deref(), "boot".into(), 7000);
            hands.glass.links.get_mut("theirs").unwrap().port_of = None;
            hands.glass.links.get_mut("bond0").unwrap().up = false;
            let _done = carry_out(&order(then), &none, &mut book, &mut hands);
            assert_eq!(hands.glass.links["theirs"].port_of, None, "{steps}");
            assert!(!hands.glass.links["bond0"].up, "{steps}");
            is_dead
        });
        let deaths = deaths.count();
        assert_eq!(deaths, 20, "before and after each request and each writing");
    }
}

#[test]
fn somebody_elses_port_does_not_leave_while_that_cannot_be_written_down() {
    let mut hands = bonded(usize::MAX);
    hands.is_full = true;
    let mut book = Book::open(None, "boot".into(), 0);
    let before = hands.glass.links["theirs"].clone();
    let (order, none) = (order(&[BOND]), Failures::new());
    let done = carry_out(&order, &none, &mut book, &mut hands).unwrap();
    assert!(
        done.passes && done.failures.contains_key("bond0"),
        "{done:?}"
    );
    assert_eq!(hands.glass.links["theirs"], before);
    assert_eq!(hands.glass.links["bond0"].attributes, BTreeMap::new());
    assert_eq!(hands.glass.links["eth1"].port_of.as_deref(), Some("bond0"));
    hands.is_full = false;
    let done = carry_out(&order, &none, &mut book, &mut hands).unwrap();
    assert_eq!((done.failures, done.passes), (none, false));
    assert_eq!(hands.glass.links["bond0"].attributes.len(), 1);
    assert_eq!(hands.glass.links["theirs"], before);
}

/// Whatever keeps them out, ports go down for it once in an order, and those of others not for ever.
#[test]
fn a_port_that_the_kernel_does_not_take_goes_down_once_in_an_order() {
    for (passes, tries) in [(false, 1), (true, OWED_TRIES)] {
        let mut hands = bonded(usize::MAX);
        hands.glass.links.get_mut("eth1").unwrap().up = true;
        let text = "not this one".into();
        hands.refuses_ports = Some(Refusal { text, passes });
        let mut book = Book::open(None, "boot".into(), 0);
        let (order, none) = (order(&[BOND]), Failures::new());
        let orders = tries + 3;
        for _ in 0..orders {
            let done = carry_out(&order, &none, &mut book, &mut hands).unwrap();
            assert_eq!(done.passes, passes, "{done:?}");
        }
        for (name, times) in [("theirs", tries), ("eth1", orders)] {
            for up in [false, true] {
                let change = LinkChange::SetUp(name.into(), up);
                let asked = hands.asked.iter().filter(|asked| **asked == change);
                assert_eq!(asked.count(), times, "{name} {up} {passes}");
            }
            assert!(hands.glass.links[name].up, "{name}");
        }
        let book = Book::open(hands.disk.as_deref(), "boot".into(), 0);
        assert_eq!(book.ours.links, OwnLinks::default(), "and nothing is owed");
    }
}

#[test]
fn a_full_disk_costs_no_link_and_no_proof_that_it_could_have_had() {
    let mut hands = Mortal::new(usize::MAX);
    hands.is_full = true;
    let mut book = Book::open(None, "boot".into(), 0);
    let order = order(ORDERS[0]);
    let done = carry_out(&order, &Failures::new(), &mut book, &mut hands).unwrap();
    assert_eq!(done.failures, Failures::new());
    assert!(!done.passes);
    assert!(hands.glass.links.contains_key("lan0"));
    hands.is_full = false;
    let _done = carry_out(&order, &Failures::new(), &mut book, &mut hands).unwrap();
    let book = Book::open(hands.disk.as_deref(), "boot".into(), 0);
    let made: Vec<&str> = book.ours.links.made.keys().map(|name| &**name).collect();
    assert_eq!(made, ["br0", "inner0", "lan0", "outer0"]);
}

#[test]
fn a_link_that_lacks_its_key_is_not_made_and_not_written_down() {
    let mut hands = Mortal::new(usize::MAX);
    let mut book = Book::open(None, "boot".into(), 0);
    let lacking = Failures::from([("tun0".into(), "no key".to_owned())]);
    carry_out(&order(&[TUN]), &lacking, &mut book, &mut hands).unwrap();
    assert!(!hands.glass.links.contains_key("tun0"));
    assert_eq!(book.ours.links.made, BTreeMap::new());
}

#[test]
fn indexes_are_drawn_where_the_kernel_counts_never() {
    for random in [0, 6, u32::MAX, u32::MAX >> 2] {
        let mut book = Book::open(None, "boot".into(), random);
        let mut links = Links::new();
        for _ in 0..3 {
            let index = book.draw(&links);
            assert!((1 << 30..1 << 31).contains(&index), "{index}");
            let name = index.to_string().into();
            let link = PresentLink {
                index,
                ..PresentLink::default()
            };
            assert_eq!(links.insert(name, link), None);
            // Whoever has it already keeps it.
            book.drawn = book.drawn.wrapping_sub(1);
        }
        assert_eq!(links.len(), 3);
    }
}

#[test]
fn what_the_kernel_refuses_keeps_nothing_else_away_and_is_asked_for_once_in_an_order() {
    let mut hands = Mortal::new(usize::MAX);
    hands.refuses = Some("inner0".into());
    let mut book = Book::open(None, "boot".into(), 0);
    let order = order(ORDERS[0]);
    let done = carry_out(&order, &Failures::new(), &mut book, &mut hands).unwrap();
    assert!(
        done.passes && done.failures.contains_key("inner0"),
        "{done:?}"
    );
    // To make it, and to make it a port.
    assert_eq!(hands.refusals, 2, "{done:?}");
    let eth1 = &hands.glass.links["eth1"];
    assert_eq!(eth1.port_of.as_deref(), Some("br0"), "the others were made");
    assert!(
        !book.ours.links.made.contains_key("inner0"),
        "and only those are ours"
    );
    hands.refuses = None;
    let done = carry_out(&order, &Failures::new(), &mut book, &mut hands).unwrap();
    assert_eq!(done.failures, Failures::new());
    assert!(!done.passes && hands.glass.links.contains_key("lan0"));
}

#[test]
fn what_is_busy_when_linnetd_ends_is_tried_again_for_a_while() {
    let mut hands = Mortal::new(usize::MAX);
    let mut book = Book::open(None, "boot".into(), 7);
    let _done = carry_out(
        &order(&[BRIDGE, TUN]),
        &Failures::new(),
        &mut book,
        &mut hands,
    );
    hands.refuses = Some("br0".into());
    let last = Order {
        is_last: true,
        ..order(&[])
    };
    let carried = carry_out_last(&last, &mut book, &mut hands).unwrap();
    assert_eq!((hands.waits, carried.passes), (2, false));
    assert_eq!(hands.glass.made, BTreeSet::new());
    // It does not wait for ever.
    let _done = carry_out(&order(&[TUN]), &Failures::new(), &mut book, &mut hands);
    hands.refuses = Some("tun0".into());
    let carried = carry_out_last(&last, &mut book, &mut hands).unwrap();
    assert_eq!((hands.waits, carried.passes), (2 + LAST_PAUSES.len(), true));
}

#[test]
fn what_was_released_is_struck_out_and_what_is_adopted_is_ours_as_it_is() {
    let mut hands = Mortal::new(usize::MAX);
    let mut book = Book::open(None, "boot".into(), 7);
    let none = Failures::new();
    let ordered = order(&[BRIDGE, PAIR]);
    let _done = carry_out(&ordered, &none, &mut book, &mut hands);
    let links = hands.glass.links.clone();
    let ours = book.ours.links.clone();

    let mut facts = policy::Facts::default();
    let id = policy::LinkId { index: 7, birth: 1 };
    let released = policy::LinkFacts {
        name: "br0".into(),
        ..policy::LinkFacts::default()
    };
    facts.links.insert(id, released);
    facts.told.insert(id, policy::facts::Told::Release);
    let left = Order {
        spared: policy::virtual_links::Spared::of_released(&config::Config::default(), &facts),
        ..order(&[PAIR])
    };
    let _done = carry_out(&left, &none, &mut book, &mut hands);
    assert_eq!(hands.glass.links, links);
    assert!(
        !hands.disk.as_ref().unwrap().contains("br0"),
        "{:?}",
        hands.disk
    );
    // Its profile is gone, and what was told with it.
    let _done = carry_out(&order(&[PAIR]), &none, &mut book, &mut hands);
    assert_eq!(hands.glass.links, links, "it is not ours any more");

    let adopted = Order {
        adopted: ["br0".into()].into(),
        ..ordered
    };
    let _done = carry_out(&adopted, &none, &mut book, &mut hands);
    assert_eq!(hands.glass.links, links, "nothing is asked for");
    assert_eq!(
        (
            &book.ours.links.made,
            &book.ours.links.joined,
            &book.ours.links.vlans
        ),
        (&ours.made, &ours.joined, &ours.vlans)
    );
    // What somebody else has made stays theirs: its index tells.
    let other = Order {
        adopted: ["virbr0".into()].into(),
        ..order(&["[link]\nname = \"virbr0\"\nkind = \"bridge\"\n"])
    };
    let _done = carry_out(&other, &none, &mut book, &mut hands);
    assert!(!book.ours.links.made.contains_key("virbr0"));
}
