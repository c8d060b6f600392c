//! The header fields that show clients what is left: `RateLimit` and the like.
//!
//! By default as draft-ietf-httpapi-ratelimit-headers-08 to -11 write them:
//! ```text
//! ratelimit-policy: "api";q=10;w=60
//! ratelimit: "api";r=3;t=42
//! ```
//! `q` units per `w` seconds; `r` of them can be used at once, and no more than
//! that within the next `t` seconds. A policy of several quotas is written as
//! several, `"api.1s"` and `"api.1h"`, since names are unique within a field.
//! A window that is not whole seconds is rounded up, so that a client that
//! paces itself by `q / w` is never too fast.
//!
//! The draft is not final: its next revision may rename `r` and `t`. So a style
//! names the revision it writes. Policies that one set decides together should
//! have one style.

use std::borrow::Cow;

use crate::{
    decision::{Decision, QuotaStatus, Verdict},
    policy::{HeaderStyle, HeaderStyles, Mode, Policy},
    quota::{Length, Quota},
    response::structured_fields::{
        effective_window, old_policy_item, policy_item, seconds, status_item, status_name,
    },
};

/// The texts that are the same in all responses of a policy set.
#[derive(Debug)]
pub(crate) struct SetTexts {
    policies: Vec<Policy>,
    /// One list a policy, one entry a quota.
    quotas: Vec<Vec<QuotaTexts>>,
    /// The value of `ratelimit-policy`, if any policy's style has it.
    policy_field: Option<String>,
    /// True if a policy has another style than [`HeaderStyle::Draft11`].
    has_older_styles: bool,
}

#[derive(Debug)]
struct QuotaTexts {
    /// The name that clients read.
    name: String,
    /// The name as a String of a structured field.
    status_name: String,
    /// The quota's item in `ratelimit-policy`.
    policy_item: String,
}

impl SetTexts {
    pub(crate) fn new(policies: &[Policy]) -> Self {
        let quotas: Vec<Vec<_>> = policies.iter().map(QuotaTexts::of).collect();
        let newest = HeaderStyles::from(HeaderStyle::Draft11);
        let has_older_styles = policies.iter().any(|policy| policy.headers() != newest);
        let policies = policies.to_vec();
        let mut texts = Self { policies, quotas, policy_field: None, has_older_styles };
        texts.policy_field = texts.join_policy_items(0);
        texts
    }

    pub(crate) fn policies(&self) -> &[Policy] {
        &self.policies
    }

    pub(crate) fn quota_name(&self, status: &QuotaStatus) -> &str {
        self.quota(status).map_or("", |quota| &quota.name)
    }

    pub(crate) fn policy_field(&self) -> Option<&str> {
        self.policy_field.as_deref()
    }

    /// Calls `write` with the name and value of each field of a decision, but for the
    /// policies at the positions of the bits of `superseded`: a limit further in has counted them at a higher
    /// cost. A ban shows only when it ends: what is left of the quotas does not
    /// help a banned client.
    pub(crate) fn write_fields<'a>(
        &'a self,
        decision: &Decision,
        superseded: u64,
        write: &mut dyn FnMut(&'static str, Cow<'a, str>),
    ) {
        if decision.verdict() == Verdict::Banned {
            return;
        }
        let shown = Shown { texts: self, decision, superseded };
        let draft_11 = shown.draft_11();
        let OlderStyles { draft_7, draft_6, x_ratelimit } = shown.older_styles();
        let has_draft = draft_11.is_some() || draft_7.is_some() || draft_6.is_some();
        if has_draft && let Some(value) = shown.policy_field() {
            write("ratelimit-policy", value);
        }
        if let Some(value) = draft_11 {
            write("ratelimit", value.into());
        }
        if let Some(status) = draft_7 {
            let [limit, remaining, reset] = draft_numbers(status);
            let value = format!("limit={limit}, remaining={remaining}, reset={reset}");
            write("ratelimit", value.into());
        }
        if let Some(status) = draft_6 {
            let [limit, remaining, reset] = draft_numbers(status);
            write("ratelimit-limit", number(limit));
            write("ratelimit-remaining", number(remaining));
            write("ratelimit-reset", number(reset));
        }
        if let Some(status) = x_ratelimit {
            let reset = decision.now.after(status.reset_after()).as_micros();
            write("x-ratelimit-limit", number(status.limit()));
            write("x-ratelimit-remaining", number(status.remaining()));
            write("x-ratelimit-reset", number(seconds(reset)));
        }
    }

    fn quota(&self, status: &QuotaStatus) -> Option<&QuotaTexts> {
        self.quotas.get(status.policy())?.get(status.index())
    }

    /// The value of `ratelimit-policy`, less the superseded policies.
    fn join_policy_items(&self, superseded: u64) -> Option<String> {
        let shown =
            self.policies.iter().zip(&self.quotas).enumerate().filter(|(at, (policy, _))| {
                policy.mode() == Mode::Enforce && !is_superseded(superseded, *at)
            });
        let items =
            shown.flat_map(|(_, (_, quotas))| quotas.iter().map(|q| q.policy_item.as_str()));
        let items: Vec<_> = items.filter(|item| !item.is_empty()).collect();
        (!items.is_empty()).then(|| items.join(", "))
    }
}

