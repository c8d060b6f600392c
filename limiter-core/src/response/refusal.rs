//! The response to a request that does not pass: [`Refusal`].

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    algorithm::Wait,
    ban::{BanAnswer, BanRule},
    decision::{Decision, QuotaStatus},
    error::Error,
    policy::Policy,
    request::Subjects,
    response::{
        fields::Fields,
        problem::{ProblemDocument, RefusalKind},
        ratelimit_headers::{SetTexts, number},
        retry_after::{RETRY_AFTER, retry_seconds},
    },
    time::{Clock, SystemClock, Timestamp},
};

/// The response to a request that does not pass, in neutral terms, which
/// adapters turn into their framework's.
///
/// The body is an RFC 9457 problem document, and no cache may keep it. Cheap to
/// clone: the body and the fields are written when they are needed.
#[derive(Clone, Debug)]
pub struct Refusal(Arc<Inner>);

#[derive(Debug)]
enum Inner {
    Decided(DecidedRefusal),
    Error(ErrorRefusal),
}

/// A refusal by the store's decision.
#[derive(Debug)]
struct DecidedRefusal {
    decision: Decision,
    subjects: Subjects,
    texts: Arc<SetTexts>,
}

/// A refusal of a request that could not be decided.
#[derive(Debug)]
struct ErrorRefusal {
    kind: RefusalKind,
    retry_after: Option<Duration>,
    /// The mistake in the application. Clients see it in debug builds only.
    mistake: Option<String>,
}

impl Refusal {
    /// The refusal that a decision amounts to, of these subjects.
    pub(crate) fn of_decision(
        decision: Decision,
        subjects: Subjects,
        texts: &Arc<SetTexts>,
    ) -> Self {
        let texts = Arc::clone(texts);
        Self(Arc::new(Inner::Decided(DecidedRefusal { decision, subjects, texts })))
    }

    /// Returns the response to a request that could not be decided. It does not
    /// show the cause, which is logged at most once a second.
    #[must_use]
    pub fn of_error(error: &Error) -> Self {
        let (kind, retry_after) = match error {
            Error::Unavailable(_) => (RefusalKind::StoreUnavailable, Some(Duration::from_secs(1))),
            Error::Overloaded { retry_after, .. } => (RefusalKind::Overloaded, Some(*retry_after)),
            Error::Blocked => (RefusalKind::Blocked, None),
            Error::Forwarding { .. } => (RefusalKind::Unidentified, None),
            _ => return Self::misconfigured(error.to_string()),
        };
        // The circuit breaker logs outages; blocked clients are not logged.
        if kind == RefusalKind::Unidentified && once_a_second() {
            tracing::error!(%error, "a request could not be counted");
        }
        Self::undecided(kind, retry_after, None)
    }

    /// Returns the response of an application that is set up wrong: 500. The
    /// mistake is logged at most once a second, to standard error where the
    /// application has set up no logging, and shown to clients in builds with
    /// debug assertions only.
    #[must_use]
    pub fn misconfigured(mistake: impl Into<String>) -> Self {
        let mistake = mistake.into();
        if once_a_second() {
            log_mistake(&mistake);
        }
        Self::undecided(RefusalKind::Misconfigured, None, Some(mistake))
    }

    fn undecided(
        kind: RefusalKind,
        retry_after: Option<Duration>,
        mistake: Option<String>,
    ) -> Self {
        Self(Arc::new(Inner::Error(ErrorRefusal { kind, retry_after, mistake })))
    }

