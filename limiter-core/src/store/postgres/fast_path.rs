//! The fast path: checks of one quota by gcra that fit, charged by one statement.
//!
//! Input: store requests. Output: the replies of those that `sql/fast_path.sql` has
//! charged; all others are left to the [general form](crate::store::sql::transaction).
//!
//! Requests of one batch are concurrent, but those of one client stay in the order in
//! which they came: a client is decided here only if all of its requests are the
//! same, and then as one charge.

use std::collections::{HashMap, hash_map::Entry};

use smallvec::{SmallVec, smallvec};
use sqlx::{Row as _, postgres::PgRow};

use super::{
    encoding::{GcraUnits, MAX_INSTANT},
    statement::Argument,
};
use crate::{
    policy::Mode,
    store::{
        remote::{
            backend::{NamedItem, Reply, StoreRequest, StoredState},
            operation::{Operation, ttl_grace},
            storage_key,
        },
        sql::name,
    },
    time::Timestamp,
};

/// Checks to charge in one statement.
pub(super) struct FastPath {
    /// Each counter once, in the order of their names.
    charges: Vec<Charge>,
    quotas: Vec<GcraUnits>,
    now: Option<Timestamp>,
}

/// Equal checks of one counter.
struct Charge {
    counter: String,
    ban: Option<String>,
    /// The place of the quota in [`FastPath::quotas`].
    quota: usize,
    /// The units of arrival time that one check adds.
    units: i64,
    /// The places of the requests.
    places: SmallVec<[usize; 1]>,
}

/// The requests of a client so far: a check that the fast path may decide, and the
/// places of those like it.
struct Candidate<'r> {
    item: &'r NamedItem,
    cost: u64,
    quota: GcraUnits,
    places: SmallVec<[usize; 1]>,
}

impl FastPath {
    /// Returns the checks among these requests that may fit.
    pub(super) fn of(requests: &[&StoreRequest]) -> Self {
        let now = requests.first().and_then(|request| request.now);
        // `None` where a client has asked for different things.
        let mut clients: HashMap<&str, Option<Candidate<'_>>> = HashMap::new();
        for (place, request) in requests.iter().enumerate() {
            if let Some(candidate) = Candidate::of(request, place, now) {
                let client = candidate.item.client.as_str();
                match clients.entry(client) {
                    Entry::Vacant(entry) => {
                        entry.insert(Some(candidate));
                    }
                    Entry::Occupied(mut entry) => {
                        let known = entry.get_mut().take();
                        *entry.get_mut() = known.and_then(|known| known.fold(candidate));
                    }
                }
            } else {
                clients.extend(request.items.iter().map(|item| (item.client.as_str(), None)));
            }
        }
        let mut fast_path = Self { charges: Vec::new(), quotas: Vec::new(), now };
        clients.into_values().flatten().for_each(|candidate| fast_path.push(candidate));
        // As the server sorts: by bytes.
        fast_path.charges.sort_unstable_by(|one, other| one.counter.cmp(&other.counter));
        fast_path
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.charges.is_empty()
    }

    /// Whether there is but one counter.
    pub(super) const fn is_single(&self) -> bool {
        self.charges.len() == 1
    }

    /// Adds checks, unless all of them together can never fit: sent as a charge over
    /// the capacity they would leave negative room, which an old arrival time has.
    fn push(&mut self, candidate: Candidate<'_>) {
        let Candidate { item, cost, quota, places } = candidate;
        let most = u64::try_from(quota.burst()).unwrap_or_default() / places.len() as u64;
        let Some(units) = i64::try_from(cost).ok().filter(|_| cost <= most) else { return };
        let scope = item.scope();
        let name = |kind, scope| name(&item.client, &storage_key::part(kind, scope));
        let bannable = item.policy.ban().is_some() && item.subject.bannable;
        let known = self.quotas.iter().position(|known| *known == quota);
        self.charges.push(Charge {
            counter: name('c', scope.counters),
            ban: bannable.then(|| name('b', scope.bans)),
            quota: known.unwrap_or(self.quotas.len()),
            units: units * quota.p,
            places,
        });
        if known.is_none() {
            self.quotas.push(quota);
        }
    }

    /// Returns the arguments of the statement.
    pub(super) fn arguments(&self) -> [Argument<'_>; 10] {
        let of_charges = |value: fn(&Charge) -> i64| {
            Argument::Numbers(self.charges.iter().map(|charge| Some(value(charge))).collect())
        };
        let of_quotas = |value: fn(&GcraUnits) -> i64| {
            Argument::Numbers(self.quotas.iter().map(|quota| Some(value(quota))).collect())
        };
        let now = self.now.map(|now| now.as_micros().cast_signed());
        [
            Argument::Texts(self.charges.iter().map(|it| Some(it.counter.as_str())).collect()),
            Argument::Texts(self.charges.iter().map(|it| it.ban.as_deref()).collect()),
            of_charges(|charge| charge.units * charge.places.len() as i64),
            of_charges(|charge| charge.quota as i64 + 1),
            of_quotas(|quota| quota.q),
            of_quotas(GcraUnits::capacity),
            of_quotas(GcraUnits::limit),
            of_quotas(GcraUnits::burst),
            Argument::Number(Some(ttl_grace(self.now).cast_signed())),
            Argument::Number(now),
        ]
    }

    /// Writes the replies to the requests that the statement has charged.
    pub(super) fn reply(
        &self,
        rows: &[PgRow],
        replies: &mut [Option<Reply>],
    ) -> Result<(), sqlx::Error> {
        for row in rows {
            let (place, now, tat): (i64, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let now = Timestamp::from_micros(now.cast_unsigned());
            let charge = usize::try_from(place - 1).ok().and_then(|at| self.charges.get(at));
            let Some(charge) = charge else { continue };
            // Each check found what those before it had left.
            let mut before = tat - charge.units * charge.places.len() as i64;
            for place in &charge.places {
                let state = self.quotas[charge.quota].state(before);
                let kept =
                    StoredState { now, states: smallvec![Some(state)], ..Default::default() };
                replies[*place] = Some(Reply { now, kept: vec![kept] });
                before += charge.units;
            }
        }
        Ok(())
    }
}

impl<'r> Candidate<'r> {
    /// `None` where the fast path cannot decide the request: it has several items or
    /// quotas, does not enforce, costs nothing, or brings an instant of its own that
    /// is not the batch's.
    fn of(request: &'r StoreRequest, place: usize, now: Option<Timestamp>) -> Option<Self> {
        let (Operation::Decide(cost @ 1..), [item]) = (request.operation, &request.items[..])
        else {
            return None;
        };
        let enforces = item.policy.mode() == Mode::Enforce;
        let timely = request.now == now && now.is_none_or(|now| now.as_micros() <= MAX_INSTANT);
        let quota = GcraUnits::of(&item.policy).filter(|_| enforces && timely)?;
        Some(Self { item, cost, quota, places: smallvec![place] })
    }

    /// Both together, if they are the same check.
    fn fold(mut self, other: Self) -> Option<Self> {
        let same = self.item.scope() == other.item.scope()
            && self.item.subject.bannable == other.item.subject.bannable
            && (self.cost, self.quota) == (other.cost, other.quota);
        self.places.extend(other.places);
        same.then_some(self)
    }
}
