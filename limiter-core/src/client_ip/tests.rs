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
    assert!(mapped.contains("10.1.2.3".parse().unwrap()));
    assert!(mapped.contains("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!mapped.contains("11.1.2.3".parse().unwrap()));
}

#[test]
fn lines_that_may_be_missing_are_an_error() {
    let client_ip = ClientIp::default().with_proxies(["10.0.0.0/8"], "forwarded").unwrap();
    let error = client_ip.resolve("10.0.0.1".parse().ok(), |_| None).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
    assert!(client_ip.resolve("9.9.9.9".parse().ok(), |_| None).is_ok());
}

#[test]
fn halves_of_everything_are_everything() {
    let halves = ["0.0.0.0/1", "128.0.0.0/1"];
    let error = ClientIp::default().with_proxies(halves, "forwarded").unwrap_err().to_string();
    assert!(error.contains("dangerously-trust-everyone"), "{error}");
}

fn resolve_with(client_ip: &ClientIp, lines: &[&str]) -> Result<String, String> {
    let lines = lines.iter().map(|line| line.as_bytes()).collect();
    let address = client_ip.resolve("9.9.9.9".parse().ok(), |_| Some(lines));
    address.map(|address| address.to_string()).map_err(|error| error.to_string())
}

#[test]
fn hops_are_counted_from_the_right_and_never_clamped() {
    let one = ClientIp::default().with_hops(1, "x-forwarded-for").unwrap();
    let two = ClientIp::default().with_hops(2, "forwarded").unwrap();
    assert_eq!(resolve_with(&one, &["6.6.6.6, 1.2.3.4"]), ok("1.2.3.4"));
    assert_eq!(resolve_with(&one, &["6.6.6.6", "1.2.3.4:80"]), ok("1.2.3.4"));
    assert_eq!(resolve_with(&two, &["for=6.6.6.6, for=1.2.3.4, for=10.0.0.1"]), ok("1.2.3.4"));
    for lines in [&[][..], &["for=1.2.3.4"]] {
        let error = resolve_with(&two, lines).unwrap_err();
        assert!(error.contains("fewer addresses"), "{error}");
    }
    let error = resolve_with(&two, &["for=_hidden, for=10.0.0.1"]).unwrap_err();
    assert!(error.contains("names no address"), "{error}");
    for (hops, header) in [(0, "forwarded"), (33, "forwarded"), (1, "x-real-ip")] {
        let error = ClientIp::default().with_hops(hops, header).unwrap_err().to_string();
        assert!(error.starts_with("trusted_proxies: "), "{error}");
    }
}

#[test]
fn everyone_is_trusted_only_where_that_is_spelled_out() {
    let everyone = ClientIp::default().dangerously_trusting_everyone("x-forwarded-for").unwrap();
    assert_eq!(resolve_with(&everyone, &["6.6.6.6, 1.2.3.4"]), ok("6.6.6.6"));
    assert!(resolve_with(&everyone, &["6.6.6.6, unknown"]).is_err());
}

#[test]
fn proxies_that_nobody_told_of_are_noticed() {
    let nobody = ClientIp::default();
    let some = ClientIp::default().with_proxies(["10.0.0.0/8"], "x-forwarded-for").unwrap();
    let hint = |client_ip: &ClientIp, peer: &str, header: &str| {
        client_ip.hint(peer.parse().ok(), |name| name == header).unwrap_or_default()
    };
    let told = hint(&nobody, "::ffff:10.0.0.7", "x-forwarded-for");
    assert!(told.contains("trusted_proxies = [\"10.0.0.7\"]"), "{told}");
    assert!(told.contains("client_ip_header = \"x-forwarded-for\""), "{told}");
    assert!(hint(&nobody, "", "forwarded").contains("fallback_address"));
    assert!(hint(&some, "172.17.0.1", "x-forwarded-for").contains("172.17.0.1"));
    assert!(hint(&some, "10.0.0.7", "x-real-ip").contains("client_ip_header = \"x-real-ip\""));
    for (client_ip, peer, header) in [
        (&nobody, "10.0.0.7", "x-other"),
        (&some, "10.0.0.7", "x-forwarded-for"),
        (&some, "203.0.113.1", "x-forwarded-for"),
    ] {
        assert_eq!(hint(client_ip, peer, header), "");
    }
}
