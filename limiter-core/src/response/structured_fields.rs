//! Items of structured fields (RFC 9651). They are text that needs no escapes and
//! numbers alone, so that a serialiser is not worth its dependency; a test parses
//! them with one.

use crate::{
    algorithm::Wait,
    decision::QuotaStatus,
    quota::{MAX_UNITS, Quota},
};

/// `"api";q=10;w=60`
pub(crate) fn policy_item(name: &str, quota: &Quota) -> String {
    let (limit, window) = (integer(quota.limit()), integer(seconds(quota.window_micros())));
    format!("{};q={limit};w={window}", status_name(name))
}

/// `"api"`, with which a [status item](status_item) begins.
pub(crate) fn status_name(name: &str) -> String {
    // Names of policies are letters, digits, "-", "_" and "." alone.
    format!("\"{name}\"")
}

/// `10;w=60`, as drafts -03 to -07 have it.
pub(crate) fn old_policy_item(quota: &Quota) -> String {
    format!("{};w={}", integer(quota.limit()), integer(seconds(quota.window_micros())))
}

/// `"api";r=3;t=42`. It is written for every response, so it costs no more than
/// two numbers, and has no room behind it: `Bytes` then takes it over as it is.
pub(crate) fn status_item(name: &str, status: &QuotaStatus) -> String {
    let remaining = status.remaining();
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new()];
    let [r, t] = &mut digits;
    let r = r.format(integer(remaining));
    let t = t.format(integer(effective_window(status, remaining)));
    let mut item = String::with_capacity(name.len() + ";r=;t=".len() + r.len() + t.len());
    for part in [name, ";r=", r, ";t=", t] {
        item.push_str(part);
    }
    item
}

/// At most 15 digits, as the RFC has it.
fn integer(value: u64) -> u64 {
    value.min(MAX_UNITS)
}

/// Whole seconds, rounded up.
pub(crate) const fn seconds(micros: u64) -> u64 {
    micros.div_ceil(1_000_000)
}

/// The seconds within which no more than these `remaining` units can be used.
#[inline]
pub(crate) fn effective_window(status: &QuotaStatus, remaining: u64) -> u64 {
    let micros = match status.wait() {
        Wait::Micros(wait) => wait,
        Wait::None | Wait::Never => status.usage.effective_window(remaining),
    };
    // With nothing left, 0 would say that there is no need to wait.
    seconds(micros).max(u64::from(remaining == 0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sfv::{BareItem, Item, Parser};

    use super::*;

    fn parsed(item: &str) -> Item {
        Parser::new(item).parse().unwrap_or_else(|error| panic!("{item}: {error}"))
    }

    #[test]
    fn a_parser_of_the_rfc_reads_what_is_written() {
        let year = Duration::from_secs(31_536_000);
        for (name, limit) in [("api", 10), ("a-b_c.1h", 1), ("x", MAX_UNITS)] {
            let quota = Quota::new(limit, year).expect("it is a quota");
            let item = parsed(&policy_item(name, &quota));
            assert_eq!(item.bare_item.as_string().map(|text| text.as_str()), Some(name));
            let parameters: Vec<_> = item
                .params
                .iter()
                .filter_map(|(key, value)| Some((key.as_str(), value.as_integer()?.into())))
                .collect();
            let limit = i64::try_from(limit).expect("it has 15 digits");
            assert_eq!(parameters, [("q", limit), ("w", 31_536_000)]);
            let old = parsed(&old_policy_item(&quota));
            assert_eq!(old.bare_item.as_integer().map(i64::from), Some(limit));
            assert!(matches!(parsed(&status_name(name)).bare_item, BareItem::String(_)));
        }
    }
}
