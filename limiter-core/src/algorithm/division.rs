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

/// Returns `used` and `units`, up to [`MAX_UNITS`].
pub(super) fn beyond(used: u64, units: u64) -> u64 {
    used.saturating_add(units).min(MAX_UNITS).max(used)
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
