//! A store's URL that is wrong: the error says what to write, and holds no value
//! of the URL. No server is asked.

use std::error::Error;

use limiter_core::{Config, RemoteStore};

/// Wrong URLs, and a part of their errors. Whatever begins with `secret` or `7777`
/// is the value of a password.
const TABLE: [(&str, &str); 29] = [
    // Parameters that nothing reads.
    ("postgres://user:secret@h/db?passwrd=secret2", "parameter 1 of the URL is unknown"),
    ("postgres://user@h/db?sslmode=require&secret", "parameter 2 of the URL is unknown"),
    ("postgres://h/db?pass%77ord=secret", "parameter 1 of the URL is unknown"),
    ("mysql://user:secret@h/db?password=secret2", "leave it out, or write one of socket"),
    ("mariadb://user:secret@h/db?ssl_mode=secret2", "ssl-mode"),
    ("redis://:secret@h/?db=2", "redis://host:port/2"),
    ("redis://h/?password=secret", "parameter 1 of the URL is unknown"),
    ("rediss://:secret@h/?db=2", "redis://host:port/2"),
    ("redis-sentinel://:secret@h:1,h:2/service?db=2", "redis-sentinel://host:port/service/2"),
    ("rediss-sentinel://:secret@h:1/service?password=secret2", "parameter 1"),
    ("redis-cluster://:secret@h:1,h:2?db=2", "parameter 1"),
    ("redis+unix:///a/b.sock?password=secret", "write one of db, user, pass, protocol"),
    ("unix://secret/b.sock", "write redis+unix:///path/to/redis.sock"),
    ("redis+unix:///a/b.sock?db=secret", "write redis+unix:///path/to/redis.sock"),
    ("rediss-cluster://:secret@h:1,h:2/?password=secret2", "parameter 1"),
    // A password that ends the host: the user would be the host, and its beginning
    // the port.
    ("postgres://user:7777?secret@h/db", "? as %3F"),
    ("mysql://user:7777#secret@h/db", "# as %23"),
    ("mysql://user:7777/secret@h/db", "/ as %2F"),
    ("redis://user:7777#secret@h", "# as %23"),
    ("redis-cluster://user:7777/secret@h:1,h:2", "/ as %2F"),
    ("rediss://user:7777/secret@h", "/ as %2F"),
    // Ports, values and encodings that are none.
    ("postgres://user:secret@h:99999/db", "write postgres://user:password@host:port/database"),
    ("postgres://user:%ffsecret@h/db", "write postgres://user:password@host:port/database"),
    ("postgres://user@h/db?sslmode=secret", "write postgres://user:password@host:port/database"),
    ("mysql://user:secret@h:port/db", "write mysql://user:password@host:port/database"),
    ("mysql://user:%ffsecret@h/db", "write mysql://user:password@host:port/database"),
    ("redis://user:secret@h:99999", "write redis://[user:password@]host:port/database"),
    ("redis://user:%ffsecret@h", "write redis://[user:password@]host:port/database"),
    ("user:secret@redis://h", "there is no store"),
];

/// Returns the message of an error, those of its sources, and what Debug writes.
fn all_words(error: &dyn Error) -> String {
    let sources = error.source().map(all_words).unwrap_or_default();
    format!("{error}\n{error:?}\n{sources}")
}

#[tokio::test]
async fn a_wrong_url_is_refused_without_its_values() {
    for (url, expected) in TABLE {
        let error = RemoteStore::builder(url).connect().await.expect_err(url);
        let words = all_words(&error);
        assert!(words.contains(expected), "{expected:?} of {url}: {words}");
        assert!(!words.contains("secret") && !words.contains("7777"), "{url}: {words}");
    }
}

/// The configuration is refused before a server is asked.
#[test]
fn a_configuration_with_an_unknown_parameter_is_refused() {
    let error = Config::from_toml("store = \"redis://h/?db=2\"").unwrap_err().to_string();
    assert!(error.starts_with("store: parameter 1 of the URL is unknown"), "{error}");
}

/// Each parameter that is read is let through, and so are characters that are encoded.
#[test]
fn urls_that_are_right_are_not_refused() {
    for url in [
        "postgres://u:p%2F%3F%23%40@h:1/db?sslmode=verify-full&sslrootcert=/a/b.pem",
        "postgres:///db?host=/run/postgresql&options[search_path]=a&options=-c%20jit%3Doff",
        "mysql://u:p@h/db?ssl-mode=VERIFY_CA&ssl-ca=/a/b.pem&socket=/run/mysql.sock",
        "redis://:p%40@h:1/3?protocol=resp3",
        "rediss://h#insecure",
        "redis+unix:///run/redis.sock?db=1&user=u&pass=p%40",
        "unix:///run/redis.sock",
        "redis-sentinel://u:p@h:1,h:2/service/2",
        "redis-cluster://u:p@h:1,h:2",
        "sqlite://a/b@c#d.db",
    ] {
        let schema = RemoteStore::builder(url).schema();
        assert!(schema.is_ok(), "{url}: {schema:?}");
    }
}
