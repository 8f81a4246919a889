//! Which calls of the kernel has a resolver no use for? They fail with EPERM from here on.
//!
//! A list of what is denied, not of what is allowed: a libc that learns a new call must not stop name resolution. What is
//! denied is what turns a bug into a takeover: other programs, other processes, mounts, modules, namespaces, raw memory.

use std::collections::BTreeMap;

use seccompiler::{apply_filter, sock_filter};

/// Why a filter is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeccompError {
    /// Its numbers are another processor's.
    #[error("the filter does not know this processor")]
    Processor,
    /// There are more calls than one program can tell apart.
    #[error("the filter is too long")]
    TooLong,
    /// The kernel does not take it.
    #[error("the kernel does not take the filter")]
    Install(#[from] seccompiler::Error),
}

/// Who is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The daemon beside a helper.
    Daemon,
    /// The daemon without one.
    Alone,
    /// The root helper.
    Helper,
}

/// Denied to all.
const DENIED: &[libc::c_long] = &[
    // other programs and other processes
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    // mounts, namespaces, handles that walk around paths
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    // the kernel itself
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_userfaultfd,
    libc::SYS_memfd_secret,
    // a second way to every call
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // keys, clocks, names; adjtimex is the daemon's way to learn whether the clock is synchronised, and sets nothing without
    // CAP_SYS_TIME, which nobody here has
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // devices
    libc::SYS_mknodat,
];

#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[libc::c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_mknod,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[libc::c_long] = &[];

/// Denied to a daemon that has become somebody: becoming somebody else, and what the helper is for.
const DENIED_TO_DAEMON: &[libc::c_long] = &[
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_fanotify_init,
];

/// Denied to the helper: the clock, every socket but the pair that it has, and all processes but itself.
const DENIED_TO_HELPER: &[libc::c_long] = &[
    libc::SYS_adjtimex,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_clone,
    libc::SYS_kill,
    libc::SYS_tkill,
];

/// Namespaces that `clone` could make.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// The processor as the kernel names it (AUDIT_ARCH_*): a program of another one has other numbers.
#[cfg(target_arch = "x86_64")]
const PROCESSOR: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const PROCESSOR: Option<u32> = Some(0xc000_00b7);
#[cfg(target_arch = "riscv64")]
const PROCESSOR: Option<u32> = Some(0xc000_00f3);
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
const PROCESSOR: Option<u32> = None;
/// The bit of the second set of numbers (x32) under which x86-64 kernels may know the same calls.
const X32_BIT: u32 = 0x4000_0000;

/// Where the number, the processor and the lower half of the first argument are in what the kernel shows (`struct seccomp_data`).
const NUMBER_AT: u32 = 0;
const PROCESSOR_AT: u32 = 4;
const FIRST_ARGUMENT_AT: u32 = 16;

/// Instructions: load a word, jump, return.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Confines the calling thread and all that it starts.
pub(super) fn confine(role: Role) -> Result<(), SeccompError> {
    let processor = PROCESSOR.ok_or(SeccompError::Processor)?;
    apply_filter(&program(processor, &fates(role))?)?;
    Ok(())
}

/// What becomes of a call that is not simply let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// EPERM.
    Denied,
    /// ENOSYS: `clone3` hides its flags in memory, and libc falls back to `clone` when the kernel does not know it.
    Missing,
    /// EPERM if it would make a namespace.
    NoNamespace,
}

fn fates(role: Role) -> BTreeMap<u32, Fate> {
    let more: &[&[libc::c_long]] = match role {
        Role::Alone => &[],
        Role::Daemon => &[DENIED_TO_DAEMON],
        Role::Helper => &[DENIED_TO_DAEMON, DENIED_TO_HELPER],
    };
    let number = |call: libc::c_long| u32::try_from(call).ok();
    let lists = [DENIED, DENIED_HERE]
        .into_iter()
        .chain(more.iter().copied());
    let mut fates: BTreeMap<u32, Fate> = lists
        .flatten()
        .filter_map(|call| Some((number(*call)?, Fate::Denied)))
        .collect();
    let others = [
        (libc::SYS_clone, Fate::NoNamespace),
        (libc::SYS_clone3, Fate::Missing),
    ];
    for (call, fate) in others {
        // A call that is denied stays so.
        if let Some(number) = number(call) {
            fates.entry(number).or_insert(fate);
        }
    }
    fates
}

