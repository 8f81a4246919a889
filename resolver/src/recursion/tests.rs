//! Recursion against a simulated Internet.
