//! `linnet up`, `down`, `adopt`, `release`, `renew` and `plan`: links, by command.

use std::fmt::Write as _;
use std::io::Write;
use std::thread;
use std::time::Duration;

use linnet::api::{ItemKind, ItemStatus, LinkParameters, PlanReply, Status};
use serde::Serialize;
use serde::de::IgnoredAny;

use super::status::links::{is_fine, item_text};
use crate::connection::Connection;
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
    let items = settled_items(connection, &link).ok();
    let items = items.filter(|items| items.iter().all(|item| item.kind.is_some()));
    let Some(items) = items else {
        out.show(&LinkParameters { link }, |parameters| {
            format!(
                "{} is adopted; linnet status could not be asked what that has come to\n",
                parameters.link
            )
        })?;
        return Ok(Exit::Success);
    };
    out.show(&adopted(link, &items), adopted_text)?;
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
    use super::*;

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
