//! `linnet up`, `down`, `adopt`, `release`, `renew` and `plan`: links, by command.

use std::fmt::Write as _;
use std::io::Write;
use std::thread;
use std::time::Duration;

use linnet::api::{ItemStatus, LinkParameters, PlanReply, Status};
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

/// How often, and how many times, it is looked what an adoption has come to: the kernel answers in milliseconds.
const LOOK: (Duration, u32) = (Duration::from_millis(50), 20);

/// What an adoption has come to at once.
#[derive(Debug, Serialize)]
struct Adopted {
    link: String,
    /// How many things of those that it should have are linnet's by now.
    ours: usize,
    /// How many it should have.
    all: usize,
    /// Those that are not as they should be.
    troubles: Vec<ItemStatus>,
}

/// Runs `adopt`: has the link adopted, and tells what of it stays with others.
pub(crate) fn adopt(
    connection: &mut Connection,
    link: String,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let parameters = LinkParameters { link };
    connection.call::<IgnoredAny>("Adopt", &parameters)?;
    let LinkParameters { link } = parameters;
    let (pause, looks) = LOOK;
    let mut items = Vec::new();
    for _ in 0..looks {
        let status: Status = connection.call("Status", serde_json::json!({}))?;
        let mut links = status.links.into_iter();
        let adopted = links.find(|there| there.name == link);
        items = adopted.map(|adopted| adopted.items).unwrap_or_default();
        if !items.iter().any(|item| item.state == "waiting") {
            break;
        }
        thread::sleep(pause);
    }
    let is_ours = |item: &&ItemStatus| item.state == "ours";
    let adopted = Adopted {
        link,
        ours: items.iter().filter(is_ours).count(),
        all: items.len(),
        troubles: items.into_iter().filter(|item| !is_fine(item)).collect(),
    };
    out.show(&adopted, adopted_text)?;
    Ok(Exit::Success)
}

fn adopted_text(adopted: &Adopted) -> String {
    let Adopted {
        link,
        ours,
        all,
        troubles,
    } = adopted;
    let mut text = format!(
        "{link} is adopted: {ours} of the {all} things that it should have are linnet's now; so will be what its networks supply within a minute\n"
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
