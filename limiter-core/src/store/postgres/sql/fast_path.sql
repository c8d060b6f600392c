-- The fast path: charges checks that fit, each of one quota by gcra, and leaves
-- all others as they are, for insert.sql or the general form (read.sql, write.sql) to
-- decide.
-- Mirrors `wait` and `charge` of algorithm/gcra.rs, in units of 1 / q microseconds.
--
-- $1 {grace}      how long a counter outlives its use, in microseconds
-- $2 {now}        the instant, in microseconds; null for the server's clock
-- $3 {name}       the counter
-- $4 {ban}        the name of its ban, or null
-- $5 {charge}     what the check adds to the arrival time, in units
-- $6 {q}          units a microsecond
-- $7 {capacity}   a full bucket, in units
-- $8 {limit}, $9 {burst}, $10 {window} in microseconds
--
-- {items} is empty for one check. Of several, $3 to $5 are arrays, sorted by the counters,
-- each of which is there once; $6 to $10 are arrays of the quotas, and $11 has the place of
-- each counter's quota in them.
--
-- Returns of each counter that was charged its name, the instant, and the arrival time
-- since.
--
-- The clock is read as the statement begins. Where it then waits for a row, the
-- instant is in the past, which can only refuse what a later one would admit;
-- the condition is checked again on the row as it is after the wait. Rows are
-- locked in the order of $3, so that two statements never wait for each other.
UPDATE {prefix}_counters AS counter
SET tat = greatest(counter.tat, {now} * {q}) + {charge},
    expires_at = {grace} + 1 + (greatest(counter.tat, {now} * {q}) + {charge}) / {q}
{items}
WHERE counter.name = {name}
    AND counter.tat <= {now} * {q} + {capacity} - {charge}
    AND counter.quota_limit = {limit}
    AND counter.quota_burst = {burst}
    AND counter.quota_window = {window}
    AND NOT EXISTS (
        SELECT FROM {prefix}_bans AS ban WHERE ban.name = {ban} AND ban.ends_at > {now}
    )
RETURNING counter.name, {now}, counter.tat
