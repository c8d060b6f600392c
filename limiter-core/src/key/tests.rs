use super::*;

fn ip(text: &str) -> Key {
    Key::ip(text.parse().unwrap())
}

#[test]
fn mapped_addresses_are_told_by_their_bits() {
    assert_eq!(ip("::ffff:1.2.3.4"), ip("::ffff:102:304"));
    assert_eq!(ip("::ffff:1.2.3.4"), ip("1.2.3.4"));
    assert_ne!(ip("::ffff:1.2.3.4"), ip("::ffff:1.2.3.5"));
    // Written with dots, but plain IPv6.
    assert_eq!(ip("2001:db8::1.2.3.4"), ip("2001:db8::9"));
    assert_ne!(ip("::1"), ip("0.0.0.1"));
}

#[test]
fn ipv6_counts_by_network() {
    assert_eq!(ip("2001:DB8:0:0:0:0:0:1"), ip("2001:db8::ffff"));
    assert_ne!(ip("2001:db8:0:1::1"), ip("2001:db8::1"));
    let address = "2001:db8::1".parse().unwrap();
    assert_eq!(Key::ip_prefix(address, 128).to_string(), "ip=2001:db8::1/128");
    assert_eq!(Key::ip_prefix(address, 0).to_string(), "ip=::/0");
}

#[test]
fn hostile_text_is_told_apart() {
    let long = "x".repeat(1 << 20);
    let texts = ["", "a", "{}", "}", "*", ":", "\0", "\n", "a b", "a\u{301}", &long, "#a"];
    let mut keys: Vec<_> = texts.iter().map(|text| Key::user(text)).collect();
    keys.extend(texts.iter().map(|text| Key::header("x-key", text.as_bytes())));
    keys.extend(texts.iter().map(|text| Key::header("x-other", text.as_bytes())));
    keys.extend(texts.iter().map(|text| Key::custom("user", text)));
    keys.push(Key::custom("a", "b").and(Key::custom("c", "d")));
    keys.push(Key::custom("a", "b.c").and(Key::custom("", "d")));
    keys.push(Key::user("ab").and(Key::user("c")));
    keys.push(Key::user("a").and(Key::user("bc")));
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(key), "{key}");
        assert!(key.as_bytes().len() < 300);
        assert!(!key.to_string().contains(['\0', '\n']), "{key:?}");
    }
}

#[test]
fn endpoints_fold_head_into_get() {
    assert_eq!(Key::endpoint("HEAD", "/x"), Key::endpoint("GET", "/x"));
    assert_ne!(Key::endpoint("POST", "/x"), Key::endpoint("GET", "/x"));
    assert_eq!(Key::endpoint("FOO", "/x"), Key::endpoint("BAR", "/x"));
    let long = "/y".repeat(300);
    assert_ne!(Key::endpoint("GET", &long), Key::endpoint("PUT", &long));
    assert_eq!(Key::endpoint("GET", "/x/{id}").to_string(), "endpoint=GET /x/{id}");
}

#[test]
fn a_key_knows_its_address() {
    let key = Key::endpoint("GET", "/").and(ip("192.0.2.7"));
    assert_eq!(key.address(), Some("192.0.2.7".parse().unwrap()));
    assert_eq!(Key::user("192.0.2.7").address(), None);
}

#[test]
fn a_name_is_read_again() {
    let keys = [
        ip("192.0.2.1"),
        ip("2001:db8::1"),
        Key::global(),
        Key::user("alice"),
        Key::user("alice").and(Key::endpoint("GET", "/a/b.html")),
        Key::endpoint("PURGE", "/"),
        Key::custom("tenant", "7").and(ip("::1")),
        Key::custom("", ""),
    ];
    for key in keys {
        let name = key.name().unwrap();
        assert_eq!(name.parse(), Ok(key.clone()), "{name}");
        assert_eq!(key.to_string(), name);
    }
    let kept = "#00ff00ff00ff00ff00ff00ff00ff00ff";
    assert_eq!(kept.parse::<Key>().unwrap().name().unwrap(), kept);
}

#[test]
fn what_is_secret_long_or_odd_has_no_name() {
    let long = "x".repeat(60);
    let keys = [
        Key::user("alice@example.org"),
        Key::header("x-api-key", b"s3cret"),
        Key::endpoint("GET", "/x/{id}"),
        Key::user(&long).and(Key::user(&long)),
    ];
    for key in keys {
        assert_eq!(key.name(), None, "{key}");
    }
}

#[test]
fn other_text_names_no_key() {
    let texts = [
        "",
        "alice",
        "ip=",
        "ip=1.2.3",
        "ip=1.2.3.4/129",
        "user=a b",
        "user=a&",
        "&",
        "#12",
        "#ZZff00ff00ff00ff00ff00ff00ff00ff",
        "header:x-api-key=#0123456789abcdef",
        "endpoint=GET:x",
        "endpoint=/x",
        "custom=a",
        "user=\u{e9}",
    ];
    for text in texts {
        let error = text.parse::<Key>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")), "{error}");
    }
}

#[test]
fn an_address_has_the_name_that_it_is_written_as() {
    for octet in 0..=255 {
        let address = Ipv4Addr::new(octet, 255 - octet, 0, octet);
        assert_eq!(Key::ip(address.into()).name(), Some(format!("ip={address}")));
    }
}
