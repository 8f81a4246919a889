//! `linnet up`, `down`, `adopt`, `release`, `renew` and `plan`: links, by command.

use std::fmt::Write as _;
use std::io::Write;
use std::thread;
use std::time::Duration;

use linnet::api::{ItemKind, ItemStatus, LinkParameters, PlanReply, Status};
use serde::Serialize;
use serde::de::IgnoredAny;

use super::status::links::{is_fine, item_text};
use crate::connection::{Connection, OLDER};
use crate::output::Output;
use crate::{Exit, Failed};

/// Tells the daemon something of a link; `says` is what became of it, after the link's name.
pub(crate) fn steer(
    connection: &mut Connection,
    method: &str,
    link: String,
    says: &str,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let parameters = LinkParameters { link };
    connection.call::<IgnoredAny>(method, &parameters)?;
    out.show(&parameters, |parameters| {
        format!("{} {says}\n", parameters.link)
    })?;
    Ok(Exit::Success)
}

/// How long is waited between looks what an adoption has come to, and how many there are: the kernel answers in milliseconds.
const LOOKS: (Duration, u32) = (Duration::from_millis(100), 10);

/// What an adoption has come to at once.
#[derive(Debug, Serialize)]
struct Adopted {
    link: String,
    /// How many addresses of those that it should have are linnet's.
    addresses: usize,
    /// The same of routes.
    routes: usize,
    /// What is not as it should be.
    troubles: Vec<ItemStatus>,
}

/// Runs `adopt`: has the link adopted, and tells what that has come to.
pub(crate) fn adopt(
    connection: &mut Connection,
    link: String,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let parameters = LinkParameters { link };
    connection.call::<IgnoredAny>("Adopt", &parameters)?;
    let LinkParameters { link } = parameters;
    // Whatever comes of looking, it is adopted. A daemon that is older than this does not tell kinds.
    let unknown = match settled_items(connection, &link) {
        Ok(items) if items.iter().all(|item| item.kind.is_some()) => {
            out.show(&adopted(link, &items), adopted_text)?;
            return Ok(Exit::Success);
        }
        Ok(_) => OLDER.to_owned(),
        Err(failed) => failed.to_string(),
    };
    out.show(&LinkParameters { link }, |parameters| {
        format!(
            "{} is adopted; what that has come to is not known: {unknown}\n",
            parameters.link
        )
    })?;
    Ok(Exit::Success)
}

/// Counts what of the things of a link is linnet's.
fn adopted(link: String, items: &[ItemStatus]) -> Adopted {
    let count = |kind: ItemKind| {
        let ours = items.iter().filter(|item| item.state == "ours");
        ours.filter(|item| item.kind == Some(kind)).count()
    };
    Adopted {
        link,
        addresses: count(ItemKind::Address),
        routes: count(ItemKind::Route),
        troubles: items.iter().filter(|it| !is_fine(it)).cloned().collect(),
    }
}

/// Returns how the things of a link are as soon as none waits for the kernel any more, or after a second.
fn settled_items(connection: &mut Connection, link: &str) -> Result<Vec<ItemStatus>, Failed> {
    let (pause, looks) = LOOKS;
    let mut items = Vec::new();
    for _ in 0..looks {
        let status: Status = connection.call("Status", serde_json::json!({}))?;
        let mut links = status.links.into_iter();
        let there = links.find(|there| there.name == link);
        items = there.map(|there| there.items).unwrap_or_default();
        if !items.iter().any(|item| item.state == "waiting") {
            break;
        }
        thread::sleep(pause);
    }
    Ok(items)
}

fn adopted_text(adopted: &Adopted) -> String {
    let Adopted {
        link,
        addresses,
        routes,
        troubles,
    } = adopted;
    let counted = |count: &usize, one: &str, several: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {several}"),
    };
    let addresses = counted(addresses, "address", "addresses");
    let routes = counted(routes, "route", "routes");
    let mut text = format!(
        "{link} is adopted: {addresses} and {routes} of it are linnet's; what its networks supply within a minute follows where its place is free (linnet status)\n"
    );
    for item in troubles {
        let _ = writeln!(text, "    ! {}", item_text(item));
    }
    text
}

