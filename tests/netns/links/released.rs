//! Is a link that was left to others and taken back as it was before? What its networks supply is linnet's again after one command, default routes
//! move with the cables, and no other link has lost its own meanwhile.

use std::fs;

use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::until;

use super::{ANY_NETWORK, LINNET, LINNETD, Network, default_link, folder, link_status, office};

const FAMILIES: [&str; 2] = ["-4", "-6"];

/// Whether a link has one default route of each family, and both are linnet's by the number.
fn has_both(link: &str) -> bool {
    FAMILIES.iter().all(|family| {
        let routes = shell(&format!("ip {family} route show default dev {link}"));
        routes.lines().count() == 1 && routes.contains("proto 112")
    })
}

fn lead_by(link: &str) -> bool {
    let mut families = FAMILIES.iter();
    families.all(|family| default_link(family).as_deref() == Some(link))
}

/// Whether the journal names default routes of both families with these metrics, and no others.
fn are_written_down(office: &Office, metrics: &[u32]) -> bool {
    let journal = fs::read_to_string(office.dir().join("state/links.journal")).unwrap_or_default();
    let count = journal.matches("route 254 0.0.0.0/0 ").count();
    count == metrics.len()
        && metrics.iter().all(|metric| {
            let has = |to: &str| journal.contains(&format!("route 254 {to}/0 {metric} "));
            has("0.0.0.0") && has("::")
        })
}

/// Everything of a link that is not linnet's, or as it is to be.
fn not_whole(office: &Office, link: &str) -> Vec<String> {
    let told = link_status(office, link);
    let items = told["items"].as_array().cloned().unwrap_or_default();
    let is_whole = |state: &str| matches!(state, "ours" | "adopted");
    let items = items
        .iter()
        .filter(|item| !is_whole(item["state"].as_str().unwrap_or_default()));
    items.map(ToString::to_string).collect()
}

#[test]
fn a_link_that_was_released_and_adopted_has_its_default_routes_and_costs_no_other_link_its_own() {
    isolated(
        "links::released::a_link_that_was_released_and_adopted_has_its_default_routes_and_costs_no_other_link_its_own",
        || {
            let dir = folder();
            // The one that has the default route keeps it, where nobody looks what lies behind.
            let (first, second) = Network::two(&dir);
            let office = office(dir.clone());
            office.configure(
                "conf.d/clean.toml",
                "[links]\nstop = \"clean\"\n[connectivity]\ncheck = \"never\"\n",
            );
            office.configure("profiles/any.toml", ANY_NETWORK);
            let mut linnetd = office.linnetd(LINNETD, &[]);
            first.plug("up");
            until("the first link has default routes", || has_both(first.link));
            second.plug("up");
            until("both links have default routes", || {
                has_both(first.link)
                    && has_both(second.link)
                    && are_written_down(&office, &[100, 101])
            });
            for is_killed in [false, true] {
                assert!(lead_by(first.link), "it has them already");
                let (code, text) = office.linnet(LINNET, &["release", first.link]);
                assert_eq!(code, 0, "{text}");
                until("the journal names the other link's routes alone", || {
                    are_written_down(&office, &[101])
                });
                // Everything that follows from it has been asked for when a later command is carried out.
                until("the link is told released", || {
                    link_status(&office, first.link)["told"] == "release"
                });
                assert!(has_both(first.link), "it is as it was");
                assert!(has_both(second.link), "the other link has lost its own");
                let (code, text) = office.linnet(LINNET, &["adopt", first.link]);
                assert_eq!(code, 0, "{text}");
                if is_killed {
                    linnetd.signal(libc::SIGKILL);
                    linnetd.wait();
                    linnetd = office.linnetd(LINNETD, &[]);
                }
                until("what is supplied again is linnet's again", || {
                    has_both(first.link)
                        && has_both(second.link)
                        && are_written_down(&office, &[100, 101])
                        && not_whole(&office, first.link).is_empty()
                        && not_whole(&office, second.link).is_empty()
                });
                assert!(lead_by(first.link), "each has the place that it had");
                first.plug("down");
                until("the other link has the default routes", || {
                    lead_by(second.link)
                });
                until("the dead link has none", || {
                    FAMILIES.iter().all(|family| {
                        shell(&format!(
                            "ip {family} route show default dev {}",
                            first.link
                        ))
                        .is_empty()
                    })
                });
                first.plug("up");
                until("each link has its own", || {
                    has_both(first.link) && has_both(second.link)
                });
                // The next round begins as this one did.
                second.plug("down");
                until("the first link has them again", || lead_by(first.link));
                second.plug("up");
                until("each link has its own place again", || {
                    has_both(first.link)
                        && has_both(second.link)
                        && are_written_down(&office, &[100, 101])
                        && lead_by(first.link)
                });
            }
            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
            for family in FAMILIES {
                assert_eq!(shell(&format!("ip {family} route show default")), "");
            }
        },
    );
}
