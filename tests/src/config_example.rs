//! End-to-end checks of both programs that are configured by a file.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{Server, header, refused_to_start, run_to_end};

/// A program that reads its limits from a TOML file.
#[derive(Clone, Copy, Debug)]
pub struct ConfigExample {
    /// The program.
    pub program: &'static str,
    /// The file that comes with it.
    pub file: &'static str,
    /// The environment variable that names another.
    pub file_variable: &'static str,
    /// The environment variable that names the port.
    pub port_variable: &'static str,
    /// The prefix of the limiter's keys in the file.
    pub prefix: &'static str,
}

impl ConfigExample {
    /// A file of that content, with the prefix before each table.
    fn write(&self, toml: &str) -> TemporaryFile {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("limiter-{}-{count}.toml", process::id());
        let path = std::env::temp_dir().join(name);
        let toml = toml.replace("[policies", &format!("[{}policies", self.prefix));
        let root = self.prefix.trim_end_matches('.');
        let toml = if root.is_empty() { toml } else { format!("[{root}]\n{toml}") };
        fs::write(&path, toml).expect("the temporary folder can be written to");
        TemporaryFile(path)
    }

    fn start(&self, toml: &str) -> Server {
        let file = self.write(toml);
        Server::start(self.program, self.port_variable, &[(self.file_variable, file.path())])
    }
}

struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn path(&self) -> &str {
        self.0.to_str().expect("the temporary folder's name is text")
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Left behind it harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}

/// Drives a program with the file that comes with it.
///
/// # Panics
/// If it does not do what the file says.
pub fn drive(server: &Server) {
    assert_eq!(server.get("/").status(), 200);
    assert_eq!(
        header(&server.get("/api"), "ratelimit-policy"),
        r#""api.1s";q=5;w=1, "api.1h";q=100;w=3600"#
    );
    let login = |body| server.send("POST", "/login", &[], body).status().as_u16();
    assert_eq!(login("secret"), 200);
    // Four more tries and six refusals are ten strikes: the last is banned.
    let answers: Vec<_> = (0..11).map(|_| login("wrong")).collect();
    assert_eq!(answers, [401, 401, 401, 401, 429, 429, 429, 429, 429, 403, 403]);
    assert_eq!(login("secret"), 403);
    assert_eq!(server.get("/").status(), 200);
}

/// Changes numbers, keys and bans by the file alone.
///
/// # Panics
/// If the program does not do what the file says.
pub fn change_by_file(example: &ConfigExample) {
    let server = example.start(
        r#"
        store = "memory"
        trusted_proxies = ["127.0.0.0/8"]
        client_ip_header = "x-forwarded-for"
        [policies.default]
        quota = "1/hour"
        key = "header:x-api-key"
        headers = "x-ratelimit"
        [policies.api]
        quota = "2/hour"
        algorithm = "fixed_window"
        ban = { threshold = 1, window = "1m", duration = "1h", status = 429 }
        [policies.login]
        quota = "1/hour"
        key = "global"
        "#,
    );
    let from = |path, address| {
        let headers = [("x-forwarded-for", address), ("x-api-key", address)];
        server.send(if path == "/login" { "POST" } else { "GET" }, path, &headers, "secret")
    };
    for address in ["203.0.113.1", "203.0.113.2"] {
        let answers: Vec<_> = (0..3).map(|_| from("/api", address)).collect();
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status().as_u16()).collect();
        assert_eq!(statuses, [200, 200, 429], "{address}");
        assert_eq!(header(&answers[2], "retry-after"), "3600");
        assert!(answers[2].body().contains("abnormal-usage-detected"));
        assert_eq!(header(&from("/", address), "x-ratelimit-remaining"), "0");
        assert_eq!(from("/", address).status(), 429);
    }
    assert_eq!(from("/login", "203.0.113.1").status(), 200);
    assert_eq!(from("/login", "203.0.113.2").status(), 429);
}

/// Starts the program with a variable that it does not read, since it is written for the
/// other framework.
///
/// # Panics
/// If the log does not say how it is written here.
pub fn warn_of_unread(example: &ConfigExample, variable: &str, right: &str) {
    let environment = [(example.file_variable, example.file), (variable, "memory")];
    let server = Server::start(example.program, example.port_variable, &environment);
    assert_eq!(server.get("/").status(), 200);
    let expected = format!("the variable {variable} is not read here; write {right}");
    assert_eq!(server.log().with(&expected), 1, "{}", server.log());
}

/// Starts the program with configurations that are wrong, and reads what it
/// says.
///
/// # Panics
/// If it starts, or does not name what is wrong and what would be right.
pub fn refuse_wrong_ones(example: &ConfigExample) {
    let all = "[policies.default]\nquota = \"1/s\"\n[policies.api]\nquota = \"1/s\"\n\
               [policies.login]\nquota = \"1/s\"\n";
    let ban = "ban = { threshold = 3, window = \"1m\", duration = \"1m\" }\n";
    let banning = format!("{all}{ban}");
    let wrong: [(String, &[&str]); 13] = [
        (all.replace("login", "logout"), &["\"login\"", "logout"]),
        (
            format!("stroe = \"memory\"\n{all}"),
            &["stroe", "did you mean \"store\"? known are: mode, reload"],
        ),
        (
            format!("store = \"carrier-pigeon://coop\"\n{all}"),
            &["store", "carrier-pigeon", "\"memory\""],
        ),
        (format!("{all}limit = 3\n"), &["policies.login", "limit", "quota"]),
        (
            all.replacen("1/s", "10/fortnight", 1),
            &["policies.default.quota", "10/fortnight", "10/minute"],
        ),
        (all.replacen("1/s", "0/s", 1), &["policies.default.quota", "0/s", "must be 1 to"]),
        (
            all.replacen("1/s", "18446744073709551615/s", 1),
            &["policies.default.quota", "18446744073709551615", "must be 1 to 999999999999999"],
        ),
        (all.replace("login", "Login"), &["\"Login\"", "lower-case"]),
        (
            banning.replace("\"1m\", duration", "\"0s\", duration"),
            &["policies.login.ban", "window: is 0s", "longer than zero"],
        ),
        (
            banning.replace("threshold = 3", "threshold = 0"),
            &["policies.login.ban", "threshold: is 0", "1 strike or more"],
        ),
        (
            banning.replace(" }", ", factor = 0.5 }"),
            &["policies.login.ban", "factor: is 500 thousandths", "1 or more"],
        ),
        (
            banning.replace("duration =", "durration ="),
            &["policies.login.ban", "durration", "duration"],
        ),
        (
            format!("trusted_proxies = [\"10.0.0.0/33\"]\nclient_ip_header = \"forwarded\"\n{all}"),
            &["trusted_proxies", "10.0.0.0/33", "10.0.0.0/8"],
        ),
    ];
    for (toml, parts) in wrong {
        let file = example.write(&toml);
        let output = run_to_end(example.program, &[(example.file_variable, file.path())]);
        refused_to_start(&output, parts);
        let name = Path::new(file.path()).file_name().and_then(|name| name.to_str());
        let text =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        // Rocket's launch names the policy that a route lacks, not the file.
        let named = text.contains(name.unwrap_or("?")) || text.contains("Rocket.toml");
        assert!(named, "{text}");
    }
    let output = run_to_end(example.program, &[(example.file_variable, "/no/such/file.toml")]);
    refused_to_start(&output, &["/no/such/file.toml", example.file_variable]);
}
