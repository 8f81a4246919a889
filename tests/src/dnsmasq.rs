//! How is dnsmasq run in a story? In the foreground, with no file of the machine's, and with what the story's network has.

use std::path::Path;

use crate::peer::Peer;

/// dnsmasq as it is to be started.
#[derive(Debug, Clone)]
pub struct Dnsmasq {
    options: Vec<String>,
}

impl Dnsmasq {
    /// A server that knows nothing but what the options say; it prints what it logs.
    pub fn new(options: &str) -> Self {
        let own = "no-daemon conf-file=/dev/null pid-file= log-facility=- no-resolv no-hosts user=root group=root";
        Self {
            options: Vec::new(),
        }
        .with(own)
        .with(options)
    }

    /// A server that gives IPv4 addresses at a link as well, these and for this long, and keeps its leases in a file.
    pub fn leasing(link: &str, range: &str, leases: &Path, options: &str) -> Self {
        Self::new(&format!(
            "interface={link} no-ping dhcp-authoritative dhcp-leasefile={} dhcp-range={range}",
            leases.display()
        ))
        .with(options)
    }

    /// Adds options, as they stand in dnsmasq's own file but with a space between them; none has one in it.
    #[must_use]
    pub fn with(mut self, options: &str) -> Self {
        let options = options.split_whitespace();
        self.options
            .extend(options.map(|option| format!("--{option}")));
        self
    }

    /// Starts it in a network namespace, or in the story's own; what it logs goes to `DIR/NAME.log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, dir: &Path, name: &str, namespace: Option<&str>) -> Peer {
        let mut command = vec!["dnsmasq"];
        command.extend(self.options.iter().map(String::as_str));
        Peer::start(dir, name, namespace, &command)
    }
}
