//! What does the driver itself cost? A stub that answers every question with its own bytes and the QR bit set.
//!
//! `echo [ADDRESS:PORT]`, by default at `$RIG_LISTEN:$RIG_PORT` as the bench rig gives them. It resolves nothing.

use std::error::Error;
use std::net::SocketAddr;

use resolver::{Answer, Stub};
use resolver_io::{Driver, Input, Listen};

/// Octet of the header that holds QR, and its bit (RFC 1035 §4.1.1).
const QR: (usize, u8) = (2, 0x80);

fn main() -> Result<(), Box<dyn Error>> {
    let variable =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let address = match std::env::args().nth(1) {
        Some(address) => address,
        None => format!(
            "{}:{}",
            variable("RIG_LISTEN", "127.0.0.53"),
            variable("RIG_PORT", "53")
        ),
    };
    let address: SocketAddr = address.parse()?;
    let stub = Stub::Main;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut driver = Driver::bind(&[Listen { address, stub }])?;
        loop {
            driver.ready().await;
            while let Some(input) = driver.poll_input() {
                let Input::Query { client, wire, .. } = input else {
                    continue;
                };
                let mut wire = wire.to_vec();
                if let Some(octet) = wire.get_mut(QR.0) {
                    *octet |= QR.1;
                }
                driver.answer(Answer { client, wire });
            }
            driver.finish_round();
        }
    })
}
