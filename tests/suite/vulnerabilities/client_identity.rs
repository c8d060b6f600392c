//! Attacks on the client's identity: forged headers, rotating addresses, leaks.

use std::{net::Ipv4Addr, time::Duration};

use limiter_core::{AdmitOptions, Error, Key, MemoryStore, Refusal, Verdict};
use redis::Commands;

use super::{TEN, configured, stored};
use crate::{
    captured_log::CapturedLog,
    conformance::clock,
    databases::{builder, unique},
    servers::start_redis,
    test_request::{Facts, from},
};

/// CVE-2026-30827, express-rate-limit: a mask of IPv6 on mapped addresses put
/// all of IPv4 into one bucket.
#[tokio::test]
async fn mapped_addresses_are_no_one_bucket() {
    let limiter = configured(TEN).await;
    for notation in ["::ffff:1.2.3.4", "::ffff:102:304", "1.2.3.4"] {
        assert!(from(notation).admitted(&limiter, "api", 4).await >= 2, "{notation}");
    }
    assert_eq!(from("1.2.3.4").admitted(&limiter, "api", 1).await, 0);
    assert_eq!(from("::ffff:1.2.3.5").admitted(&limiter, "api", 20).await, 10);
    assert_eq!(from("2001:db8::1.2.3.4").admitted(&limiter, "api", 20).await, 10);
    assert_eq!(from("2001:db8::9").admitted(&limiter, "api", 1).await, 0);
}

/// CVE-2026-45364, better-auth: raw text as keys, single hosts of IPv6.
#[tokio::test]
async fn spellings_of_an_address_are_one_key() {
    let proxied = "trusted_proxies = [\"10.0.0.0/8\"]\nclient_ip_header = \"x-forwarded-for\"\n";
    let limiter = configured(&format!("{proxied}{TEN}")).await;
    let spellings = ["2001:DB8::1", "2001:db8:0:0::1", "[2001:0db8::2]:443", "2001:db8::ffff:3"];
    let mut admitted = 0;
    for spelling in spellings.iter().cycle().take(40) {
        let request = from("10.0.0.1").with("x-forwarded-for", spelling);
        admitted += request.admitted(&limiter, "api", 1).await;
    }
    assert_eq!(admitted, 10);
}

/// CVE-2025-59152, Litestar; CVE-2020-28483, gin: the client names its address.
/// Both frameworks have it in the HTTP contract, too.
#[tokio::test]
async fn a_client_does_not_name_its_address() {
    let limiter = configured(TEN).await;
    let mut admitted = 0;
    for n in 0..1_000_u32 {
        let claimed = Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761)).to_string();
        let request = from("192.0.2.1")
            .with("x-forwarded-for", &claimed)
            .with("forwarded", format!("for={claimed}"))
            .with("x-real-ip", &claimed)
            .with("cf-connecting-ip", &claimed);
        admitted += request.admitted(&limiter, "api", 1).await;
    }
    assert_eq!(admitted, 10);
}

/// CVE-2025-64526, Strapi: part of the key is the client's to choose, so that
/// each request opens a new bucket.
#[tokio::test]
async fn a_new_key_with_each_request_does_not_escape() {
    let limiter = configured(
        "[policies.api]\nquota = \"10/hour\"\nkey = [\"header:x-api-key\", \"endpoint\"]\nper_address = 2",
    )
    .await;
    let mut admitted = 0;
    for n in 0..1_000 {
        let request = from("192.0.2.1").with("x-api-key", format!("key {n}"));
        admitted += request.admitted(&limiter, "api", 1).await;
    }
    assert_eq!(admitted, 20);
}

/// adam-p, "The perils of the real client IP": a megabyte of "address" a request
/// fills the memory.
#[tokio::test]
async fn what_is_no_address_is_never_kept() {
    let proxied = "trusted_proxies = [\"10.0.0.0/8\"]\nclient_ip_header = \"x-forwarded-for\"\n";
    let store = MemoryStore::new();
    let limiter = stored(&format!("{proxied}{TEN}"), store.clone()).await;
    for n in 0..100 {
        // And what a proxy could not name is nobody, not whom the client names.
        for nonsense in [format!("{n}").repeat(500_000), format!("6.6.6.{n}, unknown")] {
            let request = from("10.0.0.1").with("x-forwarded-for", nonsense);
            let answer = request.ask(&limiter, "api").await;
            assert!(matches!(answer, Err(Error::Forwarding { .. })), "{answer:?}");
        }
    }
    assert!(store.is_empty());
}

