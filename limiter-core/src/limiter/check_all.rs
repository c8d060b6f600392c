//! Checks of several requests at once: [`PolicySet::check_all`].

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use super::PolicySet;
#[cfg(feature = "memory")]
use crate::store::MAX_PREFETCH;
use crate::{decision::Decision, error::Error, request::Subjects, store::Answer};

/// Requests that are checked one after the other once what is kept of them is fetched.
#[cfg(feature = "memory")]
const GROUP: usize = MAX_PREFETCH;
#[cfg(not(feature = "memory"))]
const GROUP: usize = usize::MAX;

impl PolicySet {
    /// Decides several requests of that cost, each as [`check`](Self::check) does, and
    /// returns their decisions in the same order: for messages that arrive together, or
    /// the entries of a batch.
    ///
    /// They are independent: one that is refused holds back no other. A remote store gets
    /// them at once, so that they share a call to it. In memory they are decided in their
    /// order, and what is kept of sixteen clients is fetched side by side, which pays where
    /// there are more clients than the processor's cache holds.
    ///
    /// ```
    /// use limiter_core::{Key, Limiter, Policy, Quota};
    ///
    /// # futures_executor::block_on(async {
    /// let policy = Policy::new("api", Quota::per_minute(2)?)?;
    /// let api = Limiter::builder().policy(policy).build().await?.policy("api")?;
    /// let senders = ["alice", "alice", "alice", "bob"];
    /// let requests = senders.map(|sender| api.subjects_of(&Key::user(sender)));
    /// let decisions = api.check_all(&requests, 1).await;
    /// let allowed: Vec<bool> = decisions.into_iter().map(|one| one.unwrap().is_allowed()).collect();
    /// assert_eq!(allowed, [true, true, false, true]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If a request has not as many subjects as there are policies.
    pub async fn check_all(
        &self,
        requests: &[Subjects],
        cost: u64,
    ) -> Vec<Result<Decision, Error>> {
        let mut results = Vec::with_capacity(requests.len());
        let mut waiting = Vec::new();
        for group in requests.chunks(GROUP) {
            #[cfg(feature = "memory")]
            self.prefetch(group);
            for subjects in group {
                match self.check(subjects, cost) {
                    Answer::Ready(Some(result)) => results.push(result),
                    answer => {
                        waiting.push((results.len(), answer));
                        // Replaced by its answer below. Results that may be there or not
                        // would all be copied once more.
                        results.push(Ok(Decision::uncounted()));
                    }
                }
            }
        }
        poll_fn(|context| {
            waiting.retain_mut(|(position, answer)| match Pin::new(answer).poll(context) {
                Poll::Ready(result) => {
                    results[*position] = result;
                    false
                }
                Poll::Pending => true,
            });
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        results
    }

    #[cfg(feature = "memory")]
    fn prefetch(&self, requests: &[Subjects]) {
        let Some(memory) = &self.inner().memory else { return };
        for (at, policy) in self.policies().iter().enumerate() {
            let subjects = requests.iter().filter_map(|subjects| subjects.get(at));
            memory.prefetch(policy, subjects.map(|subject| &subject.key));
        }
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use futures_executor::block_on;

    use crate::{Key, Limiter, ManualClock, MemoryStore, Policy, PolicySet, Quota, Timestamp};

    fn policies() -> PolicySet {
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
        let store = MemoryStore::builder().clock(clock).build();
        let policy = Policy::new("api", Quota::per_minute(7).unwrap()).unwrap();
        block_on(Limiter::builder().store(store).policy(policy).build())
            .unwrap()
            .policy("api")
            .unwrap()
    }

    /// More requests than are fetched at once, several of each client.
    #[test]
    fn each_is_decided_as_if_it_were_checked_alone() {
        let (together, in_turn) = (policies(), policies());
        let users: Vec<String> = (0..100).map(|n: u32| format!("user{}", n * n % 13)).collect();
        let requests: Vec<_> =
            users.iter().map(|user| together.subjects_of(&Key::user(user))).collect();
        let decisions = block_on(together.check_all(&requests, 1));
        assert_eq!(decisions.len(), requests.len());
        for (request, decision) in requests.iter().zip(decisions) {
            assert_eq!(decision.unwrap(), block_on(in_turn.check(request, 1)).unwrap());
        }
    }
}
