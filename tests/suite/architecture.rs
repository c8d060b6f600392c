//! The structure of the crates: the core depends on no web framework, modules import
//! each other in one direction only, files and functions stay short.

mod source;

use std::{collections::BTreeSet, process::Command};

pub(crate) use self::source::ROOT;
use self::source::{Function, Imports, files, functions, imported, imports};

/// The most lines of a source file, and of a function.
const MAX_FILE: usize = 300;
const MAX_FUNCTION: usize = 40;

#[test]
fn the_core_depends_on_no_framework() {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let tree = Command::new(cargo)
        .args(["tree", "--package", "limiter-core", "--edges", "normal", "--all-features"])
        .args(["--prefix", "none", "--offline"])
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(tree.stdout).expect("package names are text");
    assert!(tree.starts_with("limiter-core") && tree.contains("\nmoka"), "{tree}");
    for package in tree.lines() {
        let framework = ["actix", "rocket", "hyper", "axum", "http "];
        assert!(!framework.iter().any(|name| package.starts_with(name)), "{package}");
    }
}

#[test]
fn modules_of_the_core_import_from_lower_layers_only() {
    let layers = core_layers();
    let layer_of = |module: &str| {
        let layer = layers.iter().position(|layer| layer.contains(&module));
        layer.unwrap_or_else(|| panic!("{module} has no layer; give it one in ARCHITECTURE.md"))
    };
    let imports = imports("limiter-core");
    let modules: BTreeSet<_> = layers.iter().flatten().copied().collect();
    assert_eq!(imports.keys().map(String::as_str).collect::<BTreeSet<_>>(), modules);
    let pairs = imports.iter().flat_map(|(module, others)| others.iter().map(move |o| (module, o)));
    let upward: Vec<_> = pairs.filter(|(module, o)| layer_of(o) >= layer_of(module)).collect();
    assert!(upward.is_empty(), "the first imports the second of no lower layer: {upward:?}");
}

#[test]
fn no_crate_has_a_circle_of_modules() {
    for package in ["limiter-core", "limiter-actix", "limiter-rocket"] {
        let left = circle(imports(package));
        assert!(left.is_empty(), "{package} has a circle among these: {left:?}");
    }
}

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    for (path, text) in
        files(&["limiter-core", "limiter-actix", "limiter-rocket", "examples", "tests"])
    {
        let lines = text.lines().count();
        if lines > MAX_FILE {
            long.push(format!("{path}: {lines} lines; the most is {MAX_FILE}"));
        }
        // A test may hold a table of cases.
        let is_tests = path.starts_with("tests/") || path.contains("/tests");
        for Function { name, lines } in functions(&text) {
            if lines > MAX_FUNCTION && !is_tests {
                long.push(format!("{path}, {name}: {lines} lines; the most is {MAX_FUNCTION}"));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// A doc comment begins with what its item is or does (CONTRIBUTING.md, style).
#[test]
fn docs_begin_with_a_noun_or_a_verb() {
    let words = ["That", "Whether", "Of", "What"];
    let mut found = Vec::new();
    for (path, text) in
        files(&["limiter-core", "limiter-actix", "limiter-rocket", "examples", "tests"])
    {
        let mut is_inside = false;
        for line in text.lines().map(str::trim_start) {
            let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
            let first = doc.filter(|_| !is_inside).and_then(|doc| doc.split_whitespace().next());
            found.extend(
                first.filter(|word| words.contains(word)).map(|_| format!("{path}: {line}")),
            );
            is_inside = doc.is_some();
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Each `name.rs` in the documents for contributors is a file.
#[test]
fn documents_name_files_that_exist() {
    let files = files(&["limiter-core", "limiter-actix", "limiter-rocket", "examples", "tests"]);
    let exists = |name: &str| {
        files.iter().any(|(path, _)| format!("/{path}").ends_with(&format!("/{name}")))
    };
    let mut missing = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"] {
        let text = std::fs::read_to_string(format!("{ROOT}/{document}")).expect("it is there");
        let names = text.split('`').skip(1).step_by(2).filter(|name| {
            let is_file = [".rs", ".lua", ".sql"].iter().any(|end| name.ends_with(end));
            is_file && !name.contains(['*', '<', ' ', '{'])
        });
        missing
            .extend(names.filter(|name| !exists(name)).map(|name| format!("{document}: {name}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn circles_and_long_functions_are_found() {
    let imports = |pairs: &[(&str, &str)]| {
        let mut imports = Imports::new();
        for (module, other) in pairs {
            imports.entry((*module).to_owned()).or_default().insert((*other).to_owned());
        }
        imports
    };
    assert!(circle(imports(&[("a", "b"), ("b", "c")])).is_empty());
    let found = circle(imports(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("a", "e")]));
    assert_eq!(found, ["a", "b", "c", "d"].map(str::to_owned).into());

    let text = "use crate::{\n    ban::Ban,\n    key::{Key, x::Y},\n};\n// crate::quota\nf(crate::time::now());";
    assert_eq!(imported(text), ["ban", "key", "time"].map(str::to_owned).into());

    let text = "impl A {\n    fn a(\n        &self,\n    ) -> u8 {\n        { 1 }\n    }\n\n    fn b();\n}\nfn c() { }\n";
    assert_eq!(functions(text), [Function { name: "a".to_owned(), lines: 5 }]);
}

/// The modules of the core by layer, lowest layer first, from the table in ARCHITECTURE.md.
fn core_layers() -> Vec<Vec<&'static str>> {
    let text = include_str!("../../ARCHITECTURE.md");
    let table = text.split_once("| layer | modules |").expect("the table of layers").1;
    let rows = table.lines().skip(2).map_while(|row| row.rsplit("| ").next()?.strip_suffix(" |"));
    rows.map(|modules| modules.split(", ").map(|module| module.trim_matches('`')).collect())
        .collect()
}

/// Removes modules that import nothing of the rest, until none is left to remove. The
/// rest are circles, and modules that import from them.
fn circle(mut imports: Imports) -> BTreeSet<String> {
    loop {
        let left: BTreeSet<String> = imports.keys().cloned().collect();
        imports.retain(|_, others| others.iter().any(|module| left.contains(module)));
        if imports.len() == left.len() {
            return left;
        }
    }
}
