//! Items of structured fields (RFC 9651), serialised by `sfv`.

use sfv::{Integer, ItemSerializer, KeyRef, StringRef};

use crate::{
    decision::QuotaStatus,
    quota::{MAX_UNITS, Quota},
    response::headers::{effective_window, seconds},
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

/// `10;w=60`, as drafts -03 to -07 have it.
pub(crate) fn old_policy_item(quota: &Quota) -> String {
    let window = KeyRef::from_str("w").expect("it is a letter");
    let item = ItemSerializer::new().bare_item(integer(quota.limit()));
    item.parameter(window, integer(seconds(quota.window_micros()))).finish()
}

/// `"api";r=3;t=42`. It is written for every response, so it costs no more than
/// two numbers: `sfv` has serialised the rest once.
pub(crate) fn status_item(name: &str, status: &QuotaStatus) -> String {
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new()];
    let [r, t] = &mut digits;
    let r = r.format(status.remaining().min(MAX_UNITS));
    let t = t.format(effective_window(status).min(MAX_UNITS));
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
