//! Eleven ways to change a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::Folder;

/// How a file is changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    InPlace,
    InPieces,
    Rename,
    Editor,
    RemoveAndMake,
    Append,
    KeepingTimeAndLength,
    HardLink,
    SymlinkSwap,
    LinkTarget,
    ConfigMap,
}

impl Way {
    pub(super) const ALL: [Self; 11] = [
        Self::InPlace,
        Self::InPieces,
        Self::Rename,
        Self::Editor,
        Self::RemoveAndMake,
        Self::Append,
        Self::KeepingTimeAndLength,
        Self::HardLink,
        Self::SymlinkSwap,
        Self::LinkTarget,
        Self::ConfigMap,
    ];
}

/// A configuration at one path, which is changed in all ways.
pub(super) struct Written {
    folder: Folder,
    path: PathBuf,
    written: u32,
}

impl Written {
    pub(super) fn new(text: &str) -> Self {
        let folder = Folder::new();
        let path = folder.file("limiter.toml");
        fs::write(&path, text).unwrap();
        Self { folder, path, written: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes the file in that way, and returns how long that took. The text of the way
    /// `Append` begins with the one before.
    pub(super) fn write(&mut self, way: Way, text: &str) -> Duration {
        let begun = Instant::now();
        self.written += 1;
        self.write_to(way, text);
        begun.elapsed()
    }

    fn write_to(&self, way: Way, text: &str) {
        let other = self.folder.file(&format!("other-{}", self.written));
        match way {
            Way::InPlace => fs::write(&self.path, text).unwrap(),
            Way::InPieces => write_in_pieces(&self.path, text),
            Way::Rename => {
                fs::write(&other, text).unwrap();
                fs::rename(&other, &self.path).unwrap();
            }
            // As vim does: the file is moved away, written anew, and its mode set.
            Way::Editor => {
                fs::rename(&self.path, &other).unwrap();
                fs::write(&self.path, text).unwrap();
                fs::set_permissions(&self.path, PermissionsExt::from_mode(0o600)).unwrap();
                fs::remove_file(&other).unwrap();
            }
            Way::RemoveAndMake => {
                fs::remove_file(&self.path).unwrap();
                thread::sleep(Duration::from_millis(150));
                fs::write(&self.path, text).unwrap();
            }
            Way::Append => {
                let old = fs::read_to_string(&self.path).unwrap();
                let added = text.strip_prefix(&old).expect("it is appended");
                let mut file = OpenOptions::new().append(true).open(&self.path).unwrap();
                file.write_all(added.as_bytes()).unwrap();
            }
            Way::KeepingTimeAndLength => {
                let modified = fs::metadata(&self.path).unwrap().modified().unwrap();
                fs::write(&self.path, text).unwrap();
                let file = File::options().write(true).open(&self.path).unwrap();
                file.set_modified(modified).unwrap();
            }
            Way::HardLink => {
                fs::write(&other, text).unwrap();
                fs::remove_file(&self.path).unwrap();
                fs::hard_link(&other, &self.path).unwrap();
            }
            Way::SymlinkSwap => {
                fs::write(&other, text).unwrap();
                self.link(&other);
            }
            Way::LinkTarget => {
                if !self.path.is_symlink() {
                    fs::copy(&self.path, &other).unwrap();
                    self.link(&other);
                }
                fs::write(fs::canonicalize(&self.path).unwrap(), text).unwrap();
            }
            Way::ConfigMap => self.swap_config_map(text),
        }
    }

    /// As Kubernetes does: `limiter.toml -> ..data/limiter.toml`, `..data -> ..2026`.
    fn swap_config_map(&self, text: &str) {
        let version = self.folder.file(&format!("..{}", self.written));
        fs::create_dir(&version).unwrap();
        fs::write(version.join("limiter.toml"), text).unwrap();
        let (data, new) = (self.folder.file("..data"), self.folder.file("..data_tmp"));
        symlink(&version, &new).unwrap();
        fs::rename(&new, &data).unwrap();
        let link = fs::read_link(&self.path).ok();
        if link.as_deref() != Some(&data.join("limiter.toml")) {
            self.link(&data.join("limiter.toml"));
        }
    }

    fn link(&self, target: &Path) {
        let new = self.folder.file("new-link");
        symlink(target, &new).unwrap();
        fs::rename(&new, &self.path).unwrap();
    }
}

/// Truncates the file and writes it anew, with time between.
fn write_in_pieces(path: &Path, text: &str) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.set_len(0).unwrap();
    file.rewind().unwrap();
    for piece in text.as_bytes().chunks(text.len().div_ceil(3)) {
        thread::sleep(Duration::from_millis(100));
        file.write_all(piece).unwrap();
    }
}
