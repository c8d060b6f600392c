//! The states of a counter: [`CounterStates`].

use smallvec::SmallVec;

use crate::{algorithm::State, policy::QuotaId, time::Timestamp};

/// The states of a policy's quotas, in their order.
pub(in crate::store) type States = SmallVec<[Option<State>; 2]>;

/// The most states of quotas that a writer does not know, which it keeps.
const MAX_OTHERS: usize = 32;

/// All that is kept of a counter in one row: the state of each quota under its id; of
/// strikes one state.
///
/// Servers that run by different configurations write the same row: each replaces the
/// states of the quotas it has, and keeps those of others until they have expired. So a
/// policy that gets one quota more keeps the usage of the others, and nobody refills a
/// client while a new configuration is rolled out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::store) struct CounterStates(SmallVec<[QuotaState; 2]>);

/// The state of one quota.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::store) struct QuotaState {
    pub(in crate::store) id: QuotaId,
    pub(in crate::store) state: State,
    /// When it has expired, in microseconds since the epoch.
    pub(in crate::store) until: u64,
}

impl CounterStates {
    /// Returns the states of the quotas of those ids.
    pub(in crate::store) fn of(&self, ids: &[QuotaId]) -> States {
        ids.iter().map(|id| self.get(*id)).collect()
    }

    pub(in crate::store) fn get(&self, id: QuotaId) -> Option<State> {
        self.0.iter().find(|kept| kept.id == id).map(|kept| kept.state.clone())
    }

    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = &QuotaState> {
        self.0.iter()
    }

    pub(in crate::store) fn push(&mut self, state: QuotaState) {
        self.0.push(state);
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns when all of them have expired.
    pub(in crate::store) fn until(&self) -> u64 {
        self.0.iter().map(|kept| kept.until).max().unwrap_or(0)
    }

    /// Replaces the states of the quotas of those ids, which expire at `until`. Of the
    /// others those that have expired are dropped, and so are the last ones of very many.
    pub(in crate::store) fn replace(
        &mut self,
        ids: &[QuotaId],
        states: States,
        until: u64,
        now: Timestamp,
    ) {
        let others = std::mem::take(&mut self.0).into_iter();
        let others = others.filter(|kept| !ids.contains(&kept.id) && kept.until > now.as_micros());
        let own = ids
            .iter()
            .zip(states)
            .filter_map(|(id, state)| state.map(|state| QuotaState { id: *id, state, until }));
        self.0 = own.chain(others.take(MAX_OTHERS)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn state(used: u64) -> Option<State> {
        Some(State::FixedWindow { start: 1, used })
    }

    #[test]
    fn a_writer_keeps_what_it_does_not_know_until_it_has_expired() {
        let ids = |quotas: &str| Policy::new("api", quotas).unwrap().quota_ids().to_vec();
        let (one, other) = (ids("1/second; 2/minute"), ids("3/minute; 4/hour"));
        let now = Timestamp::from_micros(10);
        let mut kept = CounterStates::default();
        kept.replace(&one, States::from_iter([state(1), state(2)]), 20, now);
        assert_eq!(kept.of(&other)[..], [state(2), None]);
        kept.replace(&other, States::from_iter([state(3), state(4)]), 30, now);
        assert_eq!(kept.of(&one)[..], [state(1), state(3)]);
        assert_eq!((kept.iter().count(), kept.until()), (3, 30));
        kept.replace(&one[1..], States::from_iter([None]), 40, Timestamp::from_micros(20));
        assert_eq!(kept.of(&one)[..], [None, None]);
        assert_eq!(kept.of(&other)[..], [None, state(4)]);
    }

    #[test]
    fn others_are_bounded() {
        let mut kept = CounterStates::default();
        for seconds in 1..100 {
            let policy = Policy::new("api", &*format!("1/{seconds}s")).unwrap();
            let states = States::from_iter([state(seconds)]);
            kept.replace(policy.quota_ids(), states, 20, Timestamp::from_micros(10));
        }
        assert_eq!(kept.iter().count(), 1 + MAX_OTHERS);
        assert_eq!(kept.iter().nth(1).map(|kept| kept.state.clone()), state(98));
    }
}
