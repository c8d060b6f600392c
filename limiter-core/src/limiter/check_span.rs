//! The span of a check that waits for the store. It has names from the configuration and
//! fixed words, so that it is bounded, and no key.

use std::fmt;

use tracing::{Span, field};

use crate::{
    check::Check,
    decision::{Decision, Verdict},
    error::Error,
};

/// Returns the span `limiter.check` with the names of the policies; nothing where nobody
/// listens at the level `debug`.
pub(super) fn check_span(check: &Check<'_>) -> Span {
    tracing::debug_span!(
        "limiter.check",
        policies = %PolicyNames(check),
        verdict = field::Empty,
    )
}

/// Writes the verdict into the span.
pub(super) fn record_verdict(span: &Span, decided: &Result<Decision, Error>) {
    let verdict = match decided.as_ref().map(Decision::verdict) {
        Ok(Verdict::Allowed) => "allowed",
        Ok(Verdict::Limited) => "limited",
        Ok(Verdict::Banned) => "banned",
        Err(_) => "error",
    };
    span.record("verdict", verdict);
}

/// The names of a check's policies, with commas between them.
struct PolicyNames<'a>(&'a Check<'a>);

impl fmt::Display for PolicyNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, item) in self.0.items().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{}", item.policy.name())?;
        }
        Ok(())
    }
}
