//! When does the machine sleep? logind says so by D-Bus, and waits for us while we have something to do first.
//!
//! ```text
//! bus there, logind there, something to do before sleep ──► delay inhibitor taken
//! PrepareForSleep(true)  ──► Input::Sleep(Falls) ──► Logind::ready: inhibitor dropped, the machine may sleep
//! PrepareForSleep(false) ──► Input::Sleep(Wakes) ──► inhibitor taken again
//! ```
//!
//! Without a bus nothing is asked for again and again: the path of its socket is watched. Who sleeps without logind is found
//! out by the clocks ([`Slumber`]).

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use resolver_io::resolv_conf::FileWatch;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zbus::export::futures_core::Stream as _;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, OwnedFd, connection};

use crate::input::Input;

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const LOGIND: &str = "org.freedesktop.login1";
const LOGIND_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
/// How long logind or the bus may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Orders that wait.
const ORDERS: usize = 8;
/// Less than this asleep is what both clocks differ by when they are read one after the other.
const ASLEEP_MIN: Duration = Duration::from_millis(200);

/// What logind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// The machine is about to sleep.
    Falls,
    /// It is awake again, or does not sleep after all.
    Wakes,
}

/// Hears of sleep, and holds it up for a moment.
#[derive(Debug)]
pub(crate) struct Logind {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Whether there is something to do before the machine sleeps.
    Delay(bool),
    /// It is done.
    Ready,
}

impl Logind {
    /// Begins to listen at the bus whose socket is here, as soon as it is there.
    pub(crate) fn start(bus: PathBuf, inputs: mpsc::Sender<Input>) -> Self {
        let (orders, given) = mpsc::channel(ORDERS);
        Self {
            orders,
            task: tokio::spawn(follow(bus, given, inputs)),
        }
    }

    /// Says whether there is something to do before the machine sleeps.
    pub(crate) async fn delay(&self, is_needed: bool) {
        self.order(Order::Delay(is_needed)).await;
    }

    /// Says that it is done.
    pub(crate) async fn ready(&self) {
        self.order(Order::Ready).await;
    }

    async fn order(&self, order: Order) {
        // Where nobody listens nobody waits for us.
        let _heard = self.orders.send(order).await;
    }
}

impl Drop for Logind {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which word of sleep is the first? The clocks tell of one that nobody announced, and two may tell of the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slumber {
    asleep: Duration,
    announced: bool,
}

impl Slumber {
    /// Begins; `asleep` is how long the machine has slept since it was started.
    pub(crate) const fn new(asleep: Duration) -> Self {
        Self {
            asleep,
            announced: false,
        }
    }

    /// Takes logind's word; returns whether it is news.
    pub(crate) fn hear(&mut self, said: Sleep, asleep: Duration) -> bool {
        match said {
            Sleep::Falls => !std::mem::replace(&mut self.announced, true),
            Sleep::Wakes => {
                let by_clock = self.look(asleep);
                std::mem::take(&mut self.announced) || by_clock
            }
        }
    }

    /// Looks at the clocks; returns whether the machine has slept since.
    pub(crate) fn look(&mut self, asleep: Duration) -> bool {
        let slept = asleep.saturating_sub(self.asleep) >= ASLEEP_MIN;
        if slept {
            self.asleep = asleep;
            self.announced = false;
        }
        slept
    }
}

async fn follow(bus: PathBuf, mut orders: mpsc::Receiver<Order>, inputs: mpsc::Sender<Input>) {
    let Ok(mut watch) = FileWatch::new(&bus) else {
        tracing::warn!(path = %bus.display(), "the bus cannot be waited for");
        return;
    };
    let mut delay = false;
    loop {
        match Session::begin(&bus).await {
            Ok(mut session) => {
                tracing::debug!("logind tells when the machine sleeps");
                session.delay = delay;
                match session.run(&mut orders, &inputs).await {
                    Ended::Bus { has_spoken } => {
                        delay = session.delay;
                        tracing::debug!("the bus has gone");
                        if has_spoken {
                            continue;
                        }
                    }
                    Ended::Daemon => return,
                }
            }
            Err(error) => tracing::debug!(%error, "no bus: nobody tells when the machine sleeps"),
        }
        loop {
            tokio::select! {
                () = watch.stirred() => break,
                order = orders.recv() => match order {
                    Some(Order::Delay(is_needed)) => delay = is_needed,
                    Some(Order::Ready) => {}
                    None => return,
                },
            }
        }
    }
}

/// Why a session has ended.
enum Ended {
    /// The bus has gone; whether it had said anything.
    Bus { has_spoken: bool },
    /// The daemon ends.
    Daemon,
}

/// One connection to the bus.
struct Session {
    connection: Connection,
    messages: MessageStream,
    /// Who logind is on this bus; only his word counts.
    logind: Option<String>,
    delay: bool,
    announced: bool,
    /// Whether this logind does not let us.
    refused: bool,
    inhibitor: Option<OwnedFd>,
}

impl Session {
    async fn begin(bus: &std::path::Path) -> zbus::Result<Self> {
        let address = format!("unix:path={}", escaped(bus));
        let builder = connection::Builder::address(address.as_str()).method_timeout(PATIENCE);
        let connection = builder.build().await?;
        let messages = MessageStream::from(&connection);
        let rules = [
            format!(
                "type='signal',sender='{LOGIND}',path='{LOGIND_PATH}',interface='{MANAGER}',member='PrepareForSleep'"
            ),
            format!(
                "type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{LOGIND}'"
            ),
        ];
        for rule in rules {
            ask_bus(&connection, "AddMatch", &rule).await?;
        }
        let owner = ask_bus(&connection, "GetNameOwner", LOGIND).await.ok();
        let logind = owner.and_then(|reply| reply.body().deserialize::<String>().ok());
        Ok(Self {
            connection,
            messages,
            logind,
            delay: false,
            announced: false,
            refused: false,
            inhibitor: None,
        })
    }

