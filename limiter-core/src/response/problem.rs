//! The kinds of refusal, and the problem document (RFC 9457) of each.

/// Room for the longest document that is common.
const CAPACITY: usize = 256;

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// A quota refuses it: 429.
    Limited,
    /// Its key is banned: 403, or 429 where the policy says so.
    Banned,
    /// Its address is in a network of the list `block`: 403.
    Blocked,
    /// Its client's address is not known, since a trusted proxy sent no usable
    /// header: 400.
    Unidentified,
    /// The store does not answer, and a policy says `on_store_error = "deny"`: 503.
    StoreUnavailable,
    /// More requests wait for the store than it can answer: 503.
    Overloaded,
    /// The application is set up wrong; the log says how: 500.
    Misconfigured,
}

/// Returns the begin of a document: its type and its title. The types are those that IANA
/// registers for draft-ietf-httpapi-ratelimit-headers-11, section 10.2; a plain status has
/// none.
const fn type_and_title(kind: RefusalKind) -> &'static str {
    macro_rules! iana {
        ($name:literal, $title:literal) => {
            concat!(
                "{\"type\":\"https://iana.org/assignments/http-problem-types#",
                $name,
                "\",\"title\":\"",
                $title,
                "\",\"status\":"
            )
        };
    }
    macro_rules! plain {
        ($title:literal) => {
            concat!("{\"type\":\"about:blank\",\"title\":\"", $title, "\",\"status\":")
        };
    }
    match kind {
        RefusalKind::Limited => iana!("quota-exceeded", "Quota exceeded"),
        RefusalKind::Banned => iana!("abnormal-usage-detected", "Abnormal usage detected"),
        RefusalKind::Blocked => plain!("Forbidden"),
        RefusalKind::Unidentified => plain!("Bad Request"),
        RefusalKind::StoreUnavailable | RefusalKind::Overloaded => {
            iana!("temporary-reduced-capacity", "Temporarily reduced capacity")
        }
        RefusalKind::Misconfigured => plain!("Internal Server Error"),
    }
}

/// A problem document being written. It is written for every refusal, so member
/// by member instead of by serde_json, which took 3,600 instructions: all texts
/// but the detail are without characters that JSON escapes.
pub(super) struct ProblemDocument(String);

impl ProblemDocument {
    pub(super) fn new(kind: RefusalKind, status: u16) -> Self {
        let mut text = String::with_capacity(CAPACITY);
        text.push_str(type_and_title(kind));
        text.push_str(itoa::Buffer::new().format(status));
        Self(text)
    }

    /// Says in how many seconds to try again, if that is known.
    pub(super) fn retry_after(&mut self, seconds: Option<u64>) {
        if let Some(seconds) = seconds {
            self.0.push_str(",\"detail\":\"Try again in ");
            self.0.push_str(itoa::Buffer::new().format(seconds));
            self.0.push_str(" s.\"");
        }
    }

    /// Adds a text of any characters.
    pub(super) fn detail(&mut self, detail: Option<&str>) {
        // A text alone: a `Value` brings its numbers, 30 KB of a program.
        if let Some(Ok(detail)) = detail.map(serde_json::to_string) {
            self.0.push_str(",\"detail\":");
            self.0.push_str(&detail);
        }
    }

    /// Adds the names of policies or quotas: letters, digits and `-_.` alone.
    pub(super) fn violated_policies<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.0.push_str(",\"violated-policies\":[");
        for (n, name) in names.enumerate() {
            self.0.push_str(if n == 0 { "\"" } else { ",\"" });
            self.0.push_str(name);
            self.0.push('"');
        }
        self.0.push(']');
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
