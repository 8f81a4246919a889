//! How is the demo's small world raised? Namespaces, links and addresses, without any program of the system.

use std::env;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use rtnetlink::{LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::SERVER;

/// How long anything in the small world may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One side of the world: a link, and a name server at its far end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    /// The role of the process behind it.
    pub(super) role: &'static str,
    /// The link on our side.
    pub(super) link: &'static str,
    /// Our address.
    pub(super) mine: Ipv4Addr,
    /// The server's.
    pub(super) theirs: Ipv4Addr,
}

/// The home link: it holds the default route.
pub(super) const HOME: Side = Side {
    role: "home",
    link: "home0",
    mine: Ipv4Addr::new(192, 0, 2, 2),
    theirs: Ipv4Addr::new(192, 0, 2, 53),
};
/// The office's VPN.
pub(super) const VPN: Side = Side {
    role: "vpn",
    link: "vpn0",
    mine: Ipv4Addr::new(10, 8, 0, 2),
    theirs: Ipv4Addr::new(10, 8, 0, 1),
};

/// A child that ends with the demo.
#[derive(Debug)]
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// The raised world.
#[derive(Debug)]
pub(super) struct World {
    /// A folder that only the demo sees.
    pub(super) dir: PathBuf,
    runtime: tokio::runtime::Runtime,
    _servers: Vec<Running>,
}

/// Leaves the machine's namespaces for ones of our own, where we are root. Must come before any thread.
pub(super) fn enter() -> Result<(), String> {
    let (uid, gid) = (geteuid(), getegid());
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    match unshare(own | CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {
            write("/proc/self/setgroups", "deny")?;
            write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
            write("/proc/self/gid_map", &format!("0 {gid} 1"))?;
        }
        // Where user namespaces are switched off, the machine's root still may.
        Err(_) if uid.is_root() => {
            unshare(own).map_err(|error| format!("no namespaces: {error}"))?;
        }
        Err(error) => {
            return Err(format!(
                "this kernel gives no user namespace ({error}); run the demo as root instead"
            ));
        }
    }
    let bind = |source: Option<&str>, target: &str, kind: Option<&str>, flags| {
        mount(source, target, kind, flags, None::<&str>)
            .map_err(|error| format!("cannot mount {target}: {error}"))
    };
    bind(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    bind(Some("tmpfs"), "/mnt", Some("tmpfs"), MsFlags::empty())?;
    fs::create_dir_all("/mnt/etc")
        .map_err(|error| format!("cannot make a private /etc: {error}"))?;
    for file in [
        "passwd",
        "group",
        "ld.so.cache",
        "localtime",
        "services",
        "protocols",
    ] {
        // What a machine does not have, nobody here asks for.
        let _copied = fs::copy(format!("/etc/{file}"), format!("/mnt/etc/{file}"));
    }
    write("/mnt/etc/nsswitch.conf", "hosts: files dns\n")?;
    write("/mnt/etc/hosts", "127.0.0.1 localhost\n")?;
    write("/mnt/etc/resolv.conf", RESOLV_CONF)?;
    bind(Some("/mnt/etc"), "/etc", None, MsFlags::MS_BIND)
}

/// What the private `/etc/resolv.conf` says before linnet takes it.
pub(super) const RESOLV_CONF: &str =
    "# from the home router\nnameserver 192.0.2.53\nsearch home.test\n";

/// Writes a file.
pub(super) fn write(path: impl AsRef<Path>, text: &str) -> Result<(), String> {
    let path = path.as_ref();
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

impl World {
    /// Raises both sides; to be called after [`enter`].
    pub(super) fn raise() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("no event loop: {error}"))?;
        let dir = PathBuf::from("/mnt/linnet");
        fs::create_dir_all(&dir)
            .map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
        let mut servers = Vec::new();
        runtime.block_on(async {
            let netlink = Netlink::open()?;
            netlink.up("lo").await?;
            for side in [HOME, VPN] {
                servers.push(netlink.raise(side, &dir).await?);
            }
            netlink.default_route(HOME.theirs).await
        })?;
        Ok(Self {
            dir,
            runtime,
            _servers: servers,
        })
    }

    /// Deletes a link, as a VPN client does when it ends.
    pub(super) fn delete(&self, link: &str) -> Result<(), String> {
        self.runtime
            .block_on(async { Netlink::open()?.delete(link).await })
    }

    /// Switches a link off or on.
    pub(super) fn switch(&self, link: &str, up: bool) -> Result<(), String> {
        self.runtime.block_on(async {
            let netlink = Netlink::open()?;
            if up {
                netlink.up(link).await
            } else {
                netlink.down(link).await
            }
        })
    }

    /// Starts linnetd with the demo's configuration, and waits until it answers at its control socket.
    pub(super) fn linnetd(&self, program: &Program) -> Result<Running, String> {
        let log = fs::File::create(self.dir.join("linnetd.log"))
            .map_err(|error| format!("no log file: {error}"))?;
        let child = Command::new(&program.path)
            .arg("--config-dir")
            .arg(self.dir.join("etc"))
            .arg("--runtime-dir")
            .arg(self.dir.join("run"))
            .arg("--state-dir")
            .arg(self.dir.join("state"))
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.path.display()))?;
        let mut running = Running(child);
        let socket = self.dir.join("run/control");
        until("linnetd answers", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
                || running.0.try_wait().is_ok_and(|end| end.is_some())
        })?;
        if let Ok(Some(end)) = running.0.try_wait() {
            let log = fs::read_to_string(self.dir.join("linnetd.log")).unwrap_or_default();
            return Err(format!("linnetd ended ({end}): {log}"));
        }
        Ok(running)
    }

    /// Returns every name that a side's server was asked for.
    pub(super) fn asked(&self, side: Side) -> Vec<String> {
        let log = fs::read_to_string(self.dir.join(side.role)).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

/// A program held open, so that it can be started whatever is mounted over its folder.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    _file: fs::File,
}

