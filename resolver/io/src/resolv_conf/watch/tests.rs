//! Is every way noticed in which a watched file can change?

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// Far above what a change needs; a test that meets it has failed.
const PATIENCE: Duration = Duration::from_secs(10);

fn bytes(text: &str) -> Contents {
    Contents::Bytes(text.as_bytes().to_vec())
}

async fn next(watch: &mut FileWatch) -> Contents {
    tokio::time::timeout(PATIENCE, watch.changed())
        .await
        .expect("the change is seen")
}

#[tokio::test]
async fn a_write_a_rename_and_a_removal_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    let mut watch = FileWatch::new(&path).unwrap();
    assert_eq!(watch.contents(), Contents::Missing);
    fs::write(&path, "one").unwrap();
    assert_eq!(next(&mut watch).await, bytes("one"));
    fs::write(dir.path().join("new"), "two").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(next(&mut watch).await, bytes("two"));
    fs::remove_file(&path).unwrap();
    assert_eq!(next(&mut watch).await, Contents::Missing);
}

#[tokio::test]
async fn a_flipped_symlink_and_a_write_behind_it_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (etc, run) = (dir.path().join("etc"), dir.path().join("run"));
    for dir in [&etc, &run] {
        fs::create_dir(dir).unwrap();
    }
    let path = etc.join("resolv.conf");
    fs::write(run.join("a"), "a").unwrap();
    fs::write(run.join("b"), "b").unwrap();
    symlink("../run/a", &path).unwrap();
    let mut watch = FileWatch::new(&path).unwrap();
    assert_eq!(watch.contents(), bytes("a"));
    fs::write(run.join("a"), "a2").unwrap();
    assert_eq!(next(&mut watch).await, bytes("a2"));
    symlink("../run/b", etc.join("new")).unwrap();
    fs::rename(etc.join("new"), &path).unwrap();
    assert_eq!(next(&mut watch).await, bytes("b"));
    fs::write(run.join("a"), "a3").unwrap();
    fs::write(run.join("c"), "b2").unwrap();
    fs::rename(run.join("c"), run.join("b")).unwrap();
    assert_eq!(next(&mut watch).await, bytes("b2"));
}

#[tokio::test]
async fn a_target_in_a_directory_that_appears_later_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    symlink("run/systemd/resolve/stub", &path).unwrap();
    let mut watch = FileWatch::new(&path).unwrap();
    assert_eq!(watch.contents(), Contents::Missing);
    let target = dir.path().join("run/systemd/resolve");
    fs::create_dir_all(&target).unwrap();
    fs::write(target.join("stub"), "late").unwrap();
    assert_eq!(next(&mut watch).await, bytes("late"));
}

#[tokio::test]
async fn the_same_contents_and_other_files_are_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    fs::write(&path, "one").unwrap();
    let mut watch = FileWatch::new(&path).unwrap();
    assert_eq!(watch.contents(), bytes("one"));
    fs::write(dir.path().join("other"), "x").unwrap();
    fs::write(&path, "one").unwrap();
    let early = tokio::time::timeout(REST * 4, watch.changed()).await;
    assert!(early.is_err(), "{early:?}");
    fs::write(&path, "two").unwrap();
    assert_eq!(next(&mut watch).await, bytes("two"));
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    let mut watch = FileWatch::new(&path).unwrap();
    assert_eq!(watch.contents(), Contents::Missing);
    fs::write(&path, "one").unwrap();
    // Each wait is too short for the file's rest.
    for _ in 0..3 {
        let early = tokio::time::timeout(Duration::from_millis(1), watch.changed()).await;
        assert!(early.is_err(), "{early:?}");
    }
    assert_eq!(next(&mut watch).await, bytes("one"));
}
