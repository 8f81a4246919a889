//! linnetd.

#[cfg_attr(not(test), expect(dead_code, reason = "the event loop will call it"))]
mod helper;
#[cfg_attr(not(test), expect(dead_code, reason = "the event loop will call it"))]
mod privileges;

fn main() {}
