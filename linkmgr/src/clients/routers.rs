//! What do the routers' client and the DHCPv6 client of a link tell each other? What each has to say goes through here.

use std::net::Ipv6Addr;
use std::sync::Arc;

use config::time::Instant;
use policy::facts::Supplier;

use super::Note;
use super::memory::Word;
use super::on_link::OnLink;
use super::said::Said;
use crate::{dhcp6, ra};

impl OnLink {
    /// Has each of both hear how the other stands, when one of them is another than before: what they say is said once, and who has just
    /// begun was not there. Who does not run any more says nothing.
    pub(super) fn introduce(&mut self, now: Instant) {
        if let Some(dhcp6) = &mut self.dhcp6 {
            let ra = self.ra.as_ref().map(|running| &running.client);
            let made = ra.and_then(ra::Client::supply);
            let made = made.map(|supply| supply.addresses.as_slice());
            dhcp6.client.handle_lifetimes(made.unwrap_or_default());
            let flags = ra.map(ra::Client::flags).unwrap_or_default();
            dhcp6.client.handle_advertised(flags, now);
        }
        if let Some(ra) = &mut self.ra {
            let delegation = self.dhcp6.as_ref().and_then(|dhcp6| {
                let is_handed_on = dhcp6.settings.0.delegate.is_some();
                let supply = dhcp6.client.supply()?;
                Some(ra::Delegation::of(supply, is_handed_on, now))
            });
            ra.client
                .handle_delegation(delegation.unwrap_or_default(), now);
        }
    }

    /// Takes what routers have brought, and tells DHCPv6 of it; returns whether there was anything.
    pub(super) fn take_ra(&mut self, link: &Arc<str>, said: &mut Said, now: Instant) -> bool {
        let mut is_new = false;
        let Some(ra) = &mut self.ra else {
            return false;
        };
        while let Some(event) = ra.client.poll_event() {
            is_new = true;
            match event {
                ra::Event::Supplied(supply) => {
                    if let Some(dhcp6) = &mut self.dhcp6 {
                        dhcp6.client.handle_lifetimes(&supply.addresses);
                    }
                    said.supplied(Supplier::Ra, Some(supply));
                }
                ra::Event::Withdrawn => said.supplied(Supplier::Ra, None),
                ra::Event::Keep(memory) => said.words.push(Word::Ra(Arc::clone(link), memory)),
                ra::Event::Dhcp6(flags) => {
                    if let Some(dhcp6) = &mut self.dhcp6 {
                        dhcp6.client.handle_advertised(flags, now);
                    }
                }
                ra::Event::LeftBehind(routers) => said.notes.push(left_behind(link, &routers)),
            }
        }
        if let Some(dhcp6) = &mut self.dhcp6
            && ra.client.is_same_place()
        {
            dhcp6.client.handle_same_place(now);
        }
        is_new
    }

    /// Takes what DHCPv6 has brought, and tells who listens to routers of it; returns whether there was anything.
    pub(super) fn take_dhcp6(&mut self, link: &Arc<str>, said: &mut Said, now: Instant) -> bool {
        let mut is_new = false;
        let Some(dhcp6) = &mut self.dhcp6 else {
            return false;
        };
        while let Some(event) = dhcp6.client.poll_event() {
            is_new = true;
            match event {
                dhcp6::Event::Supplied(supply) => {
                    if let Some(ra) = &mut self.ra {
                        let is_handed_on = dhcp6.settings.0.delegate.is_some();
                        let delegation = ra::Delegation::of(&supply, is_handed_on, now);
                        ra.client.handle_delegation(delegation, now);
                    }
                    said.supplied(Supplier::Dhcp6, Some(supply));
                }
                dhcp6::Event::Withdrawn => {
                    if let Some(ra) = &mut self.ra {
                        ra.client.handle_delegation(ra::Delegation::None, now);
                    }
                    said.supplied(Supplier::Dhcp6, None);
                }
                dhcp6::Event::Keep(memory) => {
                    said.words.push(Word::Dhcp6(Arc::clone(link), memory));
                }
                dhcp6::Event::Released => {}
            }
        }
        is_new
    }
}

fn left_behind(link: &Arc<str>, routers: &[Ipv6Addr]) -> Note {
    let routers: Vec<String> = routers.iter().map(ToString::to_string).collect();
    Note {
        link: Arc::clone(link),
        supplier: Some(Supplier::Ra),
        text: format!(
            "not heard since the carrier came, and left behind: {}",
            routers.join(", ")
        ),
    }
}
