//! The encoding of a counter of one quota by gcra as one integer.
//!
//! Input: a quota, and [`State`]. Output: the theoretical arrival time in units of
//! `1 / q` microseconds, in which one unit of the quota is the integer `p`:
//! `window / limit = p / q` in lowest terms. Mirrors the columns of
//! `sql/tables.sql`. Everything else is text: see `text_encoding.rs`.

use smallvec::smallvec;

use crate::{
    algorithm::State,
    policy::Policy,
    quota::{Algorithm, Quota},
    store::remote::{state_rows::States, text_encoding},
};

/// Instants are in the year 2112 or before, so that their product with `q` can be
/// bounded.
pub(super) const MAX_INSTANT: u64 = 1 << 52;

/// A quota by gcra in the units of its arrival time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct GcraUnits {
    limit: i64,
    burst: i64,
    /// The units of arrival time that one unit of the quota takes.
    pub(super) p: i64,
    /// The units of arrival time in a microsecond.
    pub(super) q: i64,
}

impl GcraUnits {
    /// Returns the units of a policy that has one quota by gcra. `None` for any
    /// other policy, and where an arrival time might not fit 64 bits.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let mut quotas = policy.quotas().iter();
        let (Some(quota), None) = (quotas.next(), quotas.next()) else { return None };
        Self::with_limit(quota, quota.limit(), quota.burst())
    }

    fn with_limit(quota: &Quota, limit: u64, burst: u64) -> Option<Self> {
        if quota.algorithm() != Algorithm::Gcra || limit == 0 {
            return None;
        }
        let window = quota.window_micros();
        let divisor = gcd(window, limit);
        let (p, q) = (window / divisor, limit / divisor);
        let capacity = u128::from(burst) * u128::from(p);
        // Two full buckets are as far ahead as an arrival time may be.
        let latest = 2 * capacity + u128::from(q) * u128::from(MAX_INSTANT);
        let fits = i64::try_from(latest).is_ok();
        fits.then_some(Self {
            limit: number(limit)?,
            burst: number(burst)?,
            p: number(p)?,
            q: number(q)?,
        })
    }

    pub(super) const fn limit(&self) -> i64 {
        self.limit
    }

    pub(super) const fn burst(&self) -> i64 {
        self.burst
    }

    /// A full bucket.
    pub(super) const fn capacity(&self) -> i64 {
        self.burst * self.p
    }

    /// Returns the state with that arrival time.
    pub(super) fn state(&self, tat: i64) -> State {
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
pub(super) struct CounterColumns {
    pub(super) tat: Option<i64>,
    pub(super) limit: Option<i64>,
    pub(super) burst: Option<i64>,
    pub(super) state: Option<String>,
}

impl CounterColumns {
    /// Returns the columns for states of that policy, or for strikes.
    pub(super) fn write(policy: Option<&Policy>, states: &[Option<State>]) -> Self {
        policy.and_then(|policy| Self::write_gcra(policy, states)).unwrap_or_else(|| Self {
            state: Some(text_encoding::write_states(states)),
            ..Self::default()
        })
    }

    /// `None` where the state is no multiple of the unit, as after a changed limit.
    fn write_gcra(policy: &Policy, states: &[Option<State>]) -> Option<Self> {
        let [Some(State::Gcra { tat, fraction, limit, burst })] = *states else { return None };
        let units = GcraUnits::of(policy)?;
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
            state: None,
        })
    }
}

/// Returns the states of a row as `sql/read.sql` returns it.
pub(super) fn read_states(policy: Option<&Policy>, text: &str) -> States {
    match text.strip_prefix('q') {
        None => text_encoding::read_states(text),
        Some(columns) => smallvec![policy.and_then(|policy| read_gcra(policy, columns))],
    }
}

fn read_gcra(policy: &Policy, columns: &str) -> Option<State> {
    let mut columns = columns.split(',').map(str::parse);
    let (tat, limit, burst) = (columns.next()?.ok()?, columns.next()?, columns.next()?);
    let quota = policy.quotas().iter().next()?;
    let units = GcraUnits::with_limit(quota, limit.ok()?, burst.ok()?)?;
    let tat = i64::try_from(tat).ok()?;
    Some(units.state(tat))
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

    fn gcra(tat: u64, fraction: u64, limit: u64) -> [Option<State>; 1] {
        [Some(State::Gcra { tat, fraction, limit, burst: limit })]
    }

    fn read(policy: &Policy, columns: &CounterColumns) -> States {
        let text = match columns {
            CounterColumns { tat: Some(tat), limit: Some(limit), burst: Some(burst), .. } => {
                format!("q{tat},{limit},{burst}")
            }
            columns => columns.state.clone().unwrap(),
        };
        read_states(Some(policy), &text)
    }

    #[test]
    fn a_bucket_is_one_number_if_that_is_exact() {
        // 2 seconds for 6 units: a third of a microsecond is the unit.
        let policy = policy("6/2s");
        for (states, is_number) in [
            (gcra(1_700_000_000_000_000, 4, 6), true),
            (gcra(1_700_000_000_000_000, 3, 6), false),
            // Written under another limit.
            (gcra(1_700_000_000_000_000, 1, 3), false),
            // An instant whose product would not fit.
            (gcra(u64::MAX, 0, 6), false),
        ] {
            let columns = CounterColumns::write(Some(&policy), &states);
            assert_eq!(columns.tat.is_some(), is_number, "{states:?}");
            assert_eq!(read(&policy, &columns)[..], states);
        }
    }

    #[test]
    fn quotas_of_another_kind_have_no_units() {
        for quotas in ["1/s; 2/m", "999999937/s", "999999999999999/1h burst 999999999999999"] {
            assert_eq!(GcraUnits::of(&policy(quotas)), None, "{quotas}");
        }
        assert!(GcraUnits::of(&policy("1000/s burst 5000")).is_some());
    }
}
