//! What has to be asked of the kernel for one setting of a link? Up, MTU, hardware address, switches; as they are to be, and back.

use std::net::IpAddr;

use config::matcher::Mac;
use config::model::Hardware;
use config::time::Instant;
use policy::links::{LinkPlan, Switch};

use super::decide::{Ask, Decision, Step, View, WriteDown};
use crate::LinkManager;
use crate::journal::{Value, mac_of, mac_value};
use crate::request::{KernelFault, KernelRequest};
use crate::status::{Item, ItemState, LinkReport, Setting};

/// `IN6_ADDR_GEN_MODE_NONE`: the kernel makes no link-local address.
const NO_LINK_LOCAL: Value = 1;
const EOPNOTSUPP: i32 = 95;

/// Whether a link lets a switch be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freedom {
    Free,
    Fixed,
}

impl LinkManager {
    /// Takes what a switch is. That it was set without a fault does not mean that it is as asked.
    pub(super) fn take_value(
        &mut self,
        item: Item,
        request: &KernelRequest,
        (value, freedom): (i32, Freedom),
        now: Instant,
    ) {
        if let KernelRequest::ReadPrefixRoute { index, prefix } = request {
            return self.take_prefix_route(*index, *prefix, value != 0);
        }
        let Item::Setting(index, Setting::Switch(switch)) = item else {
            return;
        };
        self.observed.set_switch(index, switch, value);
        let KernelRequest::SetSwitch { value: asked, .. } = request else {
            self.writer.dirty.insert(item);
            return;
        };
        match refusal(switch, *asked, value, freedom) {
            None => self.take_done(&item, request, now),
            Some(fault) => self.take_fault(item, request, fault, now),
        }
    }
}

/// Judges what a switch is after it was set without a fault; `None` when it was done.
///
/// Of an offload the kernel takes a wish that it cannot fulfil, for later. A speed is negotiated and takes its time, and a card that wakes by more than it
/// was told is no worse: of these the kernel is believed.
fn refusal(switch: Switch, asked: i32, is: i32, freedom: Freedom) -> Option<KernelFault> {
    let is_offload = matches!(switch, Switch::Hardware(Hardware::Offload(_)));
    if is == asked || !is_offload {
        return None;
    }
    let text = match freedom {
        Freedom::Free => "the link keeps it as it is: it hangs on another one",
        Freedom::Fixed => "the link does not let it be changed",
    };
    Some(KernelFault {
        errno: EOPNOTSUPP,
        text: Some(text.into()),
    })
}

impl LinkManager {
    /// Tells that a setting of ours was changed, where that is why it is asked for.
    pub(super) fn report_undone(&mut self, item: &Item, ask: &Ask) {
        let (Item::Setting(index, setting), WriteDown::Changed(_, to)) = (item, ask.write_down)
        else {
            return;
        };
        let changed = self.writer.journal.changed(*index, *setting);
        let is_undone = changed.is_some_and(|changed| changed.ours == to);
        let record = self.writer.record(item);
        if is_undone && record.state == Some(ItemState::Ours) {
            record.state = Some(ItemState::Changed);
            if let Some(id) = self.id_by_index.get(index) {
                let report = LinkReport::Undone(*id, *setting);
                self.writer.reports.push_back(report);
            }
        }
    }

    /// Follows that a setting is as it is to be.
    pub(super) fn settle_setting(&mut self, item: &Item) {
        if let Item::Setting(index, setting) = item
            && let Some(is) = self.view().observed_setting(*index, *setting)
        {
            self.writer.journal.settle_setting((*index, *setting), is);
        }
    }

    /// Whether a request has changed a setting from what it was, in a way that the kernel tells of: its word may be on its way.
    pub(super) fn is_forth(&self, item: &Item, request: &KernelRequest) -> bool {
        let Item::Setting(index, setting) = item else {
            return false;
        };
        let Some((_, _, to)) = request.setting() else {
            return false;
        };
        let changed = self.writer.journal.changed(*index, *setting);
        changed.is_some_and(|changed| changed.ours == to && changed.was != to)
    }
}