/// API keys, sessions and addresses of mail in a store or in a log.
#[tokio::test]
async fn secrets_are_told_to_nobody() {
    let url = start_redis();
    let text = "[policies.api]\nquota = \"10/hour\"\nkey = [\"header:x-api-key\", \"user\"]\n\
                ban = { threshold = 1, window = \"1h\", duration = \"1h\" }";
    let limiter = stored(text, builder(&url, &unique("secret")).connect().await.unwrap()).await;
    let request = from("192.0.2.1").with("x-api-key", "s3cret-key").user("alice@example.org");
    request.admitted(&limiter, "api", 12).await;
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let keys: Vec<String> = connection.keys("*").unwrap();
    let policy = limiter.policy("api").unwrap();
    let subjects = policy.resolve_subjects(&request, None).unwrap().unwrap();
    let mut told = format!("{keys:?} {subjects:?} {limiter:?} {}", subjects[0].key);
    for key in keys {
        told += &String::from_utf8_lossy(&connection.get::<_, Vec<u8>>(key).unwrap());
    }
    assert!(!told.contains("s3cret") && !told.contains("example.org"), "{told}");
}

/// Draft, section 8.2: what is left of a stranger's count tells that he exists.
#[tokio::test]
async fn a_count_tells_nothing_of_whom_it_counts() {
    let text = "[policies.login]\nquota = \"10/hour\"\nkey = \"user\"\nheaders = \"none\"";
    let clock = clock();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let limiter = stored(text, store).await;
    let policy = limiter.policy("login").unwrap();
    let known = from("192.0.2.1").user("alice").ask(&limiter, "login").await.unwrap();
    let unknown = from("192.0.2.1").user("nobody").ask(&limiter, "login").await.unwrap();
    assert_eq!(policy.fields(&known), policy.fields(&unknown));
    assert!(policy.fields(&known).is_empty());
    assert_eq!(known, unknown);
}

/// actix-governor: a wait of less than a second is told as none.
#[tokio::test]
async fn no_refusal_says_to_come_back_at_once() {
    let store = MemoryStore::builder().clock(clock()).build();
    let limiter = stored("[policies.api]\nquota = \"1/10ms\"", store).await;
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 1).await, 1);
    let policy = limiter.policy("api").unwrap();
    let refused = policy.admit(&from("192.0.2.1"), AdmitOptions::default()).await;
    let refusal: Refusal = refused.unwrap_err();
    assert!(refusal.fields().contains(&("retry-after", "1".into())), "{refusal:?}");
}

/// A victim is locked out: banned by a header that names it.
#[tokio::test]
async fn nobody_is_banned_for_another() {
    let ban = "ban = { threshold = 1, window = \"1h\", duration = \"1h\" }";
    let limiter = configured(&format!(
        "trusted_proxies = [\"10.0.0.0/8\"]\nclient_ip_header = \"x-forwarded-for\"\n\
         never_ban = [\"198.51.100.7\"]\n[policies.api]\nquota = \"1/hour\"\n{ban}"
    ))
    .await;
    let verdict = async |request: Facts| request.ask(&limiter, "api").await.unwrap().verdict();
    for _ in 0..5 {
        verdict(from("203.0.113.9").with("x-forwarded-for", "192.0.2.1")).await;
    }
    assert_eq!(verdict(from("203.0.113.9")).await, Verdict::Banned);
    assert_eq!(verdict(from("192.0.2.1")).await, Verdict::Allowed);
    for _ in 0..5 {
        assert_ne!(verdict(from("198.51.100.7")).await, Verdict::Banned);
    }
    for spared in ["10.0.0.1", "198.51.100.7"] {
        let key = Key::ip(spared.parse().unwrap());
        let error = limiter.ban("api", &key, Duration::from_secs(60)).await.unwrap_err();
        assert!(matches!(error, Error::NeverBanned), "{error}");
    }
}

