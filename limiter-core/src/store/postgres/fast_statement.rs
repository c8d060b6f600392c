//! The statements of the [fast path](crate::store::sql::fast_path), in two forms.
//!
//! Input: checks. Output: arguments, and the replies to those that `sql/fast_path.sql` has
//! charged, or `sql/insert.sql` where their keys are new.

use sqlx::{Row as _, postgres::PgRow};

use super::statement::{Argument, Statement};
use crate::{
    store::{
        remote::operation::ttl_grace,
        sql::{
            Charged,
            counter_columns::GcraUnits,
            fast_path::{Charge, FastPath},
        },
    },
    time::Timestamp,
};

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
        if checks.len() == 1 { &self.one } else { &self.many }
    }
}

/// Returns the arguments of the statement: of one check, or arrays of several.
pub(super) fn arguments(FastPath { charges, quotas, now }: &FastPath) -> Vec<Argument<'_>> {
    let is_single = charges.len() == 1;
    let quotas = match &charges[..] {
        [charge] => &quotas[charge.quota..=charge.quota],
        _ => quotas,
    };
    let texts = |value: fn(&Charge) -> Option<&str>| {
        let mut values = charges.iter().map(value);
        if is_single {
            return Argument::Text(values.next().flatten());
        }
        Argument::Texts(values.collect())
    };
    let of_quotas = |value: fn(&GcraUnits) -> i64| numbers(is_single, quotas.iter().map(value));

    let mut arguments = vec![
        Argument::Number(Some(ttl_grace(*now).cast_signed())),
        Argument::Number(now.map(|now| now.as_micros().cast_signed())),
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

/// Writes the replies to the requests that the statement has charged, and keeps the others.
pub(super) fn reply(
    checks: &mut FastPath,
    rows: &[PgRow],
    replies: &mut Charged,
) -> Result<(), sqlx::Error> {
    for row in rows {
        let (counter, now, tat): (&str, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        checks.reply(counter, Timestamp::from_micros(now.cast_unsigned()), tat, replies);
    }
    checks.charges.retain(|charge| replies[charge.place].is_none());
    Ok(())
}

fn numbers<'a>(is_single: bool, mut values: impl Iterator<Item = i64>) -> Argument<'a> {
    if is_single {
        return Argument::Number(values.next());
    }
    Argument::Numbers(values.map(Some).collect())
}
