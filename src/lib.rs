//! What the two binaries share: the types of the control interface, and reading what the configuration names.
//!
//! See [`api`] for clients.

pub mod anchor_files;
pub mod api;
pub mod config_dirs;
pub mod list_files;