/// A client that has the proxies' header removed counts as a proxy, which is
/// never banned.
#[tokio::test]
async fn a_client_does_not_become_the_proxy() {
    let configuration = "trusted_proxies = [\"10.0.0.0/8\"]\n\
         client_ip_header = \"x-forwarded-for\"\nallow = [\"10.0.0.9\"]\n\
         block = [\"10.0.0.8\"]\nexempt = [\"/health\"]\n\
         [policies.login]\nquota = \"1/hour\"\n\
         ban = { threshold = 5, window = \"1h\", duration = \"1h\" }";
    let strict = configured(configuration).await;
    let error = from("10.0.0.1").ask(&strict, "login").await.unwrap_err().to_string();
    assert!(error.contains("x-forwarded-for: is missing"), "{error}");
    // A health checker that connects by itself is on a list, or its endpoint is.
    assert_eq!(from("10.0.0.9").admitted(&strict, "login", 9).await, 9);
    let checker = Facts { endpoint: Some("/health"), ..from("10.0.0.1") };
    assert_eq!(checker.admitted(&strict, "login", 9).await, 9);
    let blocked = from("10.0.0.8").ask(&strict, "login").await.unwrap_err();
    assert!(matches!(blocked, Error::Blocked), "{blocked}");
    // With a header, the lists are about the client, and never about the proxy.
    let client = from("10.0.0.9").with("x-forwarded-for", "192.0.2.1");
    assert_eq!(client.admitted(&strict, "login", 9).await, 1);

    let lenient = configured(&format!("client_ip_header_required = false\n{configuration}")).await;
    for request in [from("10.0.0.1"), from("10.0.0.2").with("x-forwarded-for", "10.0.0.3")] {
        assert_eq!(request.admitted(&lenient, "login", 9).await, 1);
        let verdict = request.ask(&lenient, "login").await.unwrap().verdict();
        assert_eq!(verdict, Verdict::Banned, "{request:?}");
    }
    let client = from("10.0.0.1").with("x-forwarded-for", "192.0.2.1");
    assert_eq!(client.admitted(&lenient, "login", 9).await, 1);
}

/// One failing key of many behind an address bans the address.
#[tokio::test]
async fn failures_of_one_key_do_not_ban_its_neighbours() {
    let limiter = configured(
        "[policies.api]\nquota = \"1/hour\"\nkey = \"header:x-api-key\"\nper_address = 10\n\
         ban = { threshold = 3, window = \"1h\", duration = \"1h\" }",
    )
    .await;
    let with = |key: &str| from("192.0.2.1").with("x-api-key", key);
    assert_eq!(with("expired").admitted(&limiter, "api", 9).await, 1);
    assert_eq!(with("expired").ask(&limiter, "api").await.unwrap().verdict(), Verdict::Banned);
    assert_eq!(with("valid").admitted(&limiter, "api", 2).await, 1);
}

/// A proxy that nobody has named, with a public address: all clients are one. A
/// stranger that sends the header is not taken for one.
#[tokio::test]
async fn the_only_peer_is_noticed_though_its_address_is_public() {
    for strangers in [0, 1] {
        let log = CapturedLog::start();
        let limiter = configured("[policies.api]\nquota = \"1000/hour\"").await;
        from("198.51.100.1").admitted(&limiter, "api", strangers).await;
        let proxied = from("203.0.113.1").with("x-forwarded-for", "192.0.2.1");
        assert_eq!(proxied.admitted(&limiter, "api", 300).await, 300);
        let hints = log.text().matches("trusted_proxies = [\"203.0.113.1\"]").count();
        assert_eq!(hints, 1 - strangers as usize, "{}", log.text());
    }
}

/// Lines of a log that a header has written.
#[tokio::test]
async fn headers_write_no_lines_into_a_log() {
    let proxied = "trusted_proxies = [\"10.0.0.0/8\"]\nclient_ip_header = \"forwarded\"\n";
    let limiter = configured(&format!("{proxied}{TEN}")).await;
    for value in ["for=\"1.2.3.4\r\nadmin logged in\"", "\u{1b}[31m", "for=\0", "for=\"\\\r\\\n"] {
        let error = from("10.0.0.1").with("forwarded", value).ask(&limiter, "api").await;
        let told = error.unwrap_err().to_string();
        assert!(!told.contains(char::is_control) && !told.contains("admin"), "{told:?}");
    }
}

/// Exemptions by the path as it was sent: `/health/../login`.
#[actix_web::test]
async fn what_is_skipped_is_what_was_matched() {
    use actix_web::{App, test, web};
    let limiter = configured("[policies.api]\nquota = \"1/hour\"").await;
    let limit = limiter_actix::RateLimit::new(limiter.policy("api").unwrap());
    let limit = limit.skip(|request| request.match_pattern().as_deref() == Some("/health"));
    let hello = || async { "hello" };
    let app = App::new()
        .wrap(limit)
        .route("/health", web::get().to(hello))
        .route("/login", web::get().to(hello));
    let service = test::init_service(app).await;
    let mut statuses = Vec::new();
    for path in [
        "/health",
        "/health",
        "/login",
        "/health/../login",
        "/login#/health",
        "/health/%2e%2e/login",
    ] {
        let request =
            test::TestRequest::get().uri(path).peer_addr("192.0.2.1:5000".parse().unwrap());
        statuses.push(test::call_service(&service, request.to_request()).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
}
