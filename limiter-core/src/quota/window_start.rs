//! The time at which fixed windows begin, as text: `midnight UTC`, `04:30 +02:00`,
//! `monday UTC`.
//!
//! ```text
//! start = [ weekday ] [ "midnight" | hour ":" minute ] zone
//! zone  = "UTC" | ( "+" | "-" ) hour ":" minute
//! ```
//! A zone is a fixed distance from UTC. Zones that change their clocks in summer have
//! none: their days are 23 and 25 hours long twice a year, and a window has one length.

use std::fmt;

use super::{Quota, QuotaError};

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;

/// The days of a week, from that of the Unix epoch on.
const WEEKDAYS: [&str; 7] =
    ["thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday"];

/// Returns when windows of that many seconds begin, in seconds after the Unix epoch.
pub(super) fn parse(text: &str, window: u64) -> Result<u64, String> {
    let mut words = text.split_whitespace().peekable();
    let weekday = words.peek().and_then(|word| {
        WEEKDAYS.iter().position(|weekday| weekday.eq_ignore_ascii_case(word)).map(|day| day as u64)
    });
    if weekday.is_some() {
        words.next();
    }
    if weekday.is_some() != (window == WEEK) {
        return Err("a week begins on a day, as in \"1000/7d from monday UTC\"; other windows \
                    at a time, as in \"from midnight UTC\""
            .to_owned());
    }
    let words: Vec<&str> = words.collect();
    let (time, zone) = match words[..] {
        [zone] if weekday.is_some() => (0, zone),
        ["midnight", zone] => (0, zone),
        [time, zone] => (clock_time(time).ok_or_else(|| wrong_time(time))?, zone),
        _ => {
            return Err(format!(
                "{text:?} is no time and zone; write \"from midnight UTC\" or \"from 04:30 +02:00\""
            ));
        }
    };
    let day = weekday.unwrap_or(0) * DAY;
    let at = i128::from(day + time) - i128::from(distance(zone)?);
    let start = at.rem_euclid(i128::from(window.max(1)));
    u64::try_from(start).map_err(|_| wrong_time(text))
}

fn wrong_time(text: &str) -> String {
    format!("{text:?} is no time of a day; write \"midnight\" or \"04:30\"")
}

/// Returns the seconds of `hh:mm`.
fn clock_time(text: &str) -> Option<u64> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str, below: u64| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|number| is_number && *number < below)
    };
    Some(number(hour, 24)? * 60 * MINUTE + number(minute, 60)? * MINUTE)
}

/// Returns by how many seconds a zone's clocks are ahead of UTC.
fn distance(zone: &str) -> Result<i64, String> {
    let signed = |sign: i64, time: &str| {
        clock_time(time).and_then(|seconds| i64::try_from(seconds).ok()).map(|at| sign * at)
    };
    let distance = match (zone, zone.split_at_checked(1)) {
        ("UTC" | "utc" | "Z", _) => Some(0),
        (_, Some(("+", time))) => signed(1, time),
        (_, Some(("-", time))) => signed(-1, time),
        _ => None,
    };
    distance.ok_or_else(|| {
        format!(
            "{zone:?} is no zone of fixed distance; write UTC or such as +02:00, since a zone with \
             summer time has days of 23 and 25 hours"
        )
    })
}

/// Checks that windows of that length can begin at a set time.
pub(super) fn check_window(quota: &Quota) -> Result<(), QuotaError> {
    let seconds = quota.window / 1_000_000;
    let is_whole = quota.window.is_multiple_of(1_000_000);
    let divides = |whole: u64| seconds > 0 && whole.is_multiple_of(seconds);
    if is_whole && (seconds == WEEK || divides(DAY)) { Ok(()) } else { Err(QuotaError::Start) }
}

/// The text of a start in seconds after the epoch, of windows of that many seconds.
pub(super) struct Start {
    pub(super) window: u64,
    pub(super) start: u64,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" from ")?;
        if self.window == WEEK {
            let weekday = WEEKDAYS.get((self.start / DAY % 7) as usize).unwrap_or(&WEEKDAYS[0]);
            write!(f, "{weekday} ")?;
        }
        let minutes = self.start % DAY / MINUTE;
        write!(f, "{:02}:{:02} UTC", minutes / 60, minutes % 60)
    }
}
