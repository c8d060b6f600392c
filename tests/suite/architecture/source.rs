//! Reads the source of the crates: files, their functions, and imports of modules. The
//! text is as `cargo fmt` leaves it, which makes it easy to read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The modules that each module at the top of a crate imports.
pub(super) type Imports = BTreeMap<String, BTreeSet<String>>;

/// A function with a body of several lines.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Lines from the signature to the closing brace.
    pub(super) lines: usize,
}

/// Returns path and text of all source files below these folders of the repository.
pub(super) fn files(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in folders {
        find(&Path::new(ROOT).join(folder), &mut found);
    }
    assert!(found.len() > folders.len(), "{folders:?} hold no source");
    found
}

fn find(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be read").path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            find(&path, found);
        } else if matches!(extension, Some("rs" | "lua" | "sql" | "mjs")) {
            let below = path.strip_prefix(ROOT).expect("it is below").display().to_string();
            found.push((below, fs::read_to_string(&path).expect("it is text")));
        }
    }
}

/// Returns the modules at the top of a crate, and what each imports by `crate::`. Tests
/// inside of a module may import anything.
pub(super) fn imports(package: &str) -> Imports {
    let source = format!("{package}/src/");
    let mut imports = Imports::new();
    for (path, text) in files(&[&source]) {
        let path = path.strip_prefix(&source).expect("it is below");
        let module = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
        let is_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
        if module != "lib" && !is_tests && path.ends_with(".rs") {
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(&text);
            imports.entry(module.to_owned()).or_default().extend(imported(text));
        }
    }
    let modules: BTreeSet<String> = imports.keys().cloned().collect();
    for (module, others) in &mut imports {
        // Other names are those of `lib.rs`, of the modules themselves.
        others.retain(|other| other != module && modules.contains(other));
    }
    imports
}

/// Returns the first segments of all paths that begin with `crate::`.
pub(super) fn imported(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let paths = code.split("crate::").skip(1);
    let paths = paths.flat_map(|path| path.strip_prefix('{').map_or_else(|| vec![path], group));
    paths.map(head).filter(|name| !name.is_empty()).collect()
}

/// Returns the paths of `use crate::{..}`, from behind the brace.
fn group(text: &str) -> Vec<&str> {
    let (mut depth, mut paths, mut start) = (1, Vec::new(), 0);
    for (at, character) in text.char_indices() {
        depth += i32::from(character == '{') - i32::from(character == '}');
        if depth == 0 || depth == 1 && character == ',' {
            paths.push(text[start..at].trim_start());
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    paths
}

fn head(path: &str) -> String {
    path.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// Returns the functions of a file with a body of several lines: such a function ends
/// at the brace that is indented as its first line.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(at, line)| Some((at, function_name(line)?)));
    starts.filter_map(|(at, name)| Some(Function { name, lines: length(&lines[at..])? })).collect()
}

fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.trim_start().split_once("fn ")?;
    let modifiers = ["pub", "const", "async", "default"];
    let is_modifier = |word: &str| modifiers.iter().any(|modifier| word.starts_with(modifier));
    let is_start = before.is_empty() || before.ends_with(' ');
    (is_start && before.split_whitespace().all(|word| is_modifier(word) || word.ends_with(')')))
        .then(|| head(after))
}

fn length(lines: &[&str]) -> Option<usize> {
    let signature = lines.iter().position(|line| line.ends_with(['{', ';', '}']))?;
    if !lines[signature].ends_with('{') {
        return None;
    }
    let indent = lines[0].len() - lines[0].trim_start().len();
    let is_end = |line: &&str| line.len() == indent + 1 && line.ends_with('}');
    Some(lines.iter().position(is_end)? + 1)
}
