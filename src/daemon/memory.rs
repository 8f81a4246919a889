//! How is memory given back that was needed for a moment only? A configuration takes far more while it is read than afterwards.

/// Gives free memory back to the system; the C library keeps it otherwise, for ever, in the daemon as in the helper.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and what is in use stays where it is.
    unsafe {
        libc::malloc_trim(0);
    }
}
