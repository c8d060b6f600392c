//! Encrypted connections, with certificates that are checked.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use limiter_core::Key;

use crate::{
    databases::{builder, store, unique},
    multi_process::Pair,
    remote::{admits, policy, subject},
    servers::{kept_folder, start_mariadb, start_postgres, start_redis_with_tls},
};

/// The files of a certificate for `localhost` and of its key, which servers
/// may read.
fn certificate() -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let folder = kept_folder("tls");
    let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    // Where these tests run as root, servers run as nobody.
    let _ =
        Command::new("chown").arg("nobody").arg(&key).stderr(std::process::Stdio::null()).status();
    (certificate.to_str().unwrap().to_owned(), key.to_str().unwrap().to_owned())
}

/// SSL_CERT_FILE names the certificates that the system trusts.
#[tokio::test]
async fn redis_is_spoken_to_by_tls() {
    let (certificate, key) = certificate();
    let url = start_redis_with_tls(&certificate, &key);
    let trusting = [("SSL_CERT_FILE", certificate.as_str())];
    let pair = Pair::start(&url, "quota = \"2/hour\"", [&trusting, &trusting]);
    let told =
        [&pair.actix, &pair.rocket, &pair.actix].map(|server| server.get("/api").status().as_u16());
    assert_eq!(told, [200, 200, 429]);
    // This process does not trust that certificate.
    let error = builder(&url, "limiter").connect().await.unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn postgres_is_spoken_to_by_tls() {
    let (certificate, key) = certificate();
    let (cert, key) = (format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}"));
    let (url, _) = start_postgres(&["ssl=on", &cert, &key]);
    speaks_tls(&format!("{url}?sslmode=verify-full"), "sslrootcert", &certificate).await;
}

#[tokio::test]
async fn mariadb_is_spoken_to_by_tls() {
    let (certificate, key) = certificate();
    let (cert, key) = (format!("--ssl-cert={certificate}"), format!("--ssl-key={key}"));
    let url = start_mariadb(&[&cert, &key, "--require-secure-transport"]);
    speaks_tls(&format!("{url}?ssl-mode=VERIFY_IDENTITY"), "ssl-ca", &certificate).await;
}

async fn speaks_tls(url: &str, authority: &str, certificate: &str) {
    let error = builder(url, "limiter").connect().await.unwrap_err().to_string();
    assert!(error.contains("cannot be used"), "{error}");
    assert!(error.contains("invalid peer certificate"), "{error}");
    let store = store(&format!("{url}&{authority}={certificate}"), &unique("tls")).await;
    let (policies, client) = ([policy("1/hour")], subject(Key::user("alice")));
    assert!(admits(&store, &policies, &client).await);
    assert!(!admits(&store, &policies, &client).await);
}
