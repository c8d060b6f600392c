//! Settings of a store that several servers share.

use super::*;

#[test]
fn a_shared_store_is_chosen_by_its_scheme() {
    let cases = [
        ("redis://:pw@localhost:1/0", "redis", cfg!(feature = "redis")),
        ("redis-cluster://:pw@a:1,b:2", "redis", cfg!(feature = "redis")),
        ("redis-sentinel://:pw@a:1,b:2/x", "redis", cfg!(feature = "redis")),
        ("postgres://x:pw@localhost:1/x", "postgres", cfg!(feature = "postgres")),
        ("mysql://x:pw@localhost:1/x", "mysql", cfg!(feature = "mysql")),
        ("sqlite://pw@x", "sqlite", cfg!(feature = "sqlite")),
    ];
    for (url, feature, compiled) in cases {
        let toml = format!(
            "store = \"{url}\"\nprefix = \"shop\"\nkey_secret = \"hush\"\n\
             timeout = \"50ms\"\npool_size = 7\nmigrate = false"
        );
        if compiled {
            let shown = format!("{:?}", Config::from_toml(&toml).unwrap());
            assert!(shown.contains("shop") && shown.contains("50ms") && shown.contains("7"));
            assert!(!shown.contains("pw@") && !shown.contains("hush"), "{shown}");
        } else {
            let error = error(&toml);
            assert!(error.contains(&format!("store: needs the feature \"{feature}\"")), "{error}");
        }
    }
    // A test may put memory in the place of production's store, and leave the rest.
    Config::from_toml("store = \"memory\"\ntimeout = \"50ms\"\nlocal_share = 4").unwrap();
}

#[test]
#[cfg(feature = "sqlite")]
fn settings_of_a_shared_store_are_checked() {
    let cases = [
        ("prefix = \"a-b\"", "prefix: is \"a-b\""),
        ("pool_size = 0", "pool_size: is 0; write 1 to 1000"),
        ("timeout = \"0s\"", "timeout: is 0s"),
        ("migrate = 1", "migrate: "),
    ];
    for (setting, expected) in cases {
        let error = error(&format!("store = \"sqlite://x\"\n{setting}"));
        assert!(error.contains(expected), "{error}");
    }
}
