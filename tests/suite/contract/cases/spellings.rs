//! Other spellings of the client that a trusted proxy names.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![spellings_of_a_named_client_are_one(), spellings_of_forwarded_are_one()]
}

/// Ports, brackets, zones and addresses within addresses.
fn spellings_of_a_named_client_are_one() -> Case {
    let through = |line: &str| get("/api").from("10.0.0.1").with("x-forwarded-for", line);
    let counted = |line: &str| through(line).times(10, status(429));
    Case {
        name: "spellings of a named client are one",
        config: r#"
            trusted_proxies = ["10.0.0.0/8"]
            client_ip_header = "x-forwarded-for"
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            through("203.0.113.7").is(status(200)),
            counted("203.0.113.7:1"),
            counted("::ffff:203.0.113.7"),
            counted("::FFFF:CB00:7107"),
            counted("[::ffff:203.0.113.7]:65535"),
            counted("64:ff9b::203.0.113.7"),
            counted("  203.0.113.7\t"),
            counted("203.0.113.7%eth0"),
            counted("\"x, 203.0.113.7"),
            through("2001:db8:7::1").is(status(200)),
            counted("2001:DB8:7:0:0::1"),
            counted("2001:db8:7:0:ffff:ffff:ffff:ffff"),
            counted("[2001:db8:7::2]"),
            counted("[2001:db8:7::2]:80"),
            counted("[2001:db8:7::2%eth0]:80"),
            counted("2001:db8:7::2%25eth0"),
            counted("2001:db8:7::1.2.3.4"),
        ],
        ..Case::default()
    }
}

/// RFC 7239: quotes, escapes, capitals, parameters in any order.
fn spellings_of_forwarded_are_one() -> Case {
    let through = |line: &str| get("/api").from("10.0.0.1").with("forwarded", line);
    let counted = |line: &str| through(line).times(10, status(429));
    let nobody = |line: &str| through(line).is(status(400));
    Case {
        name: "spellings of Forwarded are one",
        config: r#"
            trusted_proxies = ["10.0.0.0/8"]
            client_ip_header = "Forwarded"
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            through("for=203.0.113.7").is(status(200)),
            counted("FOR=\"203.0.113.7\""),
            counted("For=\"\\2\\0\\3.0.113.7:80\""),
            counted("proto=https; for = 203.0.113.7 ;by=10.0.0.1"),
            counted("host=\"a,for=6.6.6.6;b\";for=203.0.113.7"),
            counted("for=6.6.6.6, for=203.0.113.7, for=10.0.0.2"),
            counted("for=\"[::ffff:203.0.113.7]:80\""),
            through("for=\"[2001:db8:7::1]\"").is(status(200)),
            counted("for=\"[2001:db8:7::2]:_hidden\""),
            counted("for=\"203.0.113.7:_p.1\""),
            counted("for=\"[2001:db8:7::2%eth0]:80\""),
            // What the client has opened does not swallow what the proxy appends.
            nobody("for=\"x, for=203.0.113.8"),
            nobody("for=\"x, for=\"[2001:db8:8::1]\""),
            nobody("for=\"x\\, for=\"[2001:db8:8::1]\""),
            nobody("for=6.6.6.6;for=203.0.113.8"),
            nobody("for=6.6.6.6, by=10.0.0.1"),
            nobody("for=6.6.6.6,"),
        ],
        ..Case::default()
    }
}
