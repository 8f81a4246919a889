//! The verbs, one file each.

pub(crate) mod browse;
pub(crate) mod claim;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod dnssec;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod flush;
pub(crate) mod link;
pub(crate) mod monitor;
pub(crate) mod query;
pub(crate) mod status;
