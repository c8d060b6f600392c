use super::*;

fn resolve(header: &str, peer: &str, lines: &[&str]) -> Result<String, String> {
    let client_ip =
        ClientIp::default().with_proxies(["10.0.0.0/8", "2001:db8:aaaa::/48"], header).unwrap();
    client_ip
        .resolve(peer.parse().ok(), |name| {
            assert_eq!(name, header);
            Some(lines.iter().map(|line| line.as_bytes()).collect())
        })
        .map(|address| address.to_string())
        .map_err(|error| error.to_string())
}

fn ok(address: &str) -> Result<String, String> {
    Ok(address.to_owned())
}

#[test]
fn x_forwarded_for_is_walked_from_the_right() {
    let table: [(&[&str], &str); 9] = [
        (&[], "10.0.0.1"),
        (&["1.2.3.4"], "1.2.3.4"),
        (&["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (&["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        (&["6.6.6.6", "1.2.3.4", "10.9.9.9"], "1.2.3.4"),
        (&["garbage, 1.2.3.4:5678"], "1.2.3.4"),
        (&["[2001:db8::1]:443, ::ffff:10.0.0.3"], "2001:db8::1"),
        (&["fe80::1%eth0"], "fe80::1"),
        // A request that began at one of the proxies themselves.
        (&["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
    ];
    for (lines, expected) in table {
        assert_eq!(resolve("x-forwarded-for", "10.0.0.1", lines), ok(expected), "{lines:?}");
    }
}

#[test]
fn what_a_proxy_cannot_have_written_is_an_error_and_never_skipped() {
    for line in ["6.6.6.6, garbage", "1.2.3.4,", "", "unknown", "1.2.3.4.5", "01.2.3.4", "0.0.0.0"]
    {
        let error = resolve("x-forwarded-for", "10.0.0.1", &[line]).unwrap_err();
        assert!(error.contains("names no address"), "{line}: {error}");
    }
    let many = vec!["10.0.0.1"; 40].join(",");
    assert!(resolve("x-forwarded-for", "10.0.0.1", &[&many]).is_err());
    let long = " ".repeat(9000);
    assert!(resolve("x-forwarded-for", "10.0.0.1", &[&long]).is_err());
}

#[test]
fn a_stranger_is_never_believed() {
    for header in ["x-forwarded-for", "forwarded", "cf-connecting-ip"] {
        assert_eq!(resolve(header, "9.9.9.9", &["for=1.2.3.4"]), ok("9.9.9.9"));
    }
    let trusting_nobody = ClientIp::default();
    let peer = "::ffff:9.9.9.9".parse().ok();
    let address = trusting_nobody.resolve(peer, |_| unreachable!("no header is read"));
    assert_eq!(address.unwrap().to_string(), "9.9.9.9");
}

#[test]
fn forwarded_is_read_with_its_quotes() {
    let table = [
        ("for=1.2.3.4;proto=https;by=10.0.0.1", "1.2.3.4"),
        ("For=\"[2001:db8::17]:4711\"", "2001:db8::17"),
        ("for=6.6.6.6, for=\"1.2.3.4:80\"; by=\"a,b;c\\\"\"", "1.2.3.4"),
        ("for=1.2.3.4, for=10.0.0.2", "1.2.3.4"),
    ];
    for (line, expected) in table {
        assert_eq!(resolve("forwarded", "10.0.0.1", &[line]), ok(expected), "{line}");
    }
    for line in [
        "for=_hidden",
        "for=unknown",
        "proto=https",
        "for=\"1.2.3.4",
        "for=1.2.3.4;for=5.6.7.8",
        "for=6.6.6.6, for=",
    ] {
        assert!(resolve("forwarded", "10.0.0.1", &[line]).is_err(), "{line}");
    }
}

#[test]
fn a_single_address_is_one() {
    let name = "cf-connecting-ip";
    assert_eq!(resolve(name, "10.0.0.1", &["1.2.3.4"]), ok("1.2.3.4"));
    assert!(resolve(name, "10.0.0.1", &["1.2.3.4", "5.6.7.8"]).is_err());
    assert!(resolve(name, "10.0.0.1", &["1.2.3.4, 5.6.7.8"]).is_err());
}

#[test]
fn a_connection_without_an_address_needs_the_setting() {
    let error = ClientIp::default().resolve(None, |_| Some(Vec::new())).unwrap_err();
    assert!(error.to_string().contains("fallback_address"), "{error}");
    let local = "127.0.0.1".parse().unwrap();
    let client_ip = ClientIp::default().with_fallback(local);
    assert_eq!(client_ip.resolve(None, |_| Some(Vec::new())).unwrap(), local);
}

#[test]
fn wrong_networks_are_refused() {
    let table = [
        ("10.0.0.1/8", "write \"10.0.0.0/8\""),
        ("10.0.0.0/33", "no network"),
        ("proxy.example", "no network"),
        ("0.0.0.0/0", "every address"),
        ("::/0", "every address"),
        ("::ffff:0.0.0.0/96", "every address"),
    ];
    for (network, part) in table {
        let error = ClientIp::default().with_proxies([network], "forwarded").unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("trusted_proxies: ") && error.contains(part), "{error}");
    }
    let mapped = Networks::parse(["::ffff:10.0.0.0/104"]).unwrap();
    assert!(mapped.contain("10.1.2.3".parse().unwrap()));
    assert!(mapped.contain("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!mapped.contain("11.1.2.3".parse().unwrap()));
}

#[test]
fn lines_that_may_be_missing_are_an_error() {
    let client_ip = ClientIp::default().with_proxies(["10.0.0.0/8"], "forwarded").unwrap();
    let error = client_ip.resolve("10.0.0.1".parse().ok(), |_| None).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
    assert!(client_ip.resolve("9.9.9.9".parse().ok(), |_| None).is_ok());
}
