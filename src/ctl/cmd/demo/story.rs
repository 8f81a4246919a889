//! What does the demo show? The story, claim by claim.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use hickory_proto::op::ResponseCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Chapter::{self, Claim, Headline, Look};
use super::ask;
use super::witness::Witness;
use super::world::{
    HOME, Program, RESOLV_CONF, Running, VPN, World, build_linnetd, enter, until, write,
};

type Tell<'a> = &'a mut dyn FnMut(Chapter) -> Result<(), String>;

/// `corp.test`, as it travels.
const SUFFIX: &[u8] = b"\x04corp\x04test";
/// What the VPN's server says of git.corp.test.
const GIT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 8, 0, 80));
/// What home's server says of www.example.test.
const WWW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 80));

const MAIN: &str = "[resolver]\nresolv-conf = \"stub\"\n";
const OFFICE: &str = "match = { name = \"vpn*\" }\n\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\nsearch = [\"corp.test\"]\n";
const AT_HOME: &str = "match = { name = \"home*\" }\n\n[dns]\nupstreams = [\"192.0.2.53\"]\n";

/// Tells it all.
pub(super) fn tell(tell: Tell<'_>) -> Result<(), String> {
    build_linnetd()?;
    let program = Program::linnetd()?;
    enter()?;
    let world = World::raise()?;
    for dir in ["etc/profiles", "run", "state"] {
        fs::create_dir_all(world.dir.join(dir)).map_err(|error| format!("{dir}: {error}"))?;
    }
    write(world.dir.join("etc/linnet.toml"), MAIN)?;
    write(world.dir.join("etc/profiles/office.toml"), OFFICE)?;
    write(world.dir.join("etc/profiles/home.toml"), AT_HOME)?;

    tell(Headline("A laptop at home (home0, the default route), its office behind a VPN (vpn0), a name server on each".to_owned()))?;
    tell(Look("profiles/office.toml:".to_owned()))?;
    tell(Look(OFFICE.to_owned()))?;
    let witness = Witness::watch(HOME.link, SUFFIX)?;
    let linnetd = world.linnetd(&program)?;

    names(&world, tell)?;
    explanation(&world, tell)?;
    resolv_conf_taken(tell)?;
    vpn_down(&world, tell)?;
    vpn_gone(&world, tell)?;
    given_back(linnetd, tell)?;

    tell(Headline("What the home link saw".to_owned()))?;
    let (frames, guilty) = witness.counts();
    tell(Claim(
        "a tap on home0 saw traffic".to_owned(),
        frames > 0,
        format!("{frames} frames"),
    ))?;
    tell(Claim(
        "none of it held corp.test, in any section or case".to_owned(),
        guilty == 0,
        format!("{guilty} frames"),
    ))?;
    let asked = world.asked(HOME);
    let leaked = asked
        .iter()
        .filter(|name| name.contains("corp.test"))
        .count();
    tell(Claim(
        "home's server was never asked for a name of the office".to_owned(),
        leaked == 0,
        format!("{leaked} of {} questions", asked.len()),
    ))
}

fn names(world: &World, tell: Tell<'_>) -> Result<(), String> {
    tell(Headline("Names are asked where they belong".to_owned()))?;
    let www = ask::udp("www.example.test.")?;
    tell(Claim(
        "www.example.test is answered by home's server".to_owned(),
        www.addresses == [WWW],
        www.to_string(),
    ))?;
    let git = ask::udp("git.corp.test.")?;
    tell(Claim(
        "git.corp.test is answered by the VPN's server".to_owned(),
        git.addresses == [GIT],
        git.to_string(),
    ))?;
    let git = ask::tcp("Git.Corp.TEST.")?;
    tell(Claim(
        "the same over TCP, in any case".to_owned(),
        git.addresses == [GIT],
        git.to_string(),
    ))?;
    let vpn = world.asked(VPN);
    let stray = vpn
        .iter()
        .filter(|name| !name.contains("corp.test"))
        .count();
    tell(Claim(
        "the VPN's server was asked for names of the office only".to_owned(),
        !vpn.is_empty() && stray == 0,
        vpn.join(" "),
    ))
}

fn explanation(world: &World, tell: Tell<'_>) -> Result<(), String> {
    tell(Headline(
        "Every decision can be explained: linnet explain git.corp.test".to_owned(),
    ))?;
    let (text, json) = (explain(world, &[])?, explain(world, &["--json"])?);
    tell(Look(text))?;
    let document: serde_json::Value =
        serde_json::from_str(&json).map_err(|error| format!("{error}: {json}"))?;
    let because = &document["because"];
    let holds = because["profile"] == "office" && because["rule"] == "longest-suffix";
    tell(Claim(
        "it names the profile and the rule".to_owned(),
        holds,
        because["text"].as_str().unwrap_or_default().to_owned(),
    ))
}