    /// Why the request does not pass.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match &*self.0 {
            Inner::Decided(refusal) if refusal.decision.ban().is_some() => RefusalKind::Banned,
            Inner::Decided(_) => RefusalKind::Limited,
            Inner::Error(refusal) => refusal.kind,
        }
    }

    /// The HTTP status: 403, 429, 503, or 400 and 500 where a request could
    /// not be counted.
    #[must_use]
    pub fn status(&self) -> u16 {
        match (self.kind(), &*self.0) {
            (RefusalKind::Banned, Inner::Decided(refusal)) => refusal.ban_status(),
            (RefusalKind::Blocked, _) => 403,
            (RefusalKind::Unidentified, _) => 400,
            (RefusalKind::StoreUnavailable | RefusalKind::Overloaded, _) => 503,
            (RefusalKind::Misconfigured, _) => 500,
            _ => 429,
        }
    }

    /// How long until the same request would pass, if nothing else arrives.
    /// `None` if that is not known, or never.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &*self.0 {
            Inner::Decided(refusal) => match refusal.decision.wait() {
                Wait::Micros(micros) => Some(Duration::from_micros(micros)),
                Wait::None | Wait::Never => None,
            },
            Inner::Error(refusal) => refusal.retry_after,
        }
    }

    /// The end of the ban, for [`RefusalKind::Banned`].
    #[must_use]
    pub fn banned_until(&self) -> Option<Timestamp> {
        self.decision().and_then(Decision::banned_until)
    }

    /// The name of the policy that refuses: the one that bans, or the one that
    /// makes the request wait longest. `None` where no policy has decided: a blocked address,
    /// a store that is away or overloaded, a mistake in the configuration.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        let Inner::Decided(refusal) = &*self.0 else { return None };
        let longest = || refusal.refusing().max_by_key(|status| status.wait());
        let ban = refusal.decision.ban().map(|ban| ban.policy);
        let at = ban.or_else(|| longest().map(QuotaStatus::policy))?;
        refusal.texts.policies().get(at).map(Policy::name)
    }

    /// The decision that refuses. `None` if the request could not be decided.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        match &*self.0 {
            Inner::Decided(refusal) => Some(&refusal.decision),
            Inner::Error(_) => None,
        }
    }

    /// All header fields, `content-type` and `cache-control` included. Names
    /// are in lower case.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::collect(|write| self.write_fields(write))
    }

    /// Calls `write` with the name and value of each of the [`fields`](Self::fields):
    /// adapters put them into a response without a list in between.
    pub fn write_fields<'a>(&'a self, write: &mut dyn FnMut(&'static str, Cow<'a, str>)) {
        if let Inner::Decided(refusal) = &*self.0 {
            refusal.texts.write_fields(&refusal.decision, 0, write);
        }
        if let Some(seconds) = self.retry_seconds() {
            write(RETRY_AFTER, number(seconds));
        }
        write("content-type", "application/problem+json".into());
        write("cache-control", "no-store".into());
    }

    /// The body: `application/problem+json`.
    #[must_use]
    pub fn body(&self) -> String {
        let mut problem = ProblemDocument::new(self.kind(), self.status());
        match &*self.0 {
            Inner::Decided(refusal) => {
                let seconds = self.retry_seconds();
                problem.retry_after(seconds);
                if seconds.is_none() && refusal.decision.wait() == Wait::Never {
                    problem.detail(Some("The request costs more than the limit ever admits."));
                }
                problem.violated_policies(refusal.violated());
            }
            Inner::Error(refusal) if cfg!(debug_assertions) => {
                problem.detail(refusal.mistake.as_deref());
            }
            Inner::Error(_) => {}
        }
        problem.finish()
    }

    /// Returns true if the request was refused for one of these subjects already, under
    /// the same policy: asking again would strike again.
    pub(crate) fn refuses(&self, policies: &[Policy], subjects: &Subjects) -> bool {
        let Inner::Decided(refusal) = &*self.0 else { return false };
        let mut refused = refusal.items();
        refused.any(|(own, refused)| {
            let mut asked = policies.iter().zip(subjects);
            asked.any(|(policy, subject)| {
                own.namespaces() == policy.namespaces()
                    && own.has_counters_of(policy)
                    && refused.key == subject.key
            })
        })
    }

    fn retry_seconds(&self) -> Option<u64> {
        self.retry_after().map(retry_seconds)
    }
}

impl DecidedRefusal {
    fn ban_status(&self) -> u16 {
        let ban = self.decision.ban();
        let rule = ban.and_then(|ban| self.texts.policies()[ban.policy].ban());
        match rule.map(BanRule::answer).unwrap_or_default() {
            BanAnswer::Forbidden => 403,
            BanAnswer::TooManyRequests => 429,
        }
    }

    /// The enforced quotas that refuse.
    fn refusing(&self) -> impl Iterator<Item = &QuotaStatus> {
        self.decision.quotas.iter().filter(|status| !status.is_shadow() && status.refuses())
    }

    /// The policies that refuse or ban, each with its subject.
    fn items(&self) -> impl Iterator<Item = (&Policy, &crate::check::Subject)> {
        let ban = self.decision.ban().map(|ban| ban.policy);
        let positions = self.refusing().map(QuotaStatus::policy).chain(ban);
        positions.map(|at| (&self.texts.policies()[at], &self.subjects[at]))
    }

    /// The names of the policy that bans, or of the quotas that refuse.
    fn violated(&self) -> impl Iterator<Item = &str> {
        let ban = self.decision.ban().map(|ban| self.texts.policies()[ban.policy].name());
        let is_banned = ban.is_some();
        let quotas = self.refusing().filter(move |_| !is_banned);
        ban.into_iter().chain(quotas.map(|status| self.texts.quota_name(status)))
    }
}

/// Logs a mistake in the application, or prints it where nobody would see the
/// log: no subscriber has ever been set.
fn log_mistake(mistake: &str) {
    tracing::error!("{mistake}");
    if !tracing::dispatcher::has_been_set() {
        eprintln!("limiter: {mistake}");
    }
}

/// Returns true at most once a second, so that clients cannot fill the disk.
fn once_a_second() -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemClock.now().as_micros() / 1_000_000;
    LAST.swap(now, Ordering::Relaxed) != now
}
