//! What do the servers of the small internet say, and what is so?

use super::{About, Delegated, Denial, NXDOMAIN, Truth, World, Zone, prefixed, record};
use crate::name::Name;
use crate::record::rtype;
use crate::validator::{Question, Reply};

impl World {
    /// Adds a zone; parents come first.
    pub(crate) fn add(&mut self, zone: Zone) {
        let above = self
            .zones
            .values_mut()
            .filter(|above| zone.apex.is_below(&above.apex))
            .max_by_key(|above| above.apex.count());
        if let Some(parent) = above {
            let server = prefixed(b"ns", &zone.apex);
            parent.add(&zone.apex, rtype::NS, server.as_wire().to_vec());
            match zone.delegated {
                Delegated::Signed => parent.add(&zone.apex, rtype::DS, zone.ds(15)),
                Delegated::Unknown => parent.add(&zone.apex, rtype::DS, zone.ds(200)),
                Delegated::Unsigned => {}
            }
        }
        self.zones.insert(zone.apex.clone(), zone);
    }

    /// Returns the zone that has the records of a name.
    pub(crate) fn zone_of(&self, name: &Name, record_type: u16) -> &Zone {
        let of_parent = record_type == rtype::DS && !name.is_root();
        self.zones
            .values()
            .filter(|zone| name.is_in(&zone.apex) && !(of_parent && zone.apex == *name))
            .max_by_key(|zone| zone.apex.count())
            .unwrap()
    }

    /// Whether delegations are signed from the closest trust point down to a zone.
    pub(crate) fn is_secure(&self, zone: &Zone) -> bool {
        let root = [Name::root()];
        let point = root
            .iter()
            .chain(&self.islands)
            .filter(|point| zone.apex.is_in(point))
            .max_by_key(|point| point.count())
            .unwrap();
        self.zones
            .values()
            .filter(|above| zone.apex.is_in(&above.apex) && above.apex.is_below(point))
            .all(|above| above.delegated == Delegated::Signed)
    }

    pub(crate) fn reply(&self, question: &Question) -> Reply {
        self.answer(question).0
    }

    pub(crate) fn truth(&self, question: &Question) -> Truth {
        self.answer(question).1
    }

    fn answer(&self, question: &Question) -> (Reply, Truth) {
        let key = (question.name.clone(), question.record_type);
        let mut memo = self.memo.borrow_mut();
        memo.entry(key)
            .or_insert_with(|| self.work_out(question))
            .clone()
    }

    fn work_out(&self, question: &Question) -> (Reply, Truth) {
        let mut reply = Reply::default();
        let mut truth = Truth {
            rcode: 0,
            sets: Vec::new(),
            is_secure: true,
            is_circle: false,
            secure_sets: 0,
        };
        let mut name = question.name.clone();
        let record_type = question.record_type;
        for _ in 0..10 {
            if truth.is_secure {
                truth.secure_sets = truth.sets.len();
            }
            let zone = self.zone_of(&name, record_type);
            truth.is_secure &= self.is_secure(zone);
            let is_limited = |truth: &mut Truth, opt_out: bool| {
                let Denial::Nsec3 { iterations, .. } = zone.denial else {
                    return;
                };
                truth.is_secure &= !opt_out && iterations <= 100;
            };
            let dname = (zone.apex.count()..name.count())
                .map(|count| name.suffix(count))
                .find(|above| zone.set(above, rtype::DNAME).is_some());
            if let Some(owner) = dname {
                let rdatas = zone.set(&owner, rtype::DNAME).unwrap();
                zone.put(&mut reply.answers, &owner, &owner, rtype::DNAME, rdatas);
                truth
                    .sets
                    .push((owner.clone(), rtype::DNAME, rdatas.clone()));
                let target = Name::from_wire(&rdatas[0]).unwrap();
                let Some(target) = name.renamed(&owner, &target) else {
                    break;
                };
                let cname = target.as_wire().to_vec();
                reply
                    .answers
                    .push(record(&name, rtype::CNAME, cname.clone()));
                truth.sets.push((name, rtype::CNAME, vec![cname]));
                if record_type == rtype::CNAME {
                    return (reply, truth.finished());
                }
                name = target;
                continue;
            }
            let mut owner = name.clone();
            let is_there = zone.exists(&name);
            if !is_there {
                let mut encloser = name.clone();
                while !zone.exists(&encloser) {
                    encloser = encloser.parent().unwrap();
                }
                owner = encloser.wildcard().unwrap();
            }
            let found = [record_type, rtype::CNAME]
                .into_iter()
                .find(|record_type| zone.set(&owner, *record_type).is_some());
            if let Some(found) = found {
                let rdatas = zone.set(&owner, found).unwrap();
                zone.put(&mut reply.answers, &name, &owner, found, rdatas);
                truth.sets.push((name.clone(), found, rdatas.clone()));
                if !is_there {
                    let opt_out = zone.put_proof(&mut reply.authority, &name, About::Expansion);
                    is_limited(&mut truth, opt_out);
                }
                if found == record_type {
                    return (reply, truth.finished());
                }
                name = Name::from_wire(&rdatas[0]).unwrap();
                continue;
            }
            let about = match (is_there, zone.exists(&owner)) {
                (true, _) => About::NoRecords,
                (false, true) => About::NoRecordsByWildcard,
                (false, false) => {
                    reply.rcode = NXDOMAIN;
                    truth.rcode = NXDOMAIN;
                    About::NoName
                }
            };
            let soa = zone.set(&zone.apex, rtype::SOA).unwrap();
            zone.put(
                &mut reply.authority,
                &zone.apex,
                &zone.apex,
                rtype::SOA,
                soa,
            );
            let opt_out = zone.put_proof(&mut reply.authority, &name, about);
            is_limited(&mut truth, opt_out);
            return (reply, truth.finished());
        }
        truth.is_circle = true;
        (reply, truth)
    }
}
