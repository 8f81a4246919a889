//! Are pages fetched through their link alone, from nobody but their host, and never for long?

use config::url::Url;
use resolver::reach::http::Wants;
use resolver::reach::{Visit, VisitId};

use super::servers::*;
use super::streams::trusting;
use super::*;
use crate::visits::{Visited, Visits};

const REPLY: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/captive+json\r\nContent-Length: 17\r\n\r\n{\"captive\": true}";

fn visit(id: u64, url: &str, server: &Server) -> Visit {
    let mut url: Url = url.parse().unwrap();
    url.port = server.address.port();
    Visit {
        id: VisitId(id),
        url,
        wants: Wants::Portal,
        // The loopback link is the first in every namespace.
        link: link("lo", Some(1)),
        addresses: vec![server.address.ip()],
    }
}

fn portal(identity: Identity) -> Server {
    Server::start(Some(identity.config), |_, line, seen| {
        let request = line.answer_request(REPLY);
        let _kept = seen.send(request.into_bytes());
    })
}

async fn fetch(driver: &mut Driver, visit: Visit) -> Visited {
    let mut visits = Visits::default();
    visits.begin(driver, visit);
    visits.next().await
}

#[test]
fn a_portal_that_is_its_own_is_heard_and_a_stranger_is_not() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let server = portal(authority.issue(&["portal.test"], Made::Well, &[b"http/1.1"]));
        let (id, reply) = fetch(&mut driver, visit(7, "https://portal.test/api", &server)).await;
        let reply = reply.unwrap();
        assert_eq!((id, reply.status), (VisitId(7), 200));
        assert_eq!(reply.body, b"{\"captive\": true}");
        let request = String::from_utf8(server.seen.recv().unwrap()).unwrap();
        assert!(
            request.starts_with("GET /api HTTP/1.1\r\nHost: portal.test:"),
            "{request}"
        );
        for (names, made, why) in [
            (
                "other.test",
                Made::Well,
                "its certificate is for another name",
            ),
            ("portal.test", Made::Expired, "its certificate has expired"),
            (
                "portal.test",
                Made::ByAStranger,
                "its certificate is from an unknown authority",
            ),
            (
                "portal.test",
                Made::ByItself,
                "its certificate is signed by itself",
            ),
        ] {
            let server = portal(authority.issue(&[names], made, &[]));
            let (_, reply) = fetch(&mut driver, visit(8, "https://portal.test/api", &server)).await;
            assert_eq!(reply.unwrap_err().as_ref(), why);
            assert!(server.seen.try_recv().is_err(), "a stranger was asked");
        }
    });
}

#[test]
fn a_page_in_the_clear_one_that_goes_on_for_ever_and_one_that_is_not_there() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let server = Server::start(None, |_, line, _| {
            line.answer_request("HTTP/1.0 204 No Content\r\n\r\n");
        });
        let (_, reply) = fetch(&mut driver, visit(1, "http://probe.test/", &server)).await;
        assert_eq!(reply.unwrap().status, 204);
        let endless = format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(100_000));
        let server = Server::start(None, move |_, line, _| {
            line.answer_request(&endless);
        });
        let (_, reply) = fetch(&mut driver, visit(2, "http://probe.test/", &server)).await;
        assert_eq!(reply.unwrap_err().as_ref(), "its reply is too long");
        let server = Server::start(None, |_, _, _| std::thread::sleep(Duration::from_secs(20)));
        let began = Instant::now();
        let (_, reply) = fetch(&mut driver, visit(3, "http://probe.test/", &server)).await;
        assert_eq!(reply.unwrap_err().as_ref(), "no reply in time");
        assert!(began.elapsed() < Duration::from_secs(6));
        // Somewhere else than on its link there is no way to it.
        let server = Server::start(None, |_, line, _| {
            line.answer_request("HTTP/1.0 204 No Content\r\n\r\n");
        });
        let mut elsewhere = visit(4, "http://probe.test/", &server);
        elsewhere.link.id = Some(LinkId {
            index: 999_999,
            birth: 1,
        });
        let (_, reply) = fetch(&mut driver, elsewhere).await;
        assert_eq!(reply.unwrap_err().as_ref(), "its link is gone");
    });
}

#[test]
fn one_visit_comes_after_the_other() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let server = Server::start(None, |_, line, _| {
            std::thread::sleep(Duration::from_millis(50));
            line.answer_request("HTTP/1.0 204 No Content\r\n\r\n");
        });
        let mut visits = Visits::default();
        for id in 0..3 {
            visits.begin(&mut driver, visit(id, "http://probe.test/", &server));
        }
        for id in 0..3 {
            let (done, reply) = visits.next().await;
            assert_eq!((done, reply.unwrap().status), (VisitId(id), 204));
            let begun = usize::try_from(id).unwrap() + 1;
            assert!(server.count() <= begun + 1, "{}", server.count());
        }
    });
}
