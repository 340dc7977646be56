use super::*;

/// The mode of the directory that a server gets at `path`.
async fn mode(path: &Path, entry: Entry) -> u32 {
    let storage = Storage::Kept(path.to_owned());
    let directory = ServerDirectory::open(&storage, "test", entry)
        .await
        .unwrap();
    fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn nobody_else_looks_around_in_a_new_directory_nor_in_one_that_was_open() {
    let temp = std::env::temp_dir().join(format!("adtally-entry-{}", random_word(8)));
    let (new, old) = (temp.join("above/new"), temp.join("old"));
    assert_eq!(mode(&new, Entry::Closed).await, 0o700);
    for (before, entry, after) in [
        (0o755, Entry::Closed, 0o700),
        (0o777, Entry::Passing, 0o711),
        (0o700, Entry::Passing, 0o700),
    ] {
        fs::create_dir(&old).unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(before)).unwrap();
        assert_eq!(mode(&old, entry).await, after, "{before:o} {entry:?}");
        fs::remove_dir_all(&old).unwrap();
    }
    fs::remove_dir_all(&temp).unwrap();
}
