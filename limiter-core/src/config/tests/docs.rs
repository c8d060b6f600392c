//! The guide is true: each of its configurations is one, and the reference has
//! every key that is read, and no other.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;

fn chapters() -> impl Iterator<Item = (String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.display().to_string(), fs::read_to_string(path).unwrap())
    })
}

/// A part of a policy is completed to a configuration.
fn completed(block: &str) -> String {
    let is_part_of_a_policy = block.starts_with("quota") || block.starts_with("ban");
    if is_part_of_a_policy { format!("[policies.api]\n{block}") } else { block.to_owned() }
}

#[test]
fn each_configuration_of_the_guide_is_one() {
    let mut blocks = 0;
    for (path, text) in chapters() {
        for block in text.split("```toml\n").skip(1) {
            let (block, _) = block.split_once("```").unwrap();
            let read = Config::from_toml(&completed(block));
            assert!(read.is_ok(), "{path}:\n{block}\n=> {:?}", read.err());
            blocks += 1;
        }
    }
    assert!(blocks >= 5, "{blocks}");
}

/// The keys that a message about an unknown one lists.
fn known(toml: &str) -> BTreeSet<String> {
    let error = error(toml);
    let (_, known) = error.split_once("known are: ").expect(&error);
    let known = known.split([' ', '(']).take_while(|word| !word.is_empty());
    known.map(|key| key.trim_end_matches(',').to_owned()).collect()
}

/// The first column of the table below a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let reference = include_str!("../../../docs/configuration.md");
    let (_, section) = reference.split_once(&format!("\n# {heading}\n")).expect(heading);
    let (section, _) = section.split_once("\n# ").expect("other sections follow");
    let keys = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    keys.map(|key| key.trim_end_matches(".<name>").to_owned()).collect()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let policy = "[policies.api]\nquota = \"1/s\"";
    let ban = "ban = { threshold = 1, window = \"1m\", duration = \"1m\", zzzzzz = 1 }";
    for (heading, toml) in [
        ("Root", "zzzzzz = 1".to_owned()),
        ("A policy", format!("{policy}\nzzzzzz = 1")),
        ("A ban", format!("{policy}\n{ban}")),
    ] {
        assert_eq!(documented(heading), known(&toml), "{heading}");
    }
}
