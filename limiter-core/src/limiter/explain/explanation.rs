//! The explanation of a request, for serialisation.

use std::{net::IpAddr, time::Duration};

use serde::{Serialize, Serializer};

use crate::{
    check::Item,
    decide::{PriorState, Usage},
    error::Error,
    policy::Mode,
    response::Refusal,
    time::{Timestamp, micros},
};

/// The answer that a request would get, and why: from
/// [`PolicySet::explain`](crate::PolicySet::explain).
///
/// Serialised, durations are whole microseconds, and instants microseconds since the
/// Unix epoch. As text it is some lines for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Where the request is from.
    pub client: ExplainedClient,
    /// The policies that would count it, those that are off left out.
    pub policies: Vec<ExplainedPolicy>,
    /// The answer.
    pub answer: ExplainedAnswer,
}

/// The client of a request: its address and how that was found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedClient {
    /// The address, before IPv6 is cut to a network.
    pub address: Option<IpAddr>,
    /// Where the address is from: `peer`, `fallback_address`, or the name of a header.
    pub found_in: Option<String>,
    /// The list of networks that has the address: `allow`, `block` or `never_ban`.
    pub list: Option<&'static str>,
    /// The network of that list.
    pub network: Option<String>,
    /// True if the endpoint is exempt.
    pub is_exempt: bool,
}

/// One policy, and what is kept of its key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedPolicy {
    /// The policy's name.
    pub policy: String,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
    /// The key, without what may be secret.
    pub key: String,
    /// The reason why the key is never banned, if it is not.
    pub never_banned: Option<&'static str>,
    /// Each quota; empty where nothing is known, since the store does not answer.
    pub quotas: Vec<ExplainedQuota>,
    /// Strikes, where the key can be banned.
    pub strikes: Option<ExplainedStrikes>,
    /// The last ban that is remembered.
    pub ban: Option<ExplainedBan>,
}

/// The usage of one quota.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedQuota {
    /// The quota, as it is written.
    pub quota: String,
    /// Units used, at most as many as there are.
    pub used: u64,
    /// Units left.
    pub remaining: u64,
    /// How long until nothing is used any more.
    #[serde(rename = "reset_after_micros", serialize_with = "as_micros")]
    pub reset_after: Duration,
}

/// How near a ban is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedStrikes {
    /// Strikes that count now.
    pub count: u64,
    /// Strikes that ban.
    pub threshold: u64,
}

/// A ban, in force or past.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedBan {
    /// True if it holds now.
    pub in_force: bool,
    /// When it ends, or has ended.
    #[serde(rename = "until_micros", serialize_with = "instant_as_micros")]
    pub until: Timestamp,
    /// How long it was when it began.
    #[serde(rename = "duration_micros", serialize_with = "as_micros")]
    pub duration: Duration,
    /// The bans so far, this one included.
    pub count: u32,
}

/// The answer that the request would get.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedAnswer {
    /// The status of the refusal; `None` if the request passes.
    pub status: Option<u16>,
    /// How long the same request has to wait, if that is known.
    #[serde(rename = "retry_after_micros", serialize_with = "optional_as_micros")]
    pub retry_after: Option<Duration>,
    /// The part that would answer.
    pub by: AnsweredBy,
    /// The error, where the request could not be decided.
    pub error: Option<String>,
}

/// The part of the limiter that would answer a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnsweredBy {
    /// A list of addresses, exempt endpoints, or the mode `off`: nothing is counted.
    Configuration,
    /// The resolution of the client's address, which has failed.
    ClientAddress,
    /// The store.
    Store,
    /// A refusal of the store that still answers.
    DenyCache,
    /// The fallback of `on_store_error`: the store does not answer.
    Fallback,
}

impl Explanation {
    /// Returns the explanation of a request that is not counted.
    pub(super) fn of_uncounted(client: ExplainedClient) -> Self {
        let answer = ExplainedAnswer::passes(AnsweredBy::Configuration);
        Self { client, policies: Vec::new(), answer }
    }

    /// Returns the explanation of a request whose client is blocked, or not known.
    pub(super) fn of_error(client: ExplainedClient, error: &Error) -> Self {
        let by = match error {
            Error::Blocked => AnsweredBy::Configuration,
            _ => AnsweredBy::ClientAddress,
        };
        Self { client, policies: Vec::new(), answer: ExplainedAnswer::undecided(error, by) }
    }
}

impl ExplainedAnswer {
    pub(super) const fn passes(by: AnsweredBy) -> Self {
        Self { status: None, retry_after: None, by, error: None }
    }

    pub(super) fn refused(refusal: &Refusal, by: AnsweredBy) -> Self {
        let (status, retry_after) = (Some(refusal.status()), refusal.retry_after());
        Self { status, retry_after, by, error: None }
    }

    pub(super) fn undecided(error: &Error, by: AnsweredBy) -> Self {
        let refusal = Refusal::of_error(error);
        Self { error: Some(error.to_string()), ..Self::refused(&refusal, by) }
    }
}

impl ExplainedPolicy {
    pub(super) fn new(item: Item<'_>, state: Option<&PriorState>, now: Timestamp) -> Self {
        let Item { policy, subject } = item;
        let record = state.and_then(PriorState::ban_record);
        let strikes = policy.ban().zip(record).map(|(rule, record)| ExplainedStrikes {
            count: record.strike_count(),
            threshold: rule.threshold(),
        });
        let ban = record.and_then(|record| record.ban()).map(|ban| ExplainedBan {
            in_force: ban.holds(now),
            until: ban.until,
            duration: Duration::from_micros(ban.duration),
            count: ban.count,
        });
        let quotas = state.map_or(&[][..], PriorState::usages).iter().map(ExplainedQuota::new);
        Self {
            policy: policy.name().to_owned(),
            mode: if policy.mode() == Mode::Shadow { "shadow" } else { "enforce" },
            key: subject.key.to_string(),
            never_banned: match (policy.ban(), subject.is_bannable()) {
                (None, _) => Some("the policy has no ban rule"),
                (Some(_), false) => Some("the address is in never_ban or trusted_proxies"),
                (Some(_), true) => None,
            },
            quotas: quotas.collect(),
            strikes,
            ban,
        }
    }
}

impl ExplainedQuota {
    fn new(usage: &Usage) -> Self {
        let remaining = usage.remaining();
        Self {
            quota: usage.quota().to_string(),
            used: usage.quota().burst().saturating_sub(remaining),
            remaining,
            reset_after: Duration::from_micros(usage.reset_after()),
        }
    }
}

fn as_micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(micros(*duration))
}

fn optional_as_micros<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(micros).serialize(serializer)
}

fn instant_as_micros<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(instant.as_micros())
}
