//! Admission: the one way from a request to a permit or a refusal.
//!
//! In order: an exempt endpoint or an address of `allow` passes; `block` and an
//! unusable forwarding header refuse; a policy that has refused the request
//! refuses it again, without a second strike; a policy that has counted it
//! already is charged no more than the difference; a CORS preflight counts
//! apart; the store decides the rest.

mod request_to_count;

pub(super) use self::request_to_count::RequestToCount;
use super::{AdmitOptions, Permit, PolicySet};
use crate::{
    error::Error,
    key::Key,
    request::{RequestInfo, Subjects, is_preflight},
    response::Refusal,
    stats::counters::LimiterCounter,
    store::Answer,
    subject_resolver::Resolved,
};

/// How a request passes.
#[derive(Clone, Debug)]
pub enum Admission {
    /// It is not counted: its endpoint is exempt, or its address is in `allow`.
    Exempt,
    /// It was counted.
    Counted(Permit),
    /// Every policy had counted it for the same key and at least this cost. The
    /// permit shows what was decided then; nothing follows from it.
    AlreadyCounted(Permit),
}

impl Admission {
    /// The permit, unless the request is exempt.
    #[must_use]
    pub fn permit(&self) -> Option<&Permit> {
        match self {
            Self::Exempt => None,
            Self::Counted(permit) | Self::AlreadyCounted(permit) => Some(permit),
        }
    }
}

impl PolicySet {
    /// Returns the request as it would be counted; `None` if it would not be. No counter of
    /// the statistics has it.
    pub(super) fn request_to_count(
        &self,
        request: &dyn RequestInfo,
        AdmitOptions { key, cost, .. }: &AdmitOptions,
    ) -> Result<Option<RequestToCount>, Error> {
        if self.policies().is_empty() {
            return Ok(None);
        }
        let resolver = &self.rules().identity;
        Ok(match resolver.subjects(self.policies(), request, key.as_ref())? {
            Resolved::Subjects(subjects) => {
                Some(self.counted(request, key.is_some(), *cost, subjects))
            }
            Resolved::ExemptEndpoint | Resolved::AllowListed => None,
        })
    }

    /// The request of these subjects, counted apart if it is a preflight.
    #[inline]
    fn counted(
        &self,
        request: &dyn RequestInfo,
        has_key: bool,
        cost: Option<u64>,
        subjects: Subjects,
    ) -> RequestToCount {
        let preflight = is_preflight(request);
        let policies = if preflight { self.for_preflights().clone() } else { self.clone() };
        if has_key {
            self.inner().note_given_keys();
        }
        let lacks_user = !has_key && policies.counts_users() && self.lacks_user(request);
        let cost = if preflight { 1 } else { cost.unwrap_or(1) };
        RequestToCount { policies, subjects, cost, lacks_user }
    }

    /// Admits a request or refuses it. Resolves the client, applies the lists
    /// and exemptions, decides in the store, and logs what an operator has to
    /// know: everything but recording the response, for which the permit has
    /// [`Permit::record_response`].
    ///
    /// The request is decided by the rules in force, however old the set is; after
    /// another limit by the rules by which that has counted it.
    ///
    /// The answer is at hand where the store is this process's memory. It does not
    /// borrow the request.
    ///
    /// ```
    /// use limiter_core::{AdmitOptions, Limiter, Policy, Quota, RequestInfo};
    ///
    /// # futures_executor::block_on(async {
    /// # let policy = Policy::new("api", Quota::per_minute(10)?)?;
    /// # let limiter = Limiter::builder().policy(policy).build().await?;
    /// # async fn handle(request: &dyn RequestInfo, limiter: &Limiter) -> Result<(), Box<dyn std::error::Error>> {
    /// let api = limiter.policy("api")?;
    /// match api.admit(request, AdmitOptions::default().with_cost(3)).await {
    ///     Ok(admission) => {
    ///         // The handler runs.
    ///         if let Some(permit) = admission.permit() {
    ///             assert_eq!(permit.decision().quotas()[0].remaining(), 7);
    ///             permit.record_response(200).await;
    ///         }
    ///     }
    ///     Err(refusal) => assert_eq!(refusal.status(), 429),
    /// }
    /// # Ok(())
    /// # }
    /// # let _ = handle;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The response to a request that does not pass.
    #[inline]
    pub fn admit(
        &self,
        request: &dyn RequestInfo,
        options: AdmitOptions,
    ) -> Answer<'static, Admission, Refusal> {
        match self.for_request(options.previous.as_ref()) {
            None => self.admit_now(request, options),
            Some(set) => set.admit_now(request, options),
        }
    }

    /// Finds whom each policy counts in a request: by its own key, or by the
    /// one that is given. This and [`check`](Self::check) are parts of
    /// [`admit`](Self::admit), for requests that are none of a framework: use `admit`,
    /// or an adapter's function of that name, for all others.
    ///
    /// Here the exempt endpoints and the lists apply, and in `check` quotas, bans and
    /// strikes for refusals. In neither: preflights are counted as any request, a
    /// policy is charged each time, no response strikes, and nothing is logged of
    /// users that come too late.
    /// `None` if the request passes uncounted: its endpoint is
    /// exempt, the client's address is on the allow list, or all policies are off.
    ///
    /// # Errors
    /// [`Error::Blocked`] if the address is on the block list. If the client's
    /// address is needed, for these lists or by a policy, and there is none, or a
    /// trusted proxy wrote a header that names no address.
    #[inline]
    pub fn resolve_subjects(
        &self,
        request: &dyn RequestInfo,
        key: Option<&Key>,
    ) -> Result<Option<Subjects>, Error> {
        if self.policies().is_empty() {
            return Ok(None);
        }
        let resolved = self.rules().identity.subjects(self.policies(), request, key);
        let counter = match resolved {
            Ok(Resolved::Subjects(subjects)) => return Ok(Some(subjects)),
            Ok(Resolved::ExemptEndpoint) => LimiterCounter::ExemptEndpoint,
            Ok(Resolved::AllowListed) => LimiterCounter::AllowListed,
            Err(Error::Blocked) => LimiterCounter::Blocked,
            Err(_) => LimiterCounter::Unidentified,
        };
        self.inner().counters.add(counter);
        resolved.map(|_| None)
    }

    /// Admits a request by the rules of this set.
    #[inline]
    fn admit_now(
        &self,
        request: &dyn RequestInfo,
        options: AdmitOptions,
    ) -> Answer<'static, Admission, Refusal> {
        let AdmitOptions { key, cost, previous, refusal } = options;
        let subjects = match self.resolve_subjects(request, key.as_ref()) {
            Ok(Some(subjects)) => subjects,
            Ok(None) => return Answer::ready(Ok(Admission::Exempt)),
            Err(error) => return Answer::ready(Err(Refusal::of_error(&error))),
        };
        let mut counted = self.counted(request, key.is_some(), cost, subjects);
        if let Some(refusal) = refusal
            && refusal.refuses(counted.policies.policies(), &counted.subjects)
        {
            return Answer::ready(Err(refusal));
        }
        if counted.policies.reserves() {
            counted = counted.without_vain_reservations();
        }
        match previous {
            // A strike is reserved once, whatever the request costs.
            None if counted.cost > 1 && counted.policies.reserves() => {
                counted.admit_in_groups(None)
            }
            None => counted.admit_first(),
            Some(previous) => counted.admit_after(previous),
        }
    }
}
