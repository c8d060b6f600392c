-- The fast path: charges the counters of one namespace and quota that fit as many units, and
-- leaves all others as they are, for the general form to decide.
-- Mirrors `wait` and `charge` of algorithm/gcra.rs, in units of 1 / q microseconds.
--
-- ?1  the counters, as an array in JSON
-- ?2  the instant, in microseconds: read before the file is locked, so that it may be in the
--     past, which can only refuse what a later one would admit
-- ?3  what the check adds to the arrival time, in units
-- ?4  units a microsecond
-- ?5  a full bucket, in units
-- ?6, ?7, ?8  the limit, the burst, and the window in microseconds
-- ?9  how long a counter outlives its use, in microseconds
-- ?10 the namespace of the bans, or null
--
-- Returns of each counter that was charged its name, and the arrival time since.
UPDATE {prefix}_counters AS counter
SET tat = max(tat, ?2 * ?4) + ?3,
    expires_at = ?9 + 1 + (max(tat, ?2 * ?4) + ?3) / ?4
WHERE name IN (SELECT value FROM json_each(?1))
    AND tat <= ?2 * ?4 + ?5 - ?3
    AND quota_limit = ?6
    AND quota_burst = ?7
    AND quota_window = ?8
    AND NOT EXISTS (
        SELECT 1 FROM {prefix}_bans AS ban
        WHERE ban.name = ?10 || substr(counter.name, length(?10) + 1) AND ban.ends_at > ?2
    )
RETURNING name, tat
