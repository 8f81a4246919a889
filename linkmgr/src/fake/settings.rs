//! What are the settings of links in the fake kernel, and which of them does a request change? For whoever holds that they come back.

use super::*;
use crate::journal::{mac_of, mac_value};
use crate::status::Setting;

impl FakeKernel {
    /// Returns what a switch is.
    pub fn switch(&self, link: &str, switch: Switch) -> i32 {
        let value = self.switches.get(&(link.to_owned(), switch)).copied();
        value.unwrap_or_else(|| default_of(switch))
    }

    /// Returns what a setting of the link with this index is, as a number; a hardware address by its octets.
    pub fn setting(&self, (index, setting): (u32, Setting)) -> Option<i64> {
        let link = self.link_by_index.get(&index)?;
        match setting {
            Setting::Up => Some(link.admin_up.into()),
            Setting::Mtu => Some(link.mtu.into()),
            Setting::Mac => link.mac.map(mac_value),
            Setting::Switch(switch) => Some(self.switch(&link.name, switch).into()),
        }
    }

    /// Sets a setting, as somebody else does; one that is of no such link goes nowhere.
    pub fn put_setting(&mut self, (index, setting): (u32, Setting), value: i64) {
        let Some(mut link) = self.link_by_index.get(&index).cloned() else {
            return;
        };
        match setting {
            Setting::Up => link.admin_up = value != 0,
            Setting::Mtu => link.mtu = u32::try_from(value).unwrap_or(link.mtu),
            Setting::Mac => link.mac = Some(mac_of(value)),
            // The kernel tells of none.
            Setting::Switch(switch) => {
                let value = i32::try_from(value).unwrap_or_default();
                return self.put_switch(&link.name, switch, value);
            }
        }
        if self.link_by_index.get(&index) != Some(&link) {
            self.put_link(link);
        }
    }

    /// Returns the setting that a request would change.
    pub fn setting_of(&self, request: &KernelRequest) -> Option<(u32, Setting)> {
        if let KernelRequest::SetSwitch { link, switch, .. } = request {
            let mut links = self.link_by_index.values();
            let link = links.find(|it| it.name == *link)?;
            return Some((link.index, Setting::Switch(*switch)));
        }
        let (index, setting, _) = request.setting()?;
        Some((index, setting))
    }
}
