//! Explain: what a request would be answered, and why, for the person on call.
//!
//! The state of each key is [looked](crate::Store::look) at, and the pure functions
//! decide on it: nothing is charged, nobody is struck, and nothing is written.

mod display;
mod explanation;

use futures_core::future::BoxFuture;

pub use self::explanation::{
    AnsweredBy, ExplainedAnswer, ExplainedBan, ExplainedClient, ExplainedPolicy, ExplainedQuota,
    ExplainedStrikes, Explanation,
};
use super::{AdmitOptions, PolicySet, admission::RequestToCount};
use crate::{
    check::{Check, Item},
    client_ip::Resolution,
    decide::{PriorState, decide},
    decision::Decision,
    error::Error,
    key::Key,
    request::RequestInfo,
    response::Refusal,
    store::KeyStates,
    subject_resolver::SubjectResolver,
    time::Timestamp,
};

impl PolicySet {
    /// Explains what a request would be answered now: its client, the list that has it,
    /// each policy's key, usage, strikes and ban, and who would give the answer.
    ///
    /// It charges nothing and strikes nobody; on a store it only reads. What may be
    /// secret of a key, such as an API key, is a mark. What the request got from limits
    /// before is left out.
    ///
    /// ```
    /// use limiter_core::{AdmitOptions, Limiter, Policy, RequestInfo};
    ///
    /// # futures_executor::block_on(async {
    /// # let limiter = Limiter::builder().policy(Policy::new("api", "10/minute")?).build().await?;
    /// # async fn handle(request: &dyn RequestInfo, limiter: &Limiter) -> Result<(), Box<dyn std::error::Error>> {
    /// let api = limiter.policy("api")?;
    /// let explanation = api.explain(request, &AdmitOptions::default()).await;
    /// println!("{explanation}");
    /// # Ok(())
    /// # }
    /// # let _ = handle;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub fn explain(
        &self,
        request: &dyn RequestInfo,
        options: &AdmitOptions,
    ) -> BoxFuture<'static, Explanation> {
        let set = self.current();
        let client = ExplainedClient::of(&set.rules().identity, request);
        let explanation = match set.request_to_count(request, options) {
            Ok(Some(counted)) => {
                return Box::pin(async move { counted.explain(client).await });
            }
            Ok(None) => Explanation::of_uncounted(client),
            Err(error) => Explanation::of_error(client, &error),
        };
        Box::pin(std::future::ready(explanation))
    }

    /// Explains what a request of that cost would be answered that all policies count
    /// for this key: see [`explain`](Self::explain).
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub fn explain_key(&self, key: &Key, cost: u64) -> BoxFuture<'static, Explanation> {
        let policies = self.current();
        let subjects = policies.subjects_of(key);
        let counted = RequestToCount { policies, subjects, cost, lacks_user: false };
        Box::pin(async move { counted.explain(ExplainedClient::default()).await })
    }
}

impl RequestToCount {
    async fn explain(self, client: ExplainedClient) -> Explanation {
        let Self { policies: set, subjects, cost, .. } = self;
        if set.policies().is_empty() {
            return Explanation::of_uncounted(client);
        }
        let check = Check::new(set.policies(), &subjects, cost);
        let items: Vec<Item<'_>> = check.items().collect();
        let outlook = match set.inner().store.look(items).await {
            Ok(looked) => set.outlook(&check, looked),
            Err(error) => set.fallback().outlook(&check, error),
        };
        let policy = |(item, state): (Item<'_>, Option<&PriorState>)| {
            ExplainedPolicy::new(item, state, outlook.now)
        };
        let states = outlook.states.iter().map(Option::as_ref);
        let policies = check.items().zip(states).map(policy).collect();
        let answer = match outlook.decision {
            Ok(decision) if decision.is_allowed() => ExplainedAnswer::passes(outlook.by),
            Ok(decision) => {
                let refusal = Refusal::of_decision(decision, subjects.clone(), set.texts());
                ExplainedAnswer::refused(&refusal, outlook.by)
            }
            Err(error) => ExplainedAnswer::undecided(&error, outlook.by),
        };
        Explanation { client, policies, answer }
    }
}

/// The state that the next check finds, and the decision on it.
pub(super) struct Outlook {
    pub(super) now: Timestamp,
    /// One an item; `None` where nothing is known of it.
    pub(super) states: Vec<Option<PriorState>>,
    pub(super) decision: Result<Decision, Error>,
    pub(super) by: AnsweredBy,
}

impl PolicySet {
    /// Returns the outlook by the store, and by the deny cache in front of it.
    fn outlook(&self, check: &Check<'_>, KeyStates { now, states }: KeyStates) -> Outlook {
        let outage_usage = self.fallback().outage_usage(check);
        let mut outage_usage = outage_usage.iter();
        let items = check.items().zip(states);
        // The next check charges it before it decides.
        let states: Vec<PriorState> = items
            .map(|(item, state)| match outage_usage.next() {
                Some(Some(usage)) => {
                    let charged = state.reconciled(item, usage, now);
                    let offender = charged.offender.or(state.offender);
                    PriorState { levels: charged.levels, offender }
                }
                _ => state,
            })
            .collect();
        let (decision, by) = match self.fallback().peek_refusal(check) {
            Some(refusal) => (refusal, AnsweredBy::DenyCache),
            None => (decide(check, &states, now).decision, AnsweredBy::Store),
        };
        Outlook { now, states: states.into_iter().map(Some).collect(), decision: Ok(decision), by }
    }
}

impl ExplainedClient {
    fn of(resolver: &SubjectResolver, request: &dyn RequestInfo) -> Self {
        let peer = request.peer_address();
        let resolution = resolver.client_ip.find(peer, |name| request.header_lines(name));
        let mut client = Self { is_exempt: resolver.exempt.contains(request), ..Self::default() };
        let found_in = match resolution {
            Ok(Resolution::Client(_)) => resolver.client_ip.found_in(peer),
            // Without the header of a proxy, the lists are looked up for the peer.
            Ok(Resolution::NoHeader(_)) => "peer, a trusted proxy without the header",
            Err(_) => return client,
        };
        client.found_in = Some(found_in.to_owned());
        if let Ok(Resolution::Client(address) | Resolution::NoHeader(address)) = resolution {
            let listed = resolver.listed_network(address);
            client.address = Some(address);
            client.list = listed.as_ref().map(|listed| listed.list);
            client.network = listed.map(|listed| listed.network.to_string());
        }
        client
    }
}
