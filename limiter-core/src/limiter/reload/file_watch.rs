//! The content of watched files, as a number that changes with it.
//!
//! Files are read, not watched through the kernel: of eleven ways to change a file,
//! notifications about it see four and about its folder nine, neither a Kubernetes
//! `ConfigMap` behind a link into another folder. Reading follows the links, each time.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A file that changed so recently is read again: two changes may have one time.
const YOUNG: Duration = Duration::from_secs(2);

/// Reads files where their metadata differ from what they were.
#[derive(Debug, Default)]
pub(super) struct FileWatch {
    known: HashMap<PathBuf, Known>,
}

#[derive(Debug)]
struct Known {
    metadata: Signature,
    content: u64,
}

impl FileWatch {
    /// Returns a number for the content of all files: another one if one of them is
    /// changed, removed or made.
    pub(super) fn content(&mut self, files: &[PathBuf]) -> u64 {
        self.known.retain(|path, _| files.contains(path));
        let mut all = DefaultHasher::new();
        for path in files {
            // An error counts as a content, too: that it has gone is a change.
            self.content_of(path).map_err(|error| error.kind()).hash(&mut all);
        }
        all.finish()
    }

    fn content_of(&mut self, path: &Path) -> io::Result<u64> {
        let metadata = fs::metadata(path)?;
        let signature = Signature::of(&metadata);
        if let Some(known) = self.known.get(path).filter(|known| known.metadata == signature) {
            return Ok(known.content);
        }
        let mut hasher = DefaultHasher::new();
        fs::read(path)?.hash(&mut hasher);
        let content = hasher.finish();
        self.known.remove(path);
        if !signature.is_young() {
            self.known.insert(path.to_owned(), Known { metadata: signature, content });
        }
        Ok(content)
    }
}

/// The metadata by which a file is seen to be unchanged, without reading it.
#[derive(Debug, Eq, PartialEq)]
struct Signature {
    length: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and the time of the last change to the inode, which nobody can set
    /// back: a copy may keep length and time of what it replaces.
    #[cfg(unix)]
    inode: [i64; 4],
}

impl Signature {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: [
                metadata.dev().cast_signed(),
                metadata.ino().cast_signed(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ],
        }
    }

    fn is_young(&self) -> bool {
        #[cfg(unix)]
        let changed = u64::try_from(self.inode[2])
            .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .ok();
        #[cfg(not(unix))]
        let changed = None::<SystemTime>;
        let latest = self.modified.max(changed);
        latest.is_none_or(|latest| {
            latest.elapsed().is_ok_and(|age| age < YOUNG) || latest > SystemTime::now()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_keeps_length_and_time_is_seen() {
        let path = std::env::temp_dir().join(format!("limiter-watch-{}", std::process::id()));
        let mut watch = FileWatch::default();
        let mut content = || watch.content(std::slice::from_ref(&path));
        let gone = content();
        let mut seen = vec![gone];
        let old = SystemTime::now() - Duration::from_secs(1_000);
        for text in ["a = 1", "a = 2", "a = 12"] {
            fs::write(&path, text).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
            seen.push(content());
            assert_eq!(content(), seen[seen.len() - 1]);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(content(), gone);
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }
}