    async fn run(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        inputs: &mpsc::Sender<Input>,
    ) -> Ended {
        let mut has_spoken = false;
        loop {
            self.hold().await;
            let messages = &mut self.messages;
            let next = std::future::poll_fn(|context| Pin::new(&mut *messages).poll_next(context));
            let said = tokio::select! {
                message = next => match message {
                    Some(Ok(message)) => {
                        has_spoken = true;
                        self.hear(&message)
                    }
                    Some(Err(_)) | None => return Ended::Bus { has_spoken },
                },
                order = orders.recv() => {
                    match order {
                        Some(Order::Delay(is_needed)) => self.delay = is_needed,
                        Some(Order::Ready) => self.inhibitor = None,
                        None => return Ended::Daemon,
                    }
                    None
                }
            };
            if let Some(said) = said {
                self.announced = said == Sleep::Falls;
                if inputs.send(Input::Sleep(said)).await.is_err() {
                    return Ended::Daemon;
                }
            }
        }
    }

    /// Has logind wait for us when there is something to do, and not otherwise.
    async fn hold(&mut self) {
        if !self.delay {
            self.inhibitor = None;
            return;
        }
        let may = self.logind.is_some() && !self.announced && !self.refused;
        if self.inhibitor.is_none() && may {
            let what = (
                "sleep",
                "linnet",
                "says goodbye to neighbours and closes connections",
                "delay",
            );
            let inhibited = self
                .connection
                .call_method(Some(LOGIND), LOGIND_PATH, Some(MANAGER), "Inhibit", &what)
                .await
                .and_then(|reply| reply.body().deserialize::<OwnedFd>());
            match inhibited {
                Ok(inhibitor) => self.inhibitor = Some(inhibitor),
                Err(error) => {
                    tracing::info!(%error, "logind does not wait for us before the machine sleeps");
                    self.refused = true;
                }
            }
        }
    }

    fn hear(&mut self, message: &Message) -> Option<Sleep> {
        let header = message.header();
        if header.message_type() != Type::Signal {
            return None;
        }
        let sender = header.sender().map(|name| name.as_str());
        match header.member().map(|name| name.as_str()) {
            Some("PrepareForSleep") if sender.is_some() && sender == self.logind.as_deref() => {
                let begins: bool = message.body().deserialize().ok()?;
                Some(if begins { Sleep::Falls } else { Sleep::Wakes })
            }
            // The bus's own name is nobody else's.
            Some("NameOwnerChanged") if sender == Some(BUS) => {
                let (name, _, owner): (String, String, String) =
                    message.body().deserialize().ok()?;
                if name == LOGIND {
                    self.logind = Some(owner).filter(|owner| !owner.is_empty());
                    self.inhibitor = None;
                    self.refused = false;
                    // A logind that went away while the machine was to sleep does not say that it is awake.
                    return std::mem::take(&mut self.announced).then_some(Sleep::Wakes);
                }
                None
            }
            Some(_) | None => None,
        }
    }
}

async fn ask_bus(connection: &Connection, method: &str, argument: &str) -> zbus::Result<Message> {
    let asked = connection.call_method(Some(BUS), BUS_PATH, Some(BUS), method, &argument);
    asked.await
}

/// A path as an address of D-Bus has it.
fn escaped(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_/.\\".contains(&octet);
    let octets = path.as_os_str().as_bytes().iter();
    octets
        .map(|octet| match is_plain(*octet) {
            true => char::from(*octet).to_string(),
            false => format!("%{octet:02x}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_sleep_is_told_once_whoever_tells_of_it() {
        use Sleep::{Falls, Wakes};
        // logind first, the clocks behind.
        let mut slumber = Slumber::new(seconds(5));
        assert!(slumber.hear(Falls, seconds(5)));
        assert!(slumber.hear(Wakes, seconds(65)));
        assert!(!slumber.look(seconds(65)));
        // The clocks first.
        assert!(slumber.hear(Falls, seconds(65)));
        assert!(slumber.look(seconds(90)));
        assert!(!slumber.hear(Wakes, seconds(90)));
        // Without logind.
        assert!(!slumber.look(seconds(90)));
        assert!(slumber.look(seconds(100)));
        // The clock was only set.
        assert!(!slumber.look(seconds(100) + Duration::from_millis(1)));
        // It did not sleep after all; whoever was told of the fall is told of the waking.
        assert!(slumber.hear(Falls, seconds(100)));
        assert!(slumber.hear(Wakes, seconds(100)));
        assert!(!slumber.hear(Wakes, seconds(100)), "nobody announced it");
    }

    #[test]
    fn a_path_is_escaped_as_addresses_are() {
        let path = std::path::Path::new("/run/a b/bus=1,2");
        assert_eq!(escaped(path), "/run/a%20b/bus%3d1%2c2");
    }
}
