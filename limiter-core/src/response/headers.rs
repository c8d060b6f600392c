//! Telling clients: the `RateLimit` header fields.
//!
//! By default as draft-ietf-httpapi-ratelimit-headers-08 to -11 write them:
//! ```text
//! ratelimit-policy: "api";q=10;w=60
//! ratelimit: "api";r=3;t=42
//! ```
//! `q` units per `w` seconds; `r` of them can be used at once, and no more than
//! that within the next `t` seconds. A policy of several quotas is told as
//! several, `"api.1s"` and `"api.1h"`, since names are unique within a field.
//! A window that is not whole seconds is told rounded up, so that a client that
//! paces itself by `q / w` is never too fast.
//!
//! The draft is none that has settled: its next revision may rename `r` and
//! `t`. So a style names the revision it writes.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::{
    decision::{Decision, QuotaStatus, Verdict},
    policy::{HeaderStyle, Mode, Policy},
    quota::Length,
    response::structured_fields::{policy_item, status_item, status_name},
};

/// Header fields: names in lower case, and values. What is the same in all
/// responses is borrowed of the [`PolicySet`](crate::PolicySet).
pub type Fields<'a> = SmallVec<[(&'static str, Cow<'a, str>); 3]>;

/// What is the same in all responses of a set: quotas' names and the policy field.
#[derive(Debug)]
pub(crate) struct Names {
    /// A policy's position, then a quota's.
    quotas: Vec<Vec<Name>>,
    policy_field: Option<String>,
}

/// A quota's name, and the same as a String of a structured field.
#[derive(Debug)]
struct Name {
    plain: String,
    serialised: String,
}

impl Names {
    pub(crate) fn new(policies: &[Policy]) -> Self {
        let names: Vec<_> = policies.iter().map(quota_names).collect();
        let items: Vec<_> = policies
            .iter()
            .zip(&names)
            .filter(|(policy, _)| {
                policy.headers() == HeaderStyle::Draft11 && policy.mode() == Mode::Enforce
            })
            .flat_map(|(policy, names)| names.iter().zip(policy.quotas().iter()))
            .map(|(name, quota)| policy_item(name, quota))
            .collect();
        let policy_field = (!items.is_empty()).then(|| items.join(", "));
        let name = |plain: String| Name { serialised: status_name(&plain), plain };
        let names = names.into_iter().map(|names| names.into_iter().map(name).collect());
        Self { quotas: names.collect(), policy_field }
    }

    pub(crate) fn of(&self, status: &QuotaStatus) -> &str {
        self.name(status).map_or("", |name| &name.plain)
    }

    fn name(&self, status: &QuotaStatus) -> Option<&Name> {
        self.quotas.get(status.policy())?.get(status.index())
    }

    pub(crate) fn policy_field(&self) -> Option<&str> {
        self.policy_field.as_deref()
    }

    /// The fields of a decision. A ban tells nothing but when it ends: what is
    /// left of the quotas does not help a banned client.
    pub(crate) fn fields(&self, policies: &[Policy], decision: &Decision) -> Fields<'_> {
        let mut fields = Fields::new();
        if decision.verdict == Verdict::Banned {
            return fields;
        }
        let of_style = |style| {
            let statuses = decision.quotas.iter().filter(|status| !status.shadow);
            statuses.filter(move |status| policies[status.policy()].headers() == style)
        };
        let mut items = of_style(HeaderStyle::Draft11)
            .filter_map(|status| Some(status_item(&self.name(status)?.serialised, status)));
        if let Some((policy_field, first)) = self.policy_field().zip(items.next()) {
            fields.push(("ratelimit-policy", policy_field.into()));
            let list = items.fold(first, |list, item| list + ", " + &item);
            fields.push(("ratelimit", list.into()));
        }
        let tightest = of_style(HeaderStyle::XRateLimit).min_by_key(|status| status.remaining());
        if let Some(status) = tightest {
            let reset = decision.now.after(status.reset_after()).as_micros();
            fields.push(("x-ratelimit-limit", number(status.limit())));
            fields.push(("x-ratelimit-remaining", number(status.remaining())));
            fields.push(("x-ratelimit-reset", number(seconds(reset))));
        }
        fields
    }
}

fn number(number: u64) -> Cow<'static, str> {
    itoa::Buffer::new().format(number).to_owned().into()
}

/// Whole seconds, rounded up.
pub(crate) const fn seconds(micros: u64) -> u64 {
    micros.div_ceil(1_000_000)
}

fn quota_names(policy: &Policy) -> Vec<String> {
    let quotas = policy.quotas();
    let window = |at: usize| quotas[at].window_micros();
    let name = |at: usize| {
        if quotas.len() == 1 {
            return policy.name().to_owned();
        }
        let name = format!("{}.{}", policy.name(), Length(window(at)));
        // Quotas are sorted by window: equal ones stand side by side.
        match (0..at).rev().take_while(|&before| window(before) == window(at)).count() {
            0 => name,
            before => format!("{name}.{}", before + 1),
        }
    };
    (0..quotas.len()).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Quotas;

    fn policy(quotas: &str) -> Policy {
        Policy::new("api", quotas.parse::<Quotas>().unwrap()).unwrap()
    }

    #[test]
    fn the_policy_field_names_each_quota_once() {
        let table = [
            ("10/minute", "\"api\";q=10;w=60"),
            ("1000/hour; 10/s", "\"api.1s\";q=10;w=1, \"api.1h\";q=1000;w=3600"),
            ("5/10ms", "\"api\";q=5;w=1"),
            ("5/1500ms", "\"api\";q=5;w=2"),
            ("1/s; 2/s; 9/m", "\"api.1s\";q=1;w=1, \"api.1s.2\";q=2;w=1, \"api.1m\";q=9;w=60"),
            ("999999999999999/d", "\"api\";q=999999999999999;w=86400"),
        ];
        for (quotas, field) in table {
            let names = Names::new(&[policy(quotas)]);
            assert_eq!(names.policy_field.as_deref(), Some(field), "{quotas}");
        }
    }

    #[test]
    fn shadow_and_other_styles_are_not_told() {
        let shadow = policy("10/minute").with_mode(Mode::Shadow);
        let other = policy("10/minute").with_headers(HeaderStyle::XRateLimit);
        let none = policy("10/minute").with_headers(HeaderStyle::None);
        assert_eq!(Names::new(&[shadow, other, none]).policy_field, None);
    }
}
