//! Is varlink spoken as its specification says?

use linnet::api::{Call, DEFINITION, INTERFACE, Reply};
use serde_json::{Value, json};

use super::frame::{Frames, parse_call};
use super::method::{Asked, understand};

fn call(method: &str, parameters: Value) -> Call {
    Call {
        method: method.to_owned(),
        parameters,
        more: false,
        oneway: false,
        upgrade: false,
    }
}

fn replied(asked: Asked) -> Reply {
    match asked {
        Asked::Reply(reply) => reply,
        Asked::Method(method) => panic!("a method: {method:?}"),
        Asked::Subscribe(_) | Asked::Browse(_) => panic!("a subscription"),
    }
}

#[test]
fn calls_are_cut_at_their_nul_however_they_arrive() {
    let wire = b"{\"method\":\"a.B\"}\0{\"method\":\"c.D\"}\0";
    for size in 1..=wire.len() {
        let mut frames = Frames::default();
        let mut methods = Vec::new();
        for chunk in wire.chunks(size) {
            frames.push(chunk);
            while let Some(frame) = frames.next().unwrap() {
                methods.push(parse_call(&frame).unwrap().method);
            }
        }
        assert_eq!(methods, ["a.B", "c.D"], "in pieces of {size}");
    }
}

#[test]
fn a_call_without_end_is_cut_off() {
    let mut frames = Frames::default();
    let mut cut = false;
    for _ in 0..2048 {
        frames.push(&[b' '; 1024]);
        cut |= frames.next().is_err();
    }
    assert!(cut);
}

#[test]
fn every_error_of_the_service_has_its_name_and_parameter() {
    let rows = [
        (
            call("nodots", Value::Null),
            "MethodNotFound",
            json!({"method": "nodots"}),
        ),
        (
            call("com.example.X", Value::Null),
            "InterfaceNotFound",
            json!({"interface": "com.example"}),
        ),
        (
            call("org.linnet.Manager.Nope", Value::Null),
            "MethodNotFound",
            json!({"method": "org.linnet.Manager.Nope"}),
        ),
        (
            call("org.linnet.Manager.Explain", Value::Null),
            "InvalidParameter",
            json!({"parameter": "name"}),
        ),
        (
            call("org.linnet.Manager.Explain", json!({"name": 5})),
            "InvalidParameter",
            json!({"parameter": "name"}),
        ),
        (
            call("org.linnet.Manager.Query", json!({"name": "a", "typo": 1})),
            "InvalidParameter",
            json!({"parameter": "typo"}),
        ),
        (
            call(
                "org.linnet.Manager.Query",
                json!({"name": "a", "dnssec": "yes"}),
            ),
            "InvalidParameter",
            json!({"parameter": "dnssec"}),
        ),
        (
            call("org.linnet.Manager.Subscribe", Value::Null),
            "ExpectedMore",
            Value::Null,
        ),
        (
            call(
                "org.varlink.service.GetInterfaceDescription",
                json!({"interface": "com.example"}),
            ),
            "InterfaceNotFound",
            json!({"interface": "com.example"}),
        ),
    ];
    for (call, name, parameters) in rows {
        let words = format!("{call:?}");
        let reply = replied(understand(call, true));
        assert_eq!(
            reply.error,
            Some(format!("org.varlink.service.{name}")),
            "{words}"
        );
        assert_eq!(reply.parameters, parameters, "{words}");
    }
}

#[test]
fn what_changes_something_is_for_the_privileged_only() {
    for method in [
        "Claim",
        "Withdraw",
        "Flush",
        "Reload",
        "AddNegativeAnchor",
        "RemoveNegativeAnchor",
    ] {
        let name = format!("{INTERFACE}.{method}");
        let parameters = json!({"owner": "x"});
        let reply = replied(understand(call(&name, parameters), false));
        assert_eq!(
            reply.error.as_deref(),
            Some("org.varlink.service.PermissionDenied")
        );
    }
    for method in ["Status", "Query", "Explain"] {
        let name = format!("{INTERFACE}.{method}");
        let parameters = json!({"name": "x.test"});
        let asked = understand(call(&name, parameters), false);
        assert!(matches!(asked, Asked::Method(_)), "{method}");
    }
}

#[test]
fn the_service_describes_itself() {
    let info = replied(understand(
        call("org.varlink.service.GetInfo", Value::Null),
        false,
    ));
    assert_eq!(
        info.parameters["interfaces"],
        json!(["org.varlink.service", INTERFACE])
    );
    let parameters = json!({"interface": INTERFACE});
    let described = call("org.varlink.service.GetInterfaceDescription", parameters);
    let reply = replied(understand(described, false));
    assert_eq!(reply.parameters["description"], DEFINITION);
}

#[test]
fn the_definition_names_every_method() {
    for method in [
        "Status",
        "Query",
        "Explain",
        "Claim",
        "Withdraw",
        "Flush",
        "Reload",
        "AddNegativeAnchor",
        "RemoveNegativeAnchor",
        "Subscribe",
    ] {
        assert!(
            DEFINITION.contains(&format!("method {method}(")),
            "{method}"
        );
    }
}
