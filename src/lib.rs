//! What the two binaries share: the types of the control interface, and reading the configuration's directories.
//!
//! See [`api`] for clients.

pub mod api;
pub mod config_dirs;