fn explain(world: &World, more: &[&str]) -> Result<String, String> {
    let output = Command::new("/proc/self/exe")
        .arg("--runtime-dir")
        .arg(world.dir.join("run"))
        .args(more)
        .args(["explain", "git.corp.test"])
        .output()
        .map_err(|error| format!("cannot run linnet explain: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr))
}

fn resolv_conf_taken(tell: Tell<'_>) -> Result<(), String> {
    tell(Headline(
        "resolv-conf = \"stub\": linnet has taken /etc/resolv.conf (this world's own)".to_owned(),
    ))?;
    until("resolv.conf is taken", || {
        resolv_conf().contains("nameserver 127.0.0.53")
    })?;
    tell(Look(resolv_conf()))?;
    for (name, expected) in [
        ("www.example.test", WWW),
        ("git.corp.test", GIT),
        ("git", GIT),
    ] {
        let found = ask::c_library(name);
        let holds = found.as_ref().is_ok_and(|found| found == &[expected]);
        tell(Claim(
            format!("a program of this machine resolves {name}"),
            holds,
            words(&found),
        ))?;
    }
    Ok(())
}

fn vpn_down(world: &World, tell: Tell<'_>) -> Result<(), String> {
    tell(Headline(
        "The VPN goes down; its names stay claimed".to_owned(),
    ))?;
    world.switch(VPN.link, false)?;
    refused(tell)?;
    world.switch(VPN.link, true)?;
    until("the VPN is back", || {
        ask::udp("git.corp.test.").is_ok_and(|got| got.addresses == [GIT])
    })?;
    let git = ask::udp("git.corp.test.")?;
    tell(Claim(
        "up again, git.corp.test is answered".to_owned(),
        git.addresses == [GIT],
        git.to_string(),
    ))
}

fn vpn_gone(world: &World, tell: Tell<'_>) -> Result<(), String> {
    tell(Headline(
        "The VPN's link is deleted; its names stay claimed all the same".to_owned(),
    ))?;
    world.delete(VPN.link)?;
    refused(tell)?;
    let expanded = ask::udp("git.corp.test.home.test.")?;
    let kept = expanded.addresses.is_empty() && expanded.error.is_some();
    tell(Claim(
        "nor does a search suffix carry it home (git.corp.test.home.test)".to_owned(),
        kept,
        expanded.to_string(),
    ))?;
    let found = ask::c_library("git.corp.test");
    tell(Claim(
        "a program of this machine gets an error, not an address of home's".to_owned(),
        found.is_err(),
        words(&found),
    ))?;
    let www = ask::udp("www.example.test.")?;
    tell(Claim(
        "public names go on".to_owned(),
        www.addresses == [WWW],
        www.to_string(),
    ))
}

fn refused(tell: Tell<'_>) -> Result<(), String> {
    until("linnetd has seen it", || {
        ask::udp("git.corp.test.").is_ok_and(|got| got.code != ResponseCode::NoError)
    })?;
    let git = ask::udp("git.corp.test.")?;
    let holds = git.code == ResponseCode::Refused
        && git
            .error
            .as_ref()
            .is_some_and(|(_, text)| text.contains("office"));
    tell(Claim(
        "git.corp.test is refused, and the answer says why".to_owned(),
        holds,
        git.to_string(),
    ))
}

fn given_back(mut linnetd: Running, tell: Tell<'_>) -> Result<(), String> {
    tell(Headline("linnetd is stopped (SIGTERM)".to_owned()))?;
    let pid = i32::try_from(linnetd.0.id()).map_err(|error| error.to_string())?;
    kill(Pid::from_raw(pid), Signal::SIGTERM)
        .map_err(|error| format!("cannot stop linnetd: {error}"))?;
    let mut end = None;
    until("linnetd ends", || {
        end = linnetd.0.try_wait().ok().flatten();
        end.is_some()
    })?;
    let holds = end.is_some_and(|end| end.success());
    tell(Claim(
        "it ends cleanly".to_owned(),
        holds,
        end.map(|end| end.to_string()).unwrap_or_default(),
    ))?;
    tell(Look(resolv_conf()))?;
    tell(Claim(
        "/etc/resolv.conf is byte for byte what it was".to_owned(),
        resolv_conf() == RESOLV_CONF,
        format!("{} bytes", RESOLV_CONF.len()),
    ))
}

fn resolv_conf() -> String {
    fs::read_to_string(Path::new("/etc/resolv.conf")).unwrap_or_default()
}

fn words(found: &Result<Vec<IpAddr>, String>) -> String {
    match found {
        Ok(found) => found
            .iter()
            .map(IpAddr::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        Err(error) => error.clone(),
    }
}
