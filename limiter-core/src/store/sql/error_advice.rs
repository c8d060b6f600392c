//! Advice for the operator about an error of a SQL database.
//!
//! Input: the database's own words. Output: the same with advice behind them.

/// Parts of what databases say, in lower case, and the advice. The first that is found
/// counts.
const ADVICE: [(&[&str], &str); 10] = [
    (
        &["read-only", "read only", "readonly"],
        "a store needs a server that it can write to; name the primary in the URL, not a standby",
    ),
    (&["using password"], "check the user and the password in the URL"),
    (
        &["no database selected"],
        "name a database in the URL: mysql://user:password@host:port/database",
    ),
    (
        &["permission denied", "command denied", "access denied for user", "not authorized"],
        "grant the role SELECT, INSERT, UPDATE and DELETE on the tables {prefix}_*, or the right \
         to make them; see RemoteStoreBuilder::schema()",
    ),
    (&["password", "role ", "authentication"], "check the user and the password in the URL"),
    (&["does not exist", "unknown database"], "create the database, or name another in the URL"),
    (
        &["too many connections", "too many clients", "remaining connection slots"],
        "lower pool_size, or raise the server's limit of connections",
    ),
    (&["full", "no space", "disk"], "make room on the server's disk"),
    (
        &["refused", "does not answer", "did not answer", "timed out", "lookup", "resolve"],
        "check host and port in the URL, and that the server runs",
    ),
    (&["unable to open"], "check that the folder exists and can be written to"),
];

/// Returns the words of a database with advice, if there is any.
pub(super) fn explain(words: &str, prefix: &str) -> String {
    let lower = words.to_lowercase();
    let is_found = |(parts, _): &&(&[&str], &str)| parts.iter().any(|part| lower.contains(part));
    match ADVICE.iter().find(is_found) {
        Some((_, advice)) => format!("{words}; {}", advice.replace("{prefix}", prefix)),
        None => words.to_owned(),
    }
}
