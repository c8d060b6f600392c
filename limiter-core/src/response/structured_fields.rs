//! Items of structured fields (RFC 9651), serialised by `sfv`.

use sfv::{Integer, ItemSerializer, KeyRef, StringRef};

use crate::{
    algorithm::Wait,
    decision::QuotaStatus,
    quota::{MAX_UNITS, Quota},
    response::headers::seconds,
};

/// `"api";q=10;w=60`
pub(crate) fn policy_item(name: &str, quota: &Quota) -> String {
    let window = seconds(quota.window_micros());
    item(name, [("q", quota.limit()), ("w", window)])
}

/// `"api"`, with which a [status item](status_item) begins.
pub(crate) fn status_name(name: &str) -> String {
    item(name, [])
}

/// `"api";r=3;t=42`. It is made for every response, so that it costs no more than
/// writing two numbers: `sfv` has serialised the rest once.
pub(crate) fn status_item(name: &str, status: &QuotaStatus) -> String {
    let remaining = status.remaining();
    let micros = match status.wait() {
        Wait::Micros(wait) => wait,
        Wait::None | Wait::Never => status.usage.effective_window(),
    };
    // With nothing left, 0 would say that there is no need to wait.
    let window = seconds(micros).max(u64::from(remaining == 0));
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new()];
    let [r, t] = &mut digits;
    let (r, t) = (r.format(remaining.min(MAX_UNITS)), t.format(window.min(MAX_UNITS)));
    let parts = [name, ";r=", r, ";t=", t];
    let mut item = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| item.push_str(part));
    item
}

fn item<const N: usize>(name: &str, parameters: [(&'static str, u64); N]) -> String {
    // Names of policies are letters, digits, "-", "_" and "." alone.
    let name = StringRef::from_str(name).expect("a policy's name is printable ASCII");
    let mut item = ItemSerializer::new().bare_item(name);
    for (key, value) in parameters {
        let key = KeyRef::from_str(key).expect("a parameter's key is lower-case letters");
        item = item.parameter(key, integer(value));
    }
    item.finish()
}

/// At most 15 digits, as the RFC has it.
fn integer(value: u64) -> Integer {
    let value = i64::try_from(value.min(MAX_UNITS)).unwrap_or(i64::MAX);
    Integer::try_from(value).unwrap_or(Integer::MAX)
}
