//! The encoding of a counter of one quota by gcra as one integer.
//!
//! Input: a quota, and [`State`]. Output: the theoretical arrival time in units of
//! `1 / q` microseconds, in which one unit of the quota is the integer `p`:
//! `window / limit = p / q` in lowest terms. Mirrors the columns of
//! `tables.sql`, the same in all databases. Everything else is text: see `text_encoding.rs`.

use std::time::Duration;

use crate::{
    algorithm::State,
    policy::{Policy, QuotaId},
    quota::Algorithm,
    store::{
        remote::counter_states::{CounterStates, QuotaState},
        sql::text_encoding,
    },
};

/// Instants are in the year 2112 or before, so that their product with `q` can be
/// bounded.
pub(in crate::store) const MAX_INSTANT: u64 = 1 << 52;

/// The numbers of a quota by gcra, the window in microseconds.
struct Bucket {
    limit: u64,
    burst: u64,
    window: u64,
}

/// A quota by gcra in the units of its arrival time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::store) struct GcraUnits {
    limit: i64,
    burst: i64,
    window: i64,
    /// The units of arrival time that one unit of the quota takes.
    pub(in crate::store) p: i64,
    /// The units of arrival time in a microsecond.
    pub(in crate::store) q: i64,
}

impl GcraUnits {
    /// Returns the units of a policy that has one quota by gcra. `None` for any
    /// other policy, and where an arrival time might not fit 64 bits.
    pub(in crate::store) fn of(policy: &Policy) -> Option<Self> {
        match policy.quotas()[..] {
            [quota] if quota.algorithm() == Algorithm::Gcra => Self::of_bucket(Bucket {
                limit: quota.limit(),
                burst: quota.burst(),
                window: quota.window_micros(),
            }),
            _ => None,
        }
    }

    fn of_bucket(Bucket { limit, burst, window }: Bucket) -> Option<Self> {
        if limit == 0 || window == 0 {
            return None;
        }
        let divisor = gcd(window, limit);
        let (p, q) = (window / divisor, limit / divisor);
        let capacity = u128::from(burst) * u128::from(p);
        // Two full buckets are as far ahead as an arrival time may be.
        let latest = 2 * capacity + u128::from(q) * u128::from(MAX_INSTANT);
        let fits = i64::try_from(latest).is_ok();
        fits.then_some(Self {
            limit: number(limit)?,
            burst: number(burst)?,
            window: number(window)?,
            p: number(p)?,
            q: number(q)?,
        })
    }

    pub(in crate::store) const fn limit(&self) -> i64 {
        self.limit
    }

    pub(in crate::store) const fn burst(&self) -> i64 {
        self.burst
    }

    pub(in crate::store) const fn window(&self) -> i64 {
        self.window
    }

    /// A full bucket.
    pub(in crate::store) const fn capacity(&self) -> i64 {
        self.burst * self.p
    }

    /// Returns the state with that arrival time.
    pub(in crate::store) fn state(&self, tat: i64) -> State {
        State::Gcra {
            tat: (tat / self.q).cast_unsigned(),
            fraction: (tat % self.q * (self.limit / self.q)).cast_unsigned(),
            limit: self.limit.cast_unsigned(),
            burst: self.burst.cast_unsigned(),
        }
    }
}

/// The columns of a counter.
#[derive(Debug, Default, Eq, PartialEq)]
pub(in crate::store) struct CounterColumns {
    pub(in crate::store) tat: Option<i64>,
    pub(in crate::store) limit: Option<i64>,
    pub(in crate::store) burst: Option<i64>,
    pub(in crate::store) window: Option<i64>,
    pub(in crate::store) state: Option<String>,
}

impl CounterColumns {
    /// Returns the columns for states of that policy, or for strikes, in a row that expires
    /// then.
    pub(in crate::store) fn write(
        policy: Option<&Policy>,
        states: &CounterStates,
        expires_at: u64,
    ) -> Self {
        policy.and_then(|policy| Self::write_gcra(policy, states)).unwrap_or_else(|| Self {
            state: Some(text_encoding::write_states(states, expires_at)),
            ..Self::default()
        })
    }

