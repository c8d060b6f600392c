//! The published packages: metadata, features that can be left out, the oldest Rust.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

use crate::architecture::ROOT;

const PACKAGES: [&str; 3] = ["limiter-core", "limiter-actix", "limiter-rocket"];

/// Returns what cargo writes.
fn cargo(arguments: &[&str]) -> String {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo).args(arguments).current_dir(ROOT).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

/// Returns the dependencies of a package, as `name version`, with features beside the
/// default ones or in place of them.
fn dependencies(package: &str, features: &[&str]) -> Vec<String> {
    let tree = ["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", package];
    let tree = cargo(&[&tree[..], features].concat());
    let mut names: Vec<String> = tree
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(" v")?;
            Some(format!("{name} {}", rest.split(' ').next()?))
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn without_default_features_no_store_and_no_configuration_is_built() {
    const OPTIONAL: [&str; 10] = [
        "figment",
        "metrics",
        "moka",
        "okapi",
        "redis",
        "rocket_okapi",
        "rustls",
        "sqlx",
        "tokio-rustls",
        "utoipa",
    ];
    let has = |dependencies: &[String], name: &str| {
        dependencies.iter().any(|dependency| dependency.split(' ').next() == Some(name))
    };
    for package in PACKAGES {
        let least = dependencies(package, &["--no-default-features"]);
        for name in OPTIONAL {
            // Rocket itself is configured by figment.
            let is_rockets = package == "limiter-rocket" && name == "figment";
            assert!(is_rockets || !has(&least, name), "{package} needs {name}: {least:#?}");
        }
        let default = dependencies(package, &[]);
        assert!(has(&default, "moka"), "{package}: {default:#?}");
        // It would cost a program of actix-web a fifth of its time to build.
        assert_eq!(has(&default, "figment"), package != "limiter-actix", "{package}");
        assert!(!has(&default, "redis") && !has(&default, "sqlx"), "{package}: {default:#?}");
    }
    let core = dependencies("limiter-core", &["--no-default-features"]);
    assert!(!has(&core, "tokio"), "{core:#?}");
}

#[test]
fn each_package_says_what_it_is() {
    let root = Path::new(ROOT);
    let licence = fs::read_to_string(root.join("LICENSE")).expect("there is a licence");
    for package in PACKAGES {
        let read = |file: &str| {
            fs::read_to_string(root.join(package).join(file))
                .unwrap_or_else(|error| panic!("{package}/{file}: {error}"))
        };
        assert_eq!(read("LICENSE"), licence, "{package}");
        assert!(read("README.md").starts_with(&format!("# {package}\n")), "{package}");
        let manifest = read("Cargo.toml");
        for key in [
            "description = ",
            "keywords = ",
            "categories = ",
            "license.workspace = true",
            "rust-version.workspace = true",
            "[package.metadata.docs.rs]\nall-features = true",
        ] {
            assert!(manifest.contains(key), "{package}/Cargo.toml lacks {key}");
        }
        // Every feature is in the table of the docs.
        let docs = read("src/lib.rs");
        let (_, features) = manifest.split_once("[features]\n").expect("there are features");
        let (features, _) = features.split_once("\n[").expect("other sections follow");
        for line in features.lines().filter(|line| !line.starts_with(['#', '_', ' ', ']'])) {
            let Some((feature, _)) = line.split_once(" = ") else { continue };
            let is_named = feature == "default" || docs.contains(&format!("`{feature}`"));
            assert!(is_named, "{package}/src/lib.rs does not name the feature {feature}");
        }
    }
}

/// A dependency that needs a newer Rust than the packages say would be found by the first
/// user of an older one.
#[test]
fn no_dependency_needs_a_newer_rust() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--offline", "--format-version", "1"]))
            .expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let oldest: BTreeMap<String, String> = packages
        .iter()
        .map(|package| {
            let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
            (name, text(&package["rust_version"]))
        })
        .collect();
    for (features, stated) in
        [("redis,tls,metrics,utoipa", "1.89"), ("postgres,mysql,sqlite", "1.94")]
    {
        for package in PACKAGES {
            for dependency in dependencies(package, &["--features", features]) {
                let needs = &oldest[&dependency];
                assert!(
                    version(needs) <= version(stated),
                    "{dependency} needs Rust {needs}; {package} with {features} says {stated}"
                );
            }
        }
    }
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("there is one");
    assert!(readme.contains("Rust 1.89 (SQL stores: 1.94)"));
}

fn version(text: &str) -> [u32; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}