/// The quota with the least remaining, of the policies of each older style.
#[derive(Default)]
struct OlderStyles<'d> {
    draft_7: Option<&'d QuotaStatus>,
    draft_6: Option<&'d QuotaStatus>,
    x_ratelimit: Option<&'d QuotaStatus>,
}

/// The part of a decision that the client is to see.
struct Shown<'a, 'd> {
    texts: &'a SetTexts,
    decision: &'d Decision,
    superseded: u64,
}

impl<'a, 'd> Shown<'a, 'd> {
    fn of_style(&self, style: HeaderStyle) -> impl Iterator<Item = &'d QuotaStatus> {
        self.decision.quotas.iter().filter(move |status| {
            !status.is_shadow()
                && self.texts.policies[status.policy()].headers().contains(style)
                && !is_superseded(self.superseded, status.policy())
        })
    }

    fn older_styles(&self) -> OlderStyles<'d> {
        if !self.texts.has_older_styles {
            return OlderStyles::default();
        }
        let tightest =
            |style| self.of_style(style).min_by_key(|status: &&QuotaStatus| status.remaining());
        OlderStyles {
            draft_7: tightest(HeaderStyle::Draft7),
            draft_6: tightest(HeaderStyle::Draft6),
            x_ratelimit: tightest(HeaderStyle::XRateLimit),
        }
    }

    fn draft_11(&self) -> Option<String> {
        let mut list: Option<String> = None;
        for status in self.of_style(HeaderStyle::Draft11) {
            let name = self.texts.quota(status).map_or("", |quota| &quota.status_name);
            let item = status_item(name, status);
            list = Some(match list {
                None => item,
                Some(list) => list + ", " + &item,
            });
        }
        list
    }

    fn policy_field(&self) -> Option<Cow<'a, str>> {
        if self.superseded == 0 {
            return self.texts.policy_field().map(Cow::Borrowed);
        }
        self.texts.join_policy_items(self.superseded).map(Cow::Owned)
    }
}

/// Returns true if the bit of that position is set. A set of more than 64 policies shows
/// those beyond in any case.
const fn is_superseded(superseded: u64, at: usize) -> bool {
    at < 64 && superseded >> at & 1 == 1
}

/// Limit, remaining and reset as drafts -06 and -07 write them.
fn draft_numbers(status: &QuotaStatus) -> [u64; 3] {
    let remaining = status.remaining();
    [status.limit(), remaining, effective_window(status, remaining)]
}

pub(crate) fn number(number: u64) -> Cow<'static, str> {
    itoa::Buffer::new().format(number).to_owned().into()
}

impl QuotaTexts {
    /// The texts of each quota of a policy.
    fn of(policy: &Policy) -> Vec<Self> {
        let headers = policy.headers();
        let texts = |(name, quota): (String, &Quota)| {
            let is_old =
                headers.contains(HeaderStyle::Draft7) || headers.contains(HeaderStyle::Draft6);
            let policy_item = match headers.contains(HeaderStyle::Draft11) {
                true => policy_item(&name, quota),
                false if is_old => old_policy_item(quota),
                false => String::new(),
            };
            Self { status_name: status_name(&name), policy_item, name }
        };
        quota_names(policy).into_iter().zip(policy.quotas().iter()).map(texts).collect()
    }
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
            let texts = SetTexts::new(&[policy(quotas)]);
            assert_eq!(texts.policy_field.as_deref(), Some(field), "{quotas}");
        }
    }

    #[test]
    fn shadow_and_other_styles_are_not_in_the_policy_field() {
        let shadow = policy("10/minute").with_mode(Mode::Shadow);
        let other = policy("10/minute").with_headers(HeaderStyle::XRateLimit);
        let none = policy("10/minute").with_headers(HeaderStyle::None);
        assert_eq!(SetTexts::new(&[shadow, other, none]).policy_field, None);
    }
}
