//! Does the program give every call the fate that the lists say?

use super::*;

/// Runs the program as the kernel does.
fn run(filter: &[sock_filter], processor: u32, number: u32, argument: u32) -> u32 {
    let (mut at, mut held) = (0, 0);
    loop {
        let step = &filter[at];
        let taken = match step.code {
            LOAD => {
                held = match step.k {
                    NUMBER_AT => number,
                    PROCESSOR_AT => processor,
                    FIRST_ARGUMENT_AT => argument,
                    _ => panic!("nothing else is looked at"),
                };
                true
            }
            JUMP_IF_EQUAL => held == step.k,
            JUMP_IF_AT_LEAST => held >= step.k,
            JUMP_IF_ANY_BIT => held & step.k != 0,
            RETURN => return step.k,
            _ => panic!("no such instruction"),
        };
        at += 1 + usize::from(if taken { step.jt } else { step.jf });
    }
}

#[test]
fn every_number_has_the_fate_that_the_lists_give_it() {
    const HERE: u32 = 77;
    let errno = |errno: libc::c_int| libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    for role in [Role::Alone, Role::Daemon, Role::Helper] {
        let fates = fates(role);
        assert!(fates.len() > DENIED.len());
        let filter = program(HERE, &fates).unwrap();
        for number in (0..1000).chain([u32::MAX >> 2, X32_BIT - 1]) {
            for argument in [
                0,
                libc::SIGCHLD,
                libc::CLONE_NEWNET,
                libc::CLONE_NEWUSER | 1,
            ] {
                let argument = argument.cast_unsigned();
                let makes = argument & NAMESPACES.cast_unsigned() != 0;
                let expected = match fates.get(&number) {
                    Some(Fate::Denied) => errno(libc::EPERM),
                    Some(Fate::Missing) => errno(libc::ENOSYS),
                    Some(Fate::NoNamespace) if makes => errno(libc::EPERM),
                    Some(Fate::NoNamespace) | None => libc::SECCOMP_RET_ALLOW,
                };
                let got = run(&filter, HERE, number, argument);
                assert_eq!(got, expected, "{role:?} {number} {argument:x}");
                let elsewhere = run(&filter, HERE + 1, number, argument);
                assert_eq!(elsewhere, libc::SECCOMP_RET_KILL_PROCESS);
            }
        }
        if cfg!(target_arch = "x86_64") {
            for number in [X32_BIT, X32_BIT | 59, u32::MAX] {
                assert_eq!(run(&filter, HERE, number, 0), errno(libc::EPERM));
            }
        }
        assert!(filter.len() < 250, "{}", filter.len());
    }
}

#[test]
fn what_nobody_may_is_in_the_program() {
    let fate = |role, call: libc::c_long| {
        let fates = fates(role);
        fates.get(&u32::try_from(call).unwrap()).copied()
    };
    for role in [Role::Alone, Role::Daemon, Role::Helper] {
        assert_eq!(fate(role, libc::SYS_execve), Some(Fate::Denied));
        assert_eq!(fate(role, libc::SYS_clone3), Some(Fate::Missing));
        assert_eq!(fate(role, libc::SYS_sendmmsg), None);
    }
    assert_eq!(fate(Role::Daemon, libc::SYS_clone), Some(Fate::NoNamespace));
    assert_eq!(fate(Role::Helper, libc::SYS_clone), Some(Fate::Denied));
    assert_eq!(fate(Role::Helper, libc::SYS_socket), Some(Fate::Denied));
    assert_eq!(fate(Role::Daemon, libc::SYS_setuid), Some(Fate::Denied));
    assert_eq!(fate(Role::Alone, libc::SYS_setuid), None);
}
