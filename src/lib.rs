//! The client's side of linnet: the types of its control interface.
//!
//! See [`api`].

pub mod api;
