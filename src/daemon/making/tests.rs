//! What is tried again when a key is not there?

use linnet::config_dirs::{ConfigText, Kind, Rank};
use policy::Facts;
use policy::virtual_links::wanted;

use super::*;
use crate::helper::KeeperError;
use crate::link_keys::LinkKey;
use crate::reload;

#[test]
fn keys_that_nobody_could_read_are_read_again_and_what_a_file_says_stays() {
    let text = "[link]\nname = \"wg0\"\nkind = \"wireguard\"\nprivate-key-file = \"/e/wg0.key\"\n";
    let config = reload::config_of(vec![ConfigText {
        rank: Rank::Admin,
        kind: Kind::Profile,
        path: "/e/profiles/wg0.toml".into(),
        text: Ok(text.to_owned()),
    }]);
    let order = Order {
        wanted: wanted(&config, &Facts::default()),
        spared: Spared::default(),
        adopted: BTreeSet::new(),
        is_last: false,
    };
    assert_eq!(order.wanted.len(), 1);
    let links: Vec<_> = order.wanted.iter().map(|it| it.link.clone()).collect();
    let file = LinkKey {
        path: "/e/wg0.key".to_owned(),
        text: Err("it is not there".to_owned()),
        used: String::new(),
    };
    for (files, expected) in [
        (Err(KeeperError::NoReply), true),
        (Err(KeeperError::Failed("no memory".to_owned())), true),
        (Err(KeeperError::Gone), false),
        (Ok(vec![file]), false),
    ] {
        let said = format!("{files:?}");
        let (lacking, may_come) = lacking(&order, &Keys::of(files, &links));
        assert!(lacking.contains_key("wg0"), "{said}");
        assert_eq!(may_come, expected, "{said}");
    }
}
