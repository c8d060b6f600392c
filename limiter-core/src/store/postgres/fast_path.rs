//! The fast path: checks of one quota by gcra that fit, charged by one statement.
//!
//! Input: store requests. Output: the replies of those that `sql/fast_path.sql` has
//! charged, or `sql/insert.sql` where their keys are new; all others are left to the
//! [general form](crate::store::sql::transaction). Both are written [twice](FastStatement): a check
//! alone has scalars for arguments, and several have arrays.
//!
//! Entries of one batch are concurrent, but those of one client stay in the order in
//! which they came: a client with several is left to the general form.

use std::collections::HashMap;

use smallvec::smallvec;
use sqlx::{Row as _, postgres::PgRow};

use super::{
    encoding::{GcraUnits, MAX_INSTANT},
    statement::{Argument, Statement},
};
use crate::{
    policy::Mode,
    quota::Algorithm,
    store::{
        remote::{
            backend::{NamedItem, Reply, StoreRequest, StoredState},
            batcher::BatchEntry,
            operation::{Operation, ttl_grace},
            storage_key,
        },
        sql::name,
    },
    time::Timestamp,
};

/// Returns true if the fast path may charge a request, as it does where that fits.
pub(super) fn may_charge(request: &StoreRequest) -> bool {
    let (Operation::Decide(1..), [item]) = (request.operation, &request.items[..]) else {
        return false;
    };
    let is_gcra =
        matches!(item.policy.quotas()[..], [quota] if quota.algorithm() == Algorithm::Gcra);
    is_gcra && item.policy.mode() == Mode::Enforce
}

/// The instant of a statement, in microseconds. The server has it as a float of
/// seconds, which is exact to a quarter of a microsecond until 2106.
const NOW: &str =
    "coalesce($2::bigint, (date_part('epoch', statement_timestamp()) * 1000000)::bigint)";

/// Several checks.
const ITEMS: &str = "FROM unnest($3::text[], $4::text[], $5::bigint[], $11::bigint[]) \
     AS item (name, ban, charge, quota)";

/// A statement for one check, whose arguments are scalars, and for several, whose
/// arguments are arrays. (As an array of one, a check alone took 15 us more of 125: 5 here and
/// 10 at the server.)
pub(super) struct FastStatement {
    one: Statement,
    many: Statement,
}

impl FastStatement {
    pub(super) fn new(sql: &str, prefix: &str) -> Self {
        let sql = sql.replace("{grace}", "$1::bigint");
        let mut one = sql.replace("{now}", NOW).replace("{items}", "");
        // As a subquery it is computed once, and not six times for each check: a twentieth
        // of the statement.
        let now = format!("(SELECT {NOW})");
        let mut many = sql.replace("{now}", &now).replace("{items}", ITEMS);
        for (place, name, kind) in
            [(3, "name", "text"), (4, "ban", "text"), (5, "charge", "bigint")]
        {
            let named = format!("{{{name}}}");
            one = one.replace(&named, &format!("${place}::{kind}"));
            many = many.replace(&named, &format!("item.{name}"));
        }
        for (place, name) in (6..).zip(["q", "capacity", "limit", "burst", "window"]) {
            let named = format!("{{{name}}}");
            one = one.replace(&named, &format!("${place}::bigint"));
            many = many.replace(&named, &format!("(${place}::bigint[])[item.quota]"));
        }
        Self { one: Statement::new(&one, prefix), many: Statement::new(&many, prefix) }
    }

    /// Returns the statement for these checks.
    pub(super) const fn of(&self, checks: &FastPath) -> &Statement {
        if checks.is_single() { &self.one } else { &self.many }
    }
}

/// Checks to charge in one statement.
pub(super) struct FastPath {
    /// Each counter once, in the order of their names.
    charges: Vec<Charge>,
    quotas: Vec<GcraUnits>,
    now: Option<Timestamp>,
}

/// A check of one counter.
struct Charge {
    counter: String,
    ban: Option<String>,
    /// The place of the quota in [`FastPath::quotas`].
    quota: usize,
    /// The units of arrival time that all repetitions of the check add.
    units: i64,
    /// The place of the entry in the batch.
    place: usize,
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
    pub(super) fn of(batch: &[BatchEntry]) -> Self {
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
        // By bytes, as the server sorts.
        fast_path.charges.sort_unstable_by(|one, other| one.counter.cmp(&other.counter));
        fast_path
    }

    /// Returns the number of counters that were not charged yet.
    pub(super) const fn len(&self) -> usize {
        self.charges.len()
    }

    /// Returns true if there is one counter.
    const fn is_single(&self) -> bool {
        self.charges.len() == 1
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

    /// Returns the arguments of the statement: of one check, or arrays of several.
    pub(super) fn arguments(&self) -> Vec<Argument<'_>> {
        let (charges, is_single) = (&self.charges[..], self.is_single());
        let quotas = match charges {
            [charge] => &self.quotas[charge.quota..=charge.quota],
            _ => &self.quotas,
        };
        let texts = |value: fn(&Charge) -> Option<&str>| {
            let mut values = charges.iter().map(value);
            if is_single {
                return Argument::Text(values.next().flatten());
            }
            Argument::Texts(values.collect())
        };
        let of_quotas = |value: fn(&GcraUnits) -> i64| numbers(is_single, quotas.iter().map(value));
        let now = self.now.map(|now| now.as_micros().cast_signed());
        let mut arguments = vec![
            Argument::Number(Some(ttl_grace(self.now).cast_signed())),
            Argument::Number(now),
            texts(|charge| Some(&charge.counter)),
            texts(|charge| charge.ban.as_deref()),
            numbers(is_single, charges.iter().map(|charge| charge.units)),
            of_quotas(|quota| quota.q),
            of_quotas(GcraUnits::capacity),
            of_quotas(GcraUnits::limit),
            of_quotas(GcraUnits::burst),
            of_quotas(GcraUnits::window),
        ];
        if !is_single {
            arguments.push(numbers(false, charges.iter().map(|charge| charge.quota as i64 + 1)));
        }
        arguments
    }

    /// Writes the replies to the requests that the statement has charged, and keeps the
    /// others.
    pub(super) fn reply(
        &mut self,
        rows: &[PgRow],
        replies: &mut [Option<Reply>],
    ) -> Result<(), sqlx::Error> {
        for row in rows {
            let (name, now, tat): (&str, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let now = Timestamp::from_micros(now.cast_unsigned());
            let found = self.charges.binary_search_by(|charge| charge.counter.as_str().cmp(name));
            let Some(charge) = found.ok().map(|at| &self.charges[at]) else { continue };
            let state = self.quotas[charge.quota].state(tat - charge.units);
            let kept = StoredState { now, states: smallvec![Some(state)], ..Default::default() };
            replies[charge.place] = Some(Reply { now, kept: vec![kept] });
        }
        self.charges.retain(|charge| replies[charge.place].is_none());
        Ok(())
    }
}

fn numbers<'a>(is_single: bool, mut values: impl Iterator<Item = i64>) -> Argument<'a> {
    if is_single {
        return Argument::Number(values.next());
    }
    Argument::Numbers(values.map(Some).collect())
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
