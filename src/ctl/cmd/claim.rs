//! `linnet claim` and `linnet withdraw`: a layer of DNS settings with an owner, made at run time.
//!
//! A claim that is not persistent lives as long as the connection that made it; the command holds it open until it is
//! ended, so that a crashed VPN script cannot leave its servers behind.

use std::io::Write;

use linnet::api::{ClaimParameters, WithdrawParameters};
use serde::de::IgnoredAny;

use crate::connection::{CallError, Connection};
use crate::options::Claim;
use crate::output::Output;
use crate::{Exit, Failed};

/// Runs `claim`.
pub(crate) fn run(
    connection: &mut Connection,
    claim: Claim,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let persistent = claim.persistent;
    let parameters = ClaimParameters {
        owner: claim.owner,
        link: claim.link,
        upstreams: claim.upstreams,
        claims: claim.claims,
        search: claim.search,
        exclude: claim.exclude,
        default: claim.default,
        when_down: claim.when_down,
        priority: claim.priority,
        persistent,
    };
    connection.call::<IgnoredAny>("Claim", &parameters)?;
    out.show(&parameters, |claim| match persistent {
        true => format!("{} claims until it is withdrawn\n", claim.owner),
        false => format!("{} claims until this command ends\n", claim.owner),
    })?;
    if !persistent {
        connection.hold()?;
    }
    Ok(Exit::Success)
}

/// Runs `withdraw`.
pub(crate) fn withdraw(
    connection: &mut Connection,
    owner: String,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let parameters = WithdrawParameters { owner };
    connection.call::<IgnoredAny>("Withdraw", &parameters)?;
    out.show(&parameters, |parameters| {
        format!("{} is withdrawn\n", parameters.owner)
    })?;
    Ok(Exit::Success)
}

impl Connection {
    /// Keeps the connection open until the daemon closes it.
    fn hold(&mut self) -> Result<(), CallError> {
        self.wait_forever()?;
        match self.receive::<serde_json::Value>() {
            Ok(_) | Err(CallError::Closed) => Err(CallError::Closed),
            Err(error) => Err(error),
        }
    }
}
