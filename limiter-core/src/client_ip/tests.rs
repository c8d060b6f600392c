use super::*;

fn resolve(header: &str, peer: &str, lines: &[&str]) -> Result<String, String> {
    let client_ip =
        ClientIp::default().with_proxies(["10.0.0.0/8", "2001:db8:aaaa::/48"], header).unwrap();
    client_ip
        .resolve(peer.parse().ok(), |name| {
            assert_eq!(name, header);
            lines.iter().map(|line| line.as_bytes()).collect()
        })
        .map(|address| address.to_string())
        .map_err(|error| error.to_string())
}

fn ok(address: &str) -> Result<String, String> {
    Ok(address.to_owned())
}

#[test]
fn x_forwarded_for_is_walked_from_the_right() {
    let table: [(&[&str], &str); 8] = [
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
    let error = ClientIp::default().resolve(None, |_| Vec::new()).unwrap_err();
    assert!(error.to_string().contains("fallback_address"), "{error}");
    let local = "127.0.0.1".parse().unwrap();
    let client_ip = ClientIp::default().with_fallback(local);
    assert_eq!(client_ip.resolve(None, |_| Vec::new()).unwrap(), local);
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
fn a_trusted_proxy_has_to_send_the_header() {
    let proxies = |header| ClientIp::default().with_proxies(["10.0.0.0/8"], header).unwrap();
    let everyone = ClientIp::default().dangerously_trusting_everyone("x-real-ip").unwrap();
    let hops = ClientIp::default().with_hops(1, "forwarded").unwrap();
    let peer = "10.0.0.1".parse().ok();
    for client_ip in [proxies("x-forwarded-for"), proxies("x-real-ip"), everyone, hops] {
        let error = client_ip.resolve(peer, |_| Vec::new()).unwrap_err().to_string();
        assert!(error.contains("is missing"), "{error}");
        assert!(error.contains("client_ip_header_required = false"), "{error}");
        let lenient = client_ip.with_optional_header();
        let address = lenient.resolve(peer, |_| Vec::new()).unwrap();
        assert_eq!(address.to_string(), "10.0.0.1");
    }
    assert!(proxies("forwarded").resolve("9.9.9.9".parse().ok(), |_| Vec::new()).is_ok());
}

#[test]
fn single_addresses_are_read_as_proxies_send_them() {
    let table = [
        // CloudFront: always a port, and no brackets.
        ("cloudfront-viewer-address", "198.51.100.10:46532", "198.51.100.10"),
        ("cloudfront-viewer-address", "2600:300:f:abcd::9:46532", "2600:300:f:abcd::9"),
        ("cloudfront-viewer-address", "2600::1:2:3:4:4653", "2600::1:2:3:4"),
        ("cloudfront-viewer-address", "2600:300:f:abcd:1:2:3:4:443", "2600:300:f:abcd:1:2:3:4"),
        // Cloudflare, Akamai, Fastly, Fly, Azure Front Door, App Engine: an address.
        ("cf-connecting-ip", "198.51.100.10", "198.51.100.10"),
        ("cf-connecting-ip", "2001:db8::1:443", "2001:db8::1:443"),
        ("true-client-ip", "2001:db8::1", "2001:db8::1"),
        ("fastly-client-ip", "198.51.100.10", "198.51.100.10"),
        ("fly-client-ip", "2001:db8::1", "2001:db8::1"),
        ("x-azure-clientip", "198.51.100.10", "198.51.100.10"),
        ("x-appengine-user-ip", "2001:db8::1", "2001:db8::1"),
        // nginx's $remote_addr, Traefik, Caddy; Envoy with and without a port.
        ("x-real-ip", "198.51.100.10", "198.51.100.10"),
        ("x-real-ip", "::ffff:198.51.100.10", "198.51.100.10"),
        ("x-envoy-external-address", "2001:db8::1", "2001:db8::1"),
        ("x-envoy-downstream", "198.51.100.10:5678", "198.51.100.10"),
        ("x-envoy-downstream", "[2001:db8::1]:5678", "2001:db8::1"),
        ("x-client", "2001:db8:1:2:3:4:5:6:5678", "2001:db8:1:2:3:4:5:6"),
        // Lists: AWS ALB with and without the client's port, Azure Application
        // Gateway (a port), Google (its own address last), Heroku.
        ("x-forwarded-for", "198.51.100.10", "198.51.100.10"),
        ("x-forwarded-for", "198.51.100.10:46532", "198.51.100.10"),
        ("x-forwarded-for", "[2001:db8::1]:46532", "2001:db8::1"),
        ("x-forwarded-for", "2001:db8::1:46532", "2001:db8::1"),
        ("x-forwarded-for", "6.6.6.6, 198.51.100.10, 10.0.0.3", "198.51.100.10"),
        ("x-forwarded-for", "6.6.6.6,198.51.100.10", "198.51.100.10"),
        ("forwarded", "for=198.51.100.10;host=h;proto=https", "198.51.100.10"),
    ];
    for (header, value, expected) in table {
        assert_eq!(resolve(header, "10.0.0.1", &[value]), ok(expected), "{header}: {value}");
    }
    // The value that nginx sends of a unix socket, and other text that names nobody.
    for value in ["unix:", "", "unknown", "2001:db8::1:99999", "2001:db8::1:+80", "::", "1.2.3"] {
        for header in ["x-real-ip", "cloudfront-viewer-address"] {
            assert!(resolve(header, "10.0.0.1", &[value]).is_err(), "{header}: {value}");
        }
    }
}

#[test]
fn halves_of_everything_are_everything() {
    let halves = ["0.0.0.0/1", "128.0.0.0/1"];
    let error = ClientIp::default().with_proxies(halves, "forwarded").unwrap_err().to_string();
    assert!(error.contains("dangerously-trust-everyone"), "{error}");
}

fn resolve_with(client_ip: &ClientIp, lines: &[&str]) -> Result<String, String> {
    let lines = lines.iter().map(|line| line.as_bytes()).collect();
    let address = client_ip.resolve("9.9.9.9".parse().ok(), |_| lines);
    address.map(|address| address.to_string()).map_err(|error| error.to_string())
}

#[test]
fn hops_are_counted_from_the_right_and_never_clamped() {
    let one = ClientIp::default().with_hops(1, "x-forwarded-for").unwrap();
    let two = ClientIp::default().with_hops(2, "forwarded").unwrap();
    assert_eq!(resolve_with(&one, &["6.6.6.6, 1.2.3.4"]), ok("1.2.3.4"));
    assert_eq!(resolve_with(&one, &["6.6.6.6", "1.2.3.4:80"]), ok("1.2.3.4"));
    assert_eq!(resolve_with(&two, &["for=6.6.6.6, for=1.2.3.4, for=10.0.0.1"]), ok("1.2.3.4"));
    for lines in [&["garbage"][..], &["for=1.2.3.4"]] {
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
fn proxies_that_are_not_configured_are_noticed() {
    let nobody = ClientIp::default();
    let some = ClientIp::default().with_proxies(["10.0.0.0/8"], "x-forwarded-for").unwrap();
    let warning = |client_ip: &ClientIp, peer: &str, is_only: bool, header: &str| {
        client_ip.warning(peer.parse().ok(), is_only, |name| name == header).unwrap_or_default()
    };
    let hint =
        |client_ip: &ClientIp, peer: &str, header: &str| warning(client_ip, peer, false, header);
    let text = hint(&nobody, "::ffff:10.0.0.7", "x-forwarded-for");
    assert!(text.contains("trusted_proxies = [\"10.0.0.7\"]"), "{text}");
    assert!(text.contains("client_ip_header = \"x-forwarded-for\""), "{text}");
    assert!(hint(&nobody, "", "forwarded").contains("fallback_address"));
    assert!(hint(&some, "172.17.0.1", "x-forwarded-for").contains("172.17.0.1"));
    assert!(hint(&some, "10.0.0.7", "x-real-ip").contains("client_ip_header = \"x-real-ip\""));
    for (client_ip, peer, header) in [
        (&nobody, "10.0.0.7", "x-other"),
        (&some, "10.0.0.7", "x-forwarded-for"),
        // A stranger that nobody should take for a proxy.
        (&some, "203.0.113.1", "x-forwarded-for"),
        (&nobody, "203.0.113.1", "x-forwarded-for"),
    ] {
        assert_eq!(hint(client_ip, peer, header), "");
    }
    for client_ip in [&some, &nobody] {
        let only = warning(client_ip, "203.0.113.1", true, "x-forwarded-for");
        assert!(only.contains("203.0.113.1 sends x-forwarded-for"), "{only}");
    }
}
