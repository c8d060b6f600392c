//! The fast path: checks of one quota by gcra that fit, charged by one statement.
//!
//! Input: store requests. Output: the replies of those that the statement of a [`Dialect`]
//! has charged; all others are left to the [general form](super::transaction).
//!
//! Entries of one batch are concurrent, but those of one client stay in the order in
//! which they came: a client with several is left to the general form.
//!
//! [`Dialect`]: super::Dialect

use std::collections::HashMap;

use smallvec::smallvec;

use super::{
    counter_columns::{GcraUnits, MAX_INSTANT},
    dialect::{Charged, Dialect, name},
    error::SqlError,
};
use crate::{
    policy::Mode,
    quota::Algorithm,
    store::remote::{
        backend::{NamedItem, Reply, StoreRequest, StoredState},
        batcher::BatchEntry,
        operation::Operation,
        storage_key,
    },
    time::Timestamp,
};

/// Returns true if the fast path may charge a request, as it does where that fits.
pub(in crate::store) fn may_charge(request: &StoreRequest) -> bool {
    let (Operation::Decide(1..), [item]) = (request.operation, &request.items[..]) else {
        return false;
    };
    let is_gcra =
        matches!(item.policy.quotas()[..], [quota] if quota.algorithm() == Algorithm::Gcra);
    is_gcra && item.policy.mode() == Mode::Enforce
}

/// Charges the entries that fit, and returns the state before each of them.
pub(in crate::store) async fn charge<D: Dialect>(
    dialect: &D,
    connection: &mut D::Connection,
    batch: &[BatchEntry],
) -> Result<Charged, SqlError> {
    let mut replies: Charged = batch.iter().map(|_| None).collect();
    let checks = FastPath::of(batch);
    if checks.len() > 0 {
        dialect.charge(connection, checks, &mut replies).await?;
    }
    Ok(replies)
}

/// Checks to charge in one statement.
pub(in crate::store) struct FastPath {
    /// Each counter once, in the order of their names.
    pub(in crate::store) charges: Vec<Charge>,
    pub(in crate::store) quotas: Vec<GcraUnits>,
    pub(in crate::store) now: Option<Timestamp>,
}

/// A check of one counter.
pub(in crate::store) struct Charge {
    pub(in crate::store) counter: String,
    pub(in crate::store) ban: Option<String>,
    /// The place of the quota in [`FastPath::quotas`].
    pub(in crate::store) quota: usize,
    /// The units of arrival time that all repetitions of the check add.
    pub(in crate::store) units: i64,
    /// The place of the entry in the batch.
    pub(in crate::store) place: usize,
}

/// A check that the fast path may decide.
struct Candidate<'r> {
    item: &'r NamedItem,
    cost: u64,
    times: u32,
    quota: GcraUnits,
    place: usize,
}

impl FastPath {
    /// Returns the checks of a batch that may fit.
    pub(in crate::store) fn of(batch: &[BatchEntry]) -> Self {
        let now = batch.first().and_then(|entry| entry.request.now);
        // `None` where a client has several entries, or one of another kind.
        let mut clients: HashMap<&str, Option<Candidate<'_>>> = HashMap::new();
        for (place, entry) in batch.iter().enumerate() {
            let mut candidate = Candidate::of(entry, place, now);
            for item in &entry.request.items {
                let candidate = candidate.take();
                clients.entry(&item.client).and_modify(|known| *known = None).or_insert(candidate);
            }
        }
        let mut fast_path = Self { charges: Vec::new(), quotas: Vec::new(), now };
        clients.into_values().flatten().for_each(|candidate| fast_path.push(candidate));
        // By bytes, as the servers sort.
        fast_path.charges.sort_unstable_by(|one, other| one.counter.cmp(&other.counter));
        fast_path
    }

    /// Returns the number of counters that were not charged yet.
    pub(in crate::store) const fn len(&self) -> usize {
        self.charges.len()
    }

    /// Adds a check, unless all its repetitions together can never fit: sent as a charge
    /// over the capacity they would leave negative room, which an old arrival time has.
    fn push(&mut self, candidate: Candidate<'_>) {
        let Candidate { item, cost, times, quota, place } = candidate;
        let units = cost.checked_mul(times.into()).and_then(|units| i64::try_from(units).ok());
        let Some(units) = units.filter(|units| *units <= quota.burst()) else { return };
        let scope = item.namespaces();
        let name = |kind, scope| name(&item.client, &storage_key::part(kind, scope));
        let bannable = item.policy.ban().is_some() && item.subject.is_bannable();
        let known = self.quotas.iter().position(|known| *known == quota);
        self.charges.push(Charge {
            counter: name('c', scope.counters),
            ban: bannable.then(|| name('b', scope.bans)),
            quota: known.unwrap_or(self.quotas.len()),
            units: units * quota.p,
            place,
        });
        if known.is_none() {
            self.quotas.push(quota);
        }
    }

    /// Writes the reply to the request whose counter a statement has charged: `tat` is the
    /// arrival time since.
    pub(in crate::store) fn reply(
        &self,
        counter: &str,
        now: Timestamp,
        tat: i64,
        replies: &mut Charged,
    ) {
        let found = self.charges.binary_search_by(|charge| charge.counter.as_str().cmp(counter));
        let Some(charge) = found.ok().map(|at| &self.charges[at]) else { return };
        let state = self.quotas[charge.quota].state(tat - charge.units);
        let kept = StoredState { now, states: smallvec![Some(state)], ..Default::default() };
        replies[charge.place] = Some(Reply { now, kept: vec![kept] });
    }
}

impl<'r> Candidate<'r> {
    /// `None` where the fast path cannot decide the request: it has several items or
    /// quotas, does not enforce, costs nothing, or brings an instant of its own that
    /// is not the batch's.
    fn of(entry: &'r BatchEntry, place: usize, now: Option<Timestamp>) -> Option<Self> {
        let BatchEntry { request, times, .. } = entry;
        let (Operation::Decide(cost @ 1..), [item]) = (request.operation, &request.items[..])
        else {
            return None;
        };
        let enforces = item.policy.mode() == Mode::Enforce;
        let timely = request.now == now && now.is_none_or(|now| now.as_micros() <= MAX_INSTANT);
        let quota = GcraUnits::of(&item.policy).filter(|_| enforces && timely)?;
        Some(Self { item, cost, times: *times, quota, place })
    }
}

/// Returns the part of a row's [name] before that of the client.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(in crate::store) fn namespace(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
