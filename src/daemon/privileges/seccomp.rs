//! Which calls of the kernel has a resolver no use for? They fail with EPERM from here on.
//!
//! A list of what is denied, not of what is allowed: a libc that learns a new call must not stop name resolution. What is
//! denied is what turns a bug into a takeover: other programs, other processes, mounts, modules, namespaces, raw memory.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Why a filter is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeccompError {
    /// It cannot be translated.
    #[error("the filter cannot be translated")]
    Backend(#[from] seccompiler::BackendError),
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

/// Confines the calling thread and all that it starts.
pub(super) fn confine(role: Role) -> Result<(), SeccompError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules = BTreeMap::new();
    let more: &[&[libc::c_long]] = match role {
        Role::Alone => &[],
        Role::Daemon => &[DENIED_TO_DAEMON],
        Role::Helper => &[DENIED_TO_DAEMON, DENIED_TO_HELPER],
    };
    for list in [DENIED, DENIED_HERE].iter().chain(more) {
        for &call in *list {
            rules.insert(call, Vec::new());
        }
    }
    if role != Role::Helper {
        let mut namespaces = Vec::new();
        for bit in (0..31)
            .map(|bit| 1 << bit)
            .filter(|bit| NAMESPACES & bit != 0)
        {
            let bit = u64::from(bit.cast_unsigned());
            let has = SeccompCondition::new(
                0,
                SeccompCmpArgLen::Qword,
                SeccompCmpOp::MaskedEq(bit),
                bit,
            )?;
            namespaces.push(SeccompRule::new(vec![has])?);
        }
        rules.insert(libc::SYS_clone, namespaces);
    }
    install(rules, libc::EPERM, arch)?;
    // clone3 hides its flags in memory; libc falls back to clone when the kernel does not know it.
    install(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        libc::ENOSYS,
        arch,
    )?;
    #[cfg(target_arch = "x86_64")]
    apply_filter(&x32())?;
    Ok(())
}

fn install(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: libc::c_int,
    arch: TargetArch,
) -> Result<(), SeccompError> {
    let deny = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, arch)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)?;
    Ok(())
}

/// Denies the second set of numbers (x32) under which x86-64 kernels may know the same calls.
#[cfg(target_arch = "x86_64")]
fn x32() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let one = |code, jt, k| seccompiler::sock_filter { code, jt, jf: 0, k };
    vec![
        one(LOAD_NUMBER, 0, 0),
        one(JUMP_IF_AT_LEAST, 1, X32_BIT),
        one(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        one(
            RETURN,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned(),
        ),
    ]
}