impl View<'_> {
    /// Returns what a setting is, as far as that was told or read.
    fn observed_setting(&self, index: u32, setting: Setting) -> Option<Value> {
        let link = self.observed.link_message(index)?;
        match setting {
            Setting::Up => Some(Value::from(link.admin_up)),
            Setting::Mtu => Some(link.mtu.into()),
            Setting::Mac => link.mac.map(mac_value),
            Setting::Switch(switch) => self.observed.switch(index, switch).map(Value::from),
        }
    }

    pub(super) fn setting(&self, index: u32, setting: Setting) -> Decision {
        let changed = self.journal.changed(index, setting);
        let planned = self.planned_setting(index, setting);
        let Some(link) = self.observed.link_message(index) else {
            return Decision::Nothing;
        };
        let is = self.observed_setting(index, setting);
        let is_good = |to: Value, is: Value| match setting {
            // What matters is that there is one, whoever made it.
            Setting::Switch(Switch::LinkLocal6) => {
                is != NO_LINK_LOCAL || self.has_link_local(index)
            }
            Setting::Up | Setting::Mtu | Setting::Mac | Setting::Switch(_) => is == to,
        };
        let (to, write_down, is_back) = match (planned, changed, is) {
            (None, None, _) => return Decision::Nothing,
            (Some(to), None, Some(is)) if is_good(to, is) => {
                return Decision::Settled(ItemState::Adopted);
            }
            (Some(to), Some(_), Some(is)) if is_good(to, is) => {
                return Decision::Settled(ItemState::Ours);
            }
            (Some(1), _, _) if setting == Setting::Up && self.overridden.contains(&index) => {
                return Decision::Wait(ItemState::Overridden);
            }
            // What the kernel would do by itself as soon as the link is up it must not begin with.
            (Some(1), _, Some(_)) if setting == Setting::Up && self.awaits_switches(index) => {
                return Decision::Wait(ItemState::Waiting);
            }
            // A hardware address of another length than six octets is none that we could give back.
            (Some(_), _, None) if setting == Setting::Mac => {
                return Decision::Wait(ItemState::Foreign);
            }
            (Some(to), _, Some(is)) => (to, WriteDown::Changed(is, to), false),
            // When one of ours ends by itself, whoever watches it or not, others stay that share its prefix.
            (None, Some(_), Some(_))
                if setting == Setting::Switch(Switch::Promote4) && self.has_ending(index) =>
            {
                return Decision::Wait(ItemState::Waiting);
            }
            // Others have settled on a link that was down before us: they need it.
            (None, Some(_), Some(_)) if setting == Setting::Up && self.has_others(index) => {
                return Decision::Nothing;
            }
            // What somebody else has set since is his.
            (None, Some(changed), Some(is))
                if is == changed.was || !self.journal.is_ours((index, setting), is) =>
            {
                return Decision::Nothing;
            }
            (None, Some(changed), Some(_)) => (changed.was, WriteDown::Nothing, true),
            (_, _, None) => {
                let Setting::Switch(switch) = setting else {
                    return Decision::Nothing;
                };
                return Decision::Ask(Ask {
                    step: Step::Read,
                    request: KernelRequest::ReadSwitch {
                        link: link.name.clone(),
                        switch,
                    },
                    write_down: WriteDown::Nothing,
                });
            }
        };
        let request = match setting {
            Setting::Up => KernelRequest::SetUp { index, up: to != 0 },
            Setting::Mtu => KernelRequest::SetMtu {
                index,
                mtu: u32::try_from(to).unwrap_or_default(),
            },
            Setting::Mac => KernelRequest::SetMac {
                index,
                mac: mac_of(to),
                while_down: link.admin_up && self.needs_down.contains(&index),
            },
            Setting::Switch(switch) => KernelRequest::SetSwitch {
                link: link.name.clone(),
                switch,
                value: i32::try_from(to).unwrap_or_default(),
            },
        };
        Decision::Ask(Ask {
            step: setting_step(setting, is_back),
            request,
            write_down,
        })
    }

    /// Whether a switch of a link is not settled that the kernel looks at when the link goes up.
    pub(super) fn awaits_switches(&self, index: u32) -> bool {
        let switches = self
            .link(index)
            .into_iter()
            .flat_map(|link| link.switches.keys());
        let is_early = |switch: &&Switch| {
            let is_late = matches!(switch, Switch::Mtu6 | Switch::Promote4);
            !is_late && switch.hardware().is_none()
        };
        let mut early = switches.filter(is_early);
        early.any(|switch| self.awaits(index, *switch))
    }

    /// Whether it is not settled that the kernel keeps the addresses of others when it ends one of ours.
    pub(super) fn awaits_promotion(&self, index: u32) -> bool {
        let is_planned = |link: &LinkPlan| link.switches.contains_key(&Switch::Promote4);
        self.link(index).is_some_and(is_planned) && self.awaits(index, Switch::Promote4)
    }

    fn awaits(&self, index: u32, switch: Switch) -> bool {
        let item = Item::Setting(index, Setting::Switch(switch));
        self.unsettled.contains(&item)
    }

    /// Whether a link has an IPv6 link-local address.
    fn has_link_local(&self, index: u32) -> bool {
        let mut addresses = self.observed.addresses_of(index).iter();
        addresses.any(|address| is_link_local(address.prefix.address))
    }

    /// Whether a link has addresses that others have made; those that the kernel makes by itself do not count.
    fn has_others(&self, index: u32) -> bool {
        let mut addresses = self.observed.addresses_of(index).iter();
        addresses.any(|address| {
            let item = Item::Address(index, address.prefix);
            !is_link_local(address.prefix.address) && !self.is_ours(&item, address)
        })
    }

    /// Whether a link has an IPv4 address of ours that the kernel ends by itself.
    fn has_ending(&self, index: u32) -> bool {
        let mut addresses = self.observed.addresses_of(index).iter();
        addresses.any(|address| {
            let item = Item::Address(index, address.prefix);
            address.prefix.address.is_ipv4()
                && address.valid_until().is_some()
                && self.is_ours(&item, address)
        })
    }

    pub(super) fn planned_setting(&self, index: u32, setting: Setting) -> Option<Value> {
        let link = self.link(index)?;
        match setting {
            Setting::Up => link.admin_up.map(Value::from),
            Setting::Mtu => link.mtu.map(Value::from),
            Setting::Mac => link.mac.map(mac_value),
            // The kernel goes on by itself when we do not. A card is not to sleep through the night because we do.
            Setting::Switch(switch) if self.stopping.is_some() && switch.hardware().is_none() => {
                None
            }
            Setting::Switch(switch) => link.switches.get(&switch).copied().map(Value::from),
        }
    }
}

impl LinkManager {
    /// Returns the hardware address that a link had before we gave it the present one.
    pub(crate) fn mac_before(&self, index: u32, present: Option<Mac>) -> Option<Mac> {
        let changed = self.writer.journal.changed(index, Setting::Mac)?;
        let place = (index, Setting::Mac);
        let is_ours =
            present.is_some_and(|present| self.writer.journal.is_ours(place, mac_value(present)));
        is_ours.then(|| mac_of(changed.was))
    }
}

const fn setting_step(setting: Setting, is_back: bool) -> Step {
    match (setting, is_back) {
        (Setting::Up, false) => Step::Up,
        (Setting::Up, true) => Step::UpBack,
        (Setting::Mtu, false) => Step::Mtu,
        (Setting::Mtu, true) => Step::MtuBack,
        (Setting::Mac, false) => Step::Mac,
        (Setting::Mac, true) => Step::MacBack,
        // It may not be greater than the link's own.
        (Setting::Switch(Switch::Mtu6), false) => Step::Mtu6,
        (Setting::Switch(_), false) => Step::Switch,
        (Setting::Switch(_), true) => Step::SwitchBack,
    }
}

const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
