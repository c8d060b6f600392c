//! Integer arithmetic of the algorithms.

use crate::quota::MAX_UNITS;

/// Returns the quotient of a checked quota's numbers, which always fits, and the rest. Most
/// dividends fit 64 bits, whose division is much faster.
#[inline]
pub(super) fn div_rem(dividend: u128, by: u64) -> (u64, u64) {
    match u64::try_from(dividend) {
        Ok(dividend) => (dividend / by, dividend % by),
        Err(_) => {
            let by = u128::from(by);
            (narrow(dividend / by), narrow(dividend % by))
        }
    }
}

/// Returns the quotient, rounded up.
#[inline]
pub(super) fn div_ceil(dividend: u128, by: u64) -> u64 {
    let (whole, rest) = div_rem(dividend, by);
    whole.saturating_add(u64::from(rest > 0))
}

/// Adds units to those that are used, up to [`MAX_UNITS`]. Returns how many were added.
pub(super) fn charge_beyond(used: &mut u64, units: u64) -> u64 {
    let added = units.min(MAX_UNITS.saturating_sub(*used));
    *used += added;
    added
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