/// A place in the program to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Next,
    At(usize),
    Allow,
    Fate(Fate),
}

/// An instruction whose jumps are not counted yet.
#[derive(Debug, Clone, Copy)]
struct Step {
    code: u16,
    k: u32,
    then: To,
    otherwise: To,
}

impl Step {
    fn load(at: u32) -> Self {
        Self::jump(LOAD, at, To::Next, To::Next)
    }

    fn jump(code: u16, k: u32, then: To, otherwise: To) -> Self {
        Self {
            code,
            k,
            then,
            otherwise,
        }
    }

    fn end(k: u32) -> Self {
        Self::jump(RETURN, k, To::Next, To::Next)
    }
}

/// Makes the program. It halves the calls at each step: the kernel runs it for every number there is when it takes it, and a row of
/// a hundred comparisons would be a part of each start.
fn program(processor: u32, fates: &BTreeMap<u32, Fate>) -> Result<Vec<sock_filter>, SeccompError> {
    let mut steps = vec![
        Step::load(PROCESSOR_AT),
        Step::jump(JUMP_IF_EQUAL, processor, To::At(3), To::Next),
        Step::end(libc::SECCOMP_RET_KILL_PROCESS),
        Step::load(NUMBER_AT),
    ];
    if cfg!(target_arch = "x86_64") {
        let denied = To::Fate(Fate::Denied);
        steps.push(Step::jump(JUMP_IF_AT_LEAST, X32_BIT, denied, To::Next));
    }
    let fates: Vec<(u32, Fate)> = fates.iter().map(|(call, fate)| (*call, *fate)).collect();
    halve(&fates, &mut steps);
    let namespace = steps.len();
    let bits = NAMESPACES.cast_unsigned();
    let denied = To::Fate(Fate::Denied);
    let errno = |errno: libc::c_int| libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    steps.extend([
        Step::load(FIRST_ARGUMENT_AT),
        Step::jump(JUMP_IF_ANY_BIT, bits, denied, To::Allow),
        Step::end(libc::SECCOMP_RET_ALLOW),
        Step::end(errno(libc::EPERM)),
        Step::end(errno(libc::ENOSYS)),
    ]);
    let place = |to: To, next: usize| match to {
        To::Next => next,
        To::At(place) => place,
        To::Fate(Fate::NoNamespace) => namespace,
        To::Allow => namespace + 2,
        To::Fate(Fate::Denied) => namespace + 3,
        To::Fate(Fate::Missing) => namespace + 4,
    };
    let filter = steps.iter().enumerate().map(|(at, step)| {
        let distance = |to| u8::try_from(place(to, at + 1) - (at + 1));
        Ok(sock_filter {
            code: step.code,
            k: step.k,
            jt: distance(step.then)?,
            jf: distance(step.otherwise)?,
        })
    });
    let filter: Result<_, std::num::TryFromIntError> = filter.collect();
    filter.map_err(|_| SeccompError::TooLong)
}

/// Tells these calls apart, by their numbers in order.
fn halve(fates: &[(u32, Fate)], steps: &mut Vec<Step>) {
    let (low, high) = fates.split_at(fates.len() / 2);
    match (low, high) {
        ([], [(call, fate)]) => {
            steps.push(Step::jump(JUMP_IF_EQUAL, *call, To::Fate(*fate), To::Allow));
        }
        (_, [(first, _), ..]) => {
            let at = steps.len();
            steps.push(Step::jump(JUMP_IF_AT_LEAST, *first, To::Next, To::Next));
            halve(low, steps);
            let right = steps.len();
            if let Some(step) = steps.get_mut(at) {
                step.then = To::At(right);
            }
            halve(high, steps);
        }
        (_, []) => {}
    }
}

#[cfg(test)]
mod tests;
