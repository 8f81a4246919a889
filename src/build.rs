//! Tells the linker which functions of linnetd lie beside one another. Nothing depends on it but how much memory and time a start takes.

#![expect(
    clippy::disallowed_methods,
    reason = "it is by the environment that a build script is told"
)]

use std::env;
use std::path::Path;

/// Says no when a linker is used that takes no script with `INSERT`: GNU ld and LLVM's lld do, mold and gold do not.
const SWITCH: &str = "LINNET_ORDER";

fn main() {
    println!("cargo::rerun-if-env-changed={SWITCH}");
    println!("cargo::rerun-if-changed=src/build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let linker = env::var("RUSTC_LINKER").unwrap_or_default();
    let other_linker = ["mold", "wild", "ld.gold", "fuse-ld=gold"]
        .iter()
        .any(|name| flags.contains(name) || linker.contains(name));
    if !is("PROFILE", "release")
        || !is("CARGO_CFG_TARGET_OS", "linux")
        || is(SWITCH, "no")
        || other_linker
    {
        return;
    }
    let Ok(project) = env::var("CARGO_MANIFEST_DIR") else {
        return;
    };
    let script = Path::new(&project).join("dist/linnetd.ld");
    if !script.exists() {
        return;
    }
    println!("cargo::rerun-if-changed=dist/linnetd.ld");
    println!("cargo::rustc-link-arg-bin=linnetd=-T");
    println!("cargo::rustc-link-arg-bin=linnetd={}", script.display());
}