    /// `None` where there are states of other quotas, and where the state is no multiple of
    /// the unit, as after a changed limit.
    fn write_gcra(policy: &Policy, states: &CounterStates) -> Option<Self> {
        let units = GcraUnits::of(policy)?;
        let mut states = states.iter();
        let (Some(kept), None) = (states.next(), states.next()) else { return None };
        let State::Gcra { tat, fraction, limit, burst } = kept.state else { return None };
        if policy.quota_ids() != [kept.id] {
            return None;
        }
        let matches = number(limit)? == units.limit && number(burst)? == units.burst;
        let step = limit / units.q.cast_unsigned();
        if !matches || tat > MAX_INSTANT || fraction % step != 0 {
            return None;
        }
        let tat = number(tat)?.checked_mul(units.q)?.checked_add(number(fraction / step)?)?;
        Some(Self {
            tat: Some(tat),
            limit: Some(units.limit),
            burst: Some(units.burst),
            window: Some(units.window),
            state: None,
        })
    }
}

/// Returns the states of a row as `sql/read.sql` returns it.
pub(in crate::store) fn read_states(text: &str) -> CounterStates {
    let Some(columns) = text.strip_prefix('q') else { return text_encoding::read_states(text) };
    let mut states = CounterStates::default();
    read_gcra(columns).into_iter().for_each(|state| states.push(state));
    states
}

fn read_gcra(columns: &str) -> Option<QuotaState> {
    let columns: Result<Vec<u64>, _> = columns.split([',', '!']).map(str::parse).collect();
    let [tat, limit, burst, window, until] = columns.ok()?[..] else { return None };
    let units = GcraUnits::of_bucket(Bucket { limit, burst, window })?;
    let state = units.state(number(tat)?);
    Some(QuotaState { id: QuotaId::of_gcra(Duration::from_micros(window))?, state, until })
}

fn number(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(quotas: &str) -> Policy {
        Policy::new("api", quotas.parse::<crate::Quotas>().unwrap()).unwrap()
    }

    fn gcra(policy: &Policy, tat: u64, fraction: u64, limit: u64) -> CounterStates {
        let state = State::Gcra { tat, fraction, limit, burst: limit };
        let mut states = CounterStates::default();
        states.push(QuotaState { id: policy.quota_ids()[0], state, until: 9 });
        states
    }

    fn read(columns: &CounterColumns) -> CounterStates {
        let numbers = [columns.tat, columns.limit, columns.burst, columns.window];
        let text = columns.state.clone().unwrap_or_else(|| {
            let [tat, limit, burst, window] = numbers.map(Option::unwrap);
            format!("q{tat},{limit},{burst},{window}")
        });
        read_states(&(text + "!9"))
    }

    #[test]
    fn a_bucket_is_one_number_if_that_is_exact() {
        // 2 seconds for 6 units: a third of a microsecond is the unit.
        let policy = policy("6/2s");
        for (states, is_number) in [
            (gcra(&policy, 1_700_000_000_000_000, 4, 6), true),
            (gcra(&policy, 1_700_000_000_000_000, 3, 6), false),
            // Written under another limit.
            (gcra(&policy, 1_700_000_000_000_000, 1, 3), false),
            // An instant whose product would not fit.
            (gcra(&policy, u64::MAX, 0, 6), false),
        ] {
            let columns = CounterColumns::write(Some(&policy), &states, 9);
            assert_eq!(columns.tat.is_some(), is_number, "{states:?}");
            assert_eq!(read(&columns), states);
        }
    }

    #[test]
    fn a_bucket_beside_states_of_other_quotas_is_text() {
        let (one, other) = (policy("6/2s"), policy("6/3s"));
        let mut states = gcra(&one, 12, 0, 6);
        assert!(CounterColumns::write(Some(&other), &states, 9).tat.is_none());
        states.push(gcra(&other, 13, 0, 6).iter().next().unwrap().clone());
        let columns = CounterColumns::write(Some(&one), &states, 9);
        assert!(columns.tat.is_none());
        assert_eq!(read(&columns), states);
    }

    #[test]
    fn quotas_of_another_kind_have_no_units() {
        for quotas in ["1/s; 2/m", "999999937/s", "999999999999999/1h burst 999999999999999"] {
            assert_eq!(GcraUnits::of(&policy(quotas)), None, "{quotas}");
        }
        assert!(GcraUnits::of(&policy("1000/s burst 5000")).is_some());
    }
}
