//! Lists of networks from files: `allow_files`, `block_files`, `never_ban_files`.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use figment::{Figment, Source};

use super::{Config, value_parsers::List};
use crate::{error::ConfigError, networks::Networks, subject_resolver::SubjectResolver};

/// A file that a list is to be read from.
#[derive(Clone, Debug)]
pub(crate) struct ListFile {
    key: &'static str,
    path: PathBuf,
}

pub(super) fn list_files(key: &'static str, files: &List) -> Vec<ListFile> {
    files.iter().map(|path| ListFile { key, path: PathBuf::from(path) }).collect()
}

impl Config {
    /// Makes the paths of list files, which are relative to the file that names them,
    /// absolute; those that a variable names are relative to the working directory.
    pub(super) fn resolve_list_files(&mut self, figment: &Figment) {
        for file in &mut self.list_files {
            if let Some(folder) = folder_of(figment, file.key) {
                file.path = folder.join(&file.path);
            }
        }
    }

    /// Reads the list files that are yet to be read.
    ///
    /// # Errors
    /// If one cannot be read or has a bad line, with its path and the line.
    pub(crate) fn read_list_files(&mut self) -> Result<(), ConfigError> {
        for ListFile { key, path } in std::mem::take(&mut self.list_files) {
            let path = std::path::absolute(&path).unwrap_or(path);
            self.files.push(path.clone());
            let named = |error: ConfigError| error.within(path.display()).within(key);
            let text = fs::read_to_string(&path)
                .map_err(|error| named(ConfigError::new(format!("cannot be read: {error}"))))?;
            let networks = Networks::parse_list(&text).map_err(named)?;
            let shown = format!("{} networks (digest {:016x})", networks.len(), digest(&text));
            self.texts.insert(&format!("{key} {}", path.display()), shown);
            let list = list_of(&mut self.rules.identity, key);
            *list = std::mem::take(list).merged(networks);
        }
        Ok(())
    }
}

fn list_of<'a>(identity: &'a mut SubjectResolver, key: &str) -> &'a mut Networks {
    match key {
        "allow_files" => &mut identity.allow,
        "block_files" => &mut identity.block,
        _ => &mut identity.never_ban,
    }
}

fn folder_of(figment: &Figment, key: &str) -> Option<PathBuf> {
    match figment.find_metadata(key)?.source.as_ref()? {
        Source::File(file) => file.parent().map(Path::to_owned),
        _ => None,
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
