//! What does the linker need to know? That panics are unwound by code of ours: the library that has it otherwise costs each start more
//! than its loading, for it asks what processor this is, and in a virtual machine each such question goes to the host.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|said| said == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        // It comes with the compiler that links us, as the other one does.
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}
