//! Tells the linker which functions of linnetd lie beside one another. Nothing depends on it but how much memory and time a start takes.
//!
//! Whether the linker takes such a list is found out: a program of nothing is linked with a short one, as rustc will link linnetd. It is never
//! an error; what is wrong with a linker is for the build itself to say.

#![expect(
    clippy::disallowed_methods,
    reason = "it is by the environment that a build script is told"
)]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Says no when functions are to lie as the linker has them.
const SWITCH: &str = "LINNET_ORDER";

/// A list in the form of `dist/linnetd.ld`.
const SHORT: &str = "SECTIONS
{
  .text.early :
  {
    *(.text._ZN5order4main17h*)
    *(.text._ZN66_$LT$order..Program$u20$as$u20$core..ops..function..Fn$LT$T$GT$$GT$4call17h*)
    *(.text._ZN3std2rt10lang_start17h033a2c35ea0713c2E*)
  }
}
INSERT BEFORE .text;
";

/// How much of a linker's words is told.
const WORDS: usize = 200;

fn main() {
    println!("cargo::rerun-if-env-changed={SWITCH}");
    println!("cargo::rerun-if-changed=src/build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") || is(SWITCH, "no") {
        return;
    }
    let (Ok(project), Ok(out)) = (env::var("CARGO_MANIFEST_DIR"), env::var("OUT_DIR")) else {
        return;
    };
    let script = Path::new(&project).join("dist/linnetd.ld");
    if !script.exists() {
        return;
    }
    println!("cargo::rerun-if-changed=dist/linnetd.ld");
    match try_linker(Path::new(&out)) {
        Ok(()) => {
            println!("cargo::rustc-link-arg-bin=linnetd=-T");
            println!("cargo::rustc-link-arg-bin=linnetd={}", script.display());
        }
        Err(why) => println!(
            "cargo::warning=the functions of linnetd are not ordered, so that a start is slower: a link with a list of them failed \
             ({why}); {SWITCH}=no builds so without this warning"
        ),
    }
}

/// Links a program of nothing with a short list, by whatever links linnetd: the compiler chooses the linker by the same flags. The error is
/// what was said, in one line.
fn try_linker(out: &Path) -> Result<(), String> {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let (script, source) = (out.join("order.ld"), out.join("order.rs"));
    let written = fs::write(&script, SHORT).and_then(|()| fs::write(&source, "fn main() {}\n"));
    written.map_err(|error| format!("{}: {error}", out.display()))?;
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    if var("TARGET") != var("HOST") {
        rustc.args(["--target", &var("TARGET")]);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut flag = OsString::from("-Clinker=");
        flag.push(linker);
        rustc.arg(flag);
    }
    let flags = var("CARGO_ENCODED_RUSTFLAGS");
    rustc
        .args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()))
        .args(["--edition=2024", "--cap-lints=allow", "-Clink-arg=-T"])
        .arg("-C")
        .arg(format!("link-arg={}", script.display()))
        .arg("-o")
        .arg(out.join("order"))
        .arg(&source)
        .stdin(Stdio::null());
    let ended = rustc.output();
    let ended = ended.map_err(|error| format!("rustc does not start: {error}"))?;
    match ended.status.success() {
        true => Ok(()),
        false => Err(reason(&String::from_utf8_lossy(&ended.stderr))),
    }
}

/// Returns what the linker says is wrong; where it says nothing, what the compiler says.
fn reason(said: &str) -> String {
    let lines = || {
        let lines = said.lines().map(str::trim);
        lines.map(|line| line.trim_start_matches("= note: "))
    };
    let is_linkers = |line: &&str| {
        ["error: ", "fatal: "]
            .iter()
            .any(|word| line.contains(word))
            && !line.starts_with("error: ")
    };
    let line = lines()
        .find(is_linkers)
        .or_else(|| lines().find(|line| !line.is_empty()));
    line.unwrap_or("it says nothing")
        .chars()
        .take(WORDS)
        .collect()
}
