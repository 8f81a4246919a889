//! Which user is meant by a name? [`Account::find`].
//!
//! The user that packages make stands in the machine's own table. It is read first, and by ourselves: to ask the C library means
//! to load whatever knows users of other machines, which costs more than the rest of a start and stays in memory.

#![expect(
    clippy::disallowed_methods,
    reason = "the table of users is a file, read before anything else is opened"
)]

use std::io;

use nix::unistd::{Gid, Uid, User};

/// The machine's own users (passwd(5)).
const TABLE: &str = "/etc/passwd";

/// A user that one can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
}

impl Account {
    /// Finds a user, wherever users come from.
    pub(super) fn find(name: &str) -> io::Result<Option<Self>> {
        if let Some(account) = Self::of_machine(name) {
            return Ok(Some(account));
        }
        let user = User::from_name(name)?;
        Ok(user.map(|user| Self {
            uid: user.uid,
            gid: user.gid,
        }))
    }

    /// Finds a user of this machine.
    pub(super) fn of_machine(name: &str) -> Option<Self> {
        let table = std::fs::read(TABLE).ok()?;
        Self::in_table(&table, name)
    }

    fn in_table(table: &[u8], name: &str) -> Option<Self> {
        let lines = table.split(|octet| *octet == b'\n');
        lines
            .filter_map(|line| std::str::from_utf8(line).ok())
            .find_map(|line| {
                // Name, password, uid, gid, and more.
                let mut fields = line.split(':');
                if fields.next() != Some(name) || name.is_empty() {
                    return None;
                }
                let mut numbers = fields.skip(1).map(|field| field.parse().ok());
                let (uid, gid) = (numbers.next()??, numbers.next()??);
                Some(Self {
                    uid: Uid::from_raw(uid),
                    gid: Gid::from_raw(gid),
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_his_whole_name_and_only_with_both_numbers() {
        let table = "root:x:0:0:root:/root:/bin/sh\nlinnetx:x:1:2::/:\n#linnet:x:3:4::/:\nlinnet:x:x:1\nlinnet:x:997:996:ä:/:/bin/false\n+::::::\n:x:5:6::/:\n";
        let found = |name| {
            let account = Account::in_table(table.as_bytes(), name);
            account.map(|account| (account.uid.as_raw(), account.gid.as_raw()))
        };
        assert_eq!(found("root"), Some((0, 0)));
        assert_eq!(found("linnet"), Some((997, 996)));
        for nobody in ["", "+", "lin", "x", "nobody"] {
            assert_eq!(found(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn the_machines_own_table_says_what_the_system_says() {
        for name in ["root", "nobody", "daemon", "no-such-user"] {
            let said = User::from_name(name).unwrap();
            let said = said.map(|user| (user.uid, user.gid));
            let found = Account::find(name).unwrap();
            assert_eq!(found.map(|found| (found.uid, found.gid)), said, "{name}");
        }
    }
}