/// Runs `plan`.
pub(crate) fn plan(
    connection: &mut Connection,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let reply: PlanReply = connection.call("Plan", serde_json::json!({}))?;
    out.show(&reply, |reply| match reply.lines.as_slice() {
        [] => "nothing is planned: no profile says anything of a link that is there\n".to_owned(),
        lines => lines.join("\n") + "\n",
    })?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;

    use linnet::api::LinkStatus;
    use serde_json::{Value, json};

    use super::*;

    /// Returns what `linnet adopt net0` prints where the daemon says this to `Adopt`, and then to `Status`.
    fn printed(replies: [Value; 2]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control");
        let daemon = UnixListener::bind(&socket).unwrap();
        let daemon = thread::spawn(move || {
            let (stream, _) = daemon.accept().unwrap();
            let mut stream = BufReader::new(stream);
            for reply in replies {
                stream.read_until(0, &mut Vec::new()).unwrap();
                let reply = format!("{reply}\0");
                stream.get_mut().write_all(reply.as_bytes()).unwrap();
            }
        });
        let mut text = Vec::new();
        let out = &mut Output::new(&mut text, false);
        let connection = &mut Connection::open(&socket).unwrap();
        let exit = adopt(connection, "net0".to_owned(), out).unwrap();
        assert_eq!(exit, Exit::Success);
        daemon.join().unwrap();
        String::from_utf8(text).unwrap()
    }

    /// A status in which `net0` has one thing that is ours, and what is told of its kind.
    fn status(kind: Option<&str>) -> Value {
        let item = json!({ "kind": kind, "item": "address 192.0.2.7/24", "state": "ours" });
        let link = LinkStatus {
            name: "net0".to_owned(),
            items: vec![serde_json::from_value(item).unwrap()],
            ..LinkStatus::default()
        };
        let status = Status {
            links: vec![link],
            ..Status::default()
        };
        let mut status = serde_json::to_value(status).unwrap();
        if let Some(kind) = kind {
            status["links"][0]["items"][0]["kind"] = json!(kind);
        }
        json!({ "parameters": status })
    }

    #[test]
    fn an_adoption_says_what_keeps_it_from_telling_what_it_has_come_to() {
        let done = || json!({ "parameters": {} });
        for (reply, says) in [
            (status(Some("address")), "1 address and 0 routes"),
            // A kind of a newer daemon is none of those that are counted.
            (status(Some("neighbour")), "0 addresses and 0 routes"),
            (status(None), OLDER),
            (
                json!({ "error": "org.linnet.Manager.Busy", "parameters": { "message": "later" } }),
                "Busy: later",
            ),
        ] {
            let text = printed([done(), reply]);
            assert!(text.starts_with("net0 is adopted"), "{text}");
            assert!(text.contains(says), "{says}: {text}");
        }
    }

    #[test]
    fn an_adoption_counts_by_kind_whatever_the_words_are() {
        let item = |kind, item: &str, state: &str| ItemStatus {
            kind: Some(kind),
            item: item.to_owned(),
            state: state.to_owned(),
            detail: None,
        };
        let items = [
            item(ItemKind::Address, "IPv4 address 192.0.2.7/24", "ours"),
            item(ItemKind::Address, "IPv4 address 192.0.2.8/24", "adopted"),
            item(ItemKind::Route, "default route", "ours"),
            item(ItemKind::Route, "default route", "foreign"),
            item(ItemKind::Setting, "route localnet", "ours"),
        ];
        let adopted = adopted("net0".to_owned(), &items);
        assert_eq!((adopted.addresses, adopted.routes), (1, 1));
        assert_eq!(adopted.troubles, items[3..4]);
    }
}