impl Program {
    /// Finds linnetd beside this program. To be called before [`enter`].
    pub(super) fn linnetd() -> Result<Self, String> {
        let here = env::current_exe()
            .map_err(|error| format!("cannot find this program's own file: {error}"))?;
        let path = here.with_file_name("linnetd");
        let missing = |error| {
            format!(
                "{}: {error}; build it with `cargo build --release`",
                path.display()
            )
        };
        let file = fs::File::open(&path).map_err(missing)?;
        let path = PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            file.as_raw_fd()
        ));
        Ok(Self { path, _file: file })
    }
}

/// Under `cargo run`, builds linnetd as this program was built, and says so: the first time it takes minutes. What cargo says of its
/// progress goes to standard error as well. To be called before [`enter`].
pub(super) fn build_linnetd() -> Result<(), String> {
    let (Some(cargo), Some(manifest)) = (env::var_os("CARGO"), env::var_os("CARGO_MANIFEST_DIR"))
    else {
        return Ok(());
    };
    let mut command = Command::new(cargo);
    command
        .args(["build", "--bin", "linnetd", "--manifest-path"])
        .arg(Path::new(&manifest).join("Cargo.toml"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // Nobody has to read it.
    let _said = writeln!(
        io::stderr(),
        "linnet: building linnetd, which the demo is about (minutes the first time)"
    );
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("building linnetd failed ({status})")),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}

/// Waits until a condition holds.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "after {} s still not so: {what}",
                PATIENCE.as_secs()
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Writes to the kernel, for the demo's links only.
pub(super) struct Netlink {
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// Opens a socket in the current network namespace.
    pub(super) fn open() -> Result<Self, String> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| format!("no netlink: {error}"))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    async fn raise(&self, side: Side, dir: &Path) -> Result<Running, String> {
        let far = format!("{}-far", side.role);
        let failed = |error| format!("cannot raise {}: {error}", side.link);
        self.handle
            .link()
            .add(LinkVeth::new(side.link, &far).build())
            .execute()
            .await
            .map_err(failed)?;
        let mut server = Running(
            Command::new("/proc/self/exe")
                .arg("demo")
                .env(
                    SERVER,
                    format!("{} {far} {} {}", side.role, side.theirs, dir.display()),
                )
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|error| format!("cannot start the {} server: {error}", side.role))?,
        );
        server.ready()?;
        let request = LinkUnspec::new_with_index(index(&far)?)
            .setns_by_pid(server.0.id())
            .build();
        self.handle
            .link()
            .set(request)
            .execute()
            .await
            .map_err(failed)?;
        // A second line from us says that its link is there; a second line from it, that it answers.
        let input = server.0.stdin.as_mut().ok_or("the server has no input")?;
        input
            .write_all(b"go\n")
            .map_err(|error| format!("the {} server ended: {error}", side.role))?;
        server.ready()?;
        let address = IpAddr::V4(side.mine);
        self.handle
            .address()
            .add(index(side.link)?, address, 24)
            .execute()
            .await
            .map_err(failed)?;
        self.up(side.link).await?;
        Ok(server)
    }

    /// Gives an address to a link and switches it on.
    pub(super) async fn address(&self, link: &str, address: Ipv4Addr) -> Result<(), String> {
        let request = self
            .handle
            .address()
            .add(index(link)?, IpAddr::V4(address), 24);
        request
            .execute()
            .await
            .map_err(|error| format!("cannot give {address} to {link}: {error}"))?;
        self.up(link).await
    }

    /// Switches a link on.
    pub(super) async fn up(&self, link: &str) -> Result<(), String> {
        let request = LinkUnspec::new_with_index(index(link)?).up().build();
        self.handle
            .link()
            .set(request)
            .execute()
            .await
            .map_err(|error| format!("cannot switch {link} on: {error}"))
    }

    async fn down(&self, link: &str) -> Result<(), String> {
        let request = LinkUnspec::new_with_index(index(link)?).down().build();
        self.handle
            .link()
            .set(request)
            .execute()
            .await
            .map_err(|error| format!("cannot switch {link} off: {error}"))
    }

    async fn delete(&self, link: &str) -> Result<(), String> {
        let request = self.handle.link().del(index(link)?);
        request
            .execute()
            .await
            .map_err(|error| format!("cannot delete {link}: {error}"))
    }

    async fn default_route(&self, gateway: Ipv4Addr) -> Result<(), String> {
        let request = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway)
            .build();
        self.handle
            .route()
            .add(request)
            .execute()
            .await
            .map_err(|error| format!("no default route: {error}"))
    }
}

impl Running {
    /// Waits for a line from the child.
    fn ready(&mut self) -> Result<(), String> {
        let mut byte = [0];
        let out = self.0.stdout.as_mut().ok_or("the server has no output")?;
        while byte != *b"\n" {
            out.read_exact(&mut byte)
                .map_err(|error| format!("a server of the demo ended: {error}"))?;
        }
        Ok(())
    }
}

fn index(link: &str) -> Result<u32, String> {
    if_nametoindex(link).map_err(|error| format!("no link {link}: {error}"))
}
