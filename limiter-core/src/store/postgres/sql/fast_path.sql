-- The fast path: charges checks that fit, each of one quota by gcra, and leaves
-- all others as they are, for insert.sql or the general form (read.sql, write.sql) to
-- decide.
-- Mirrors `wait` and `charge` of algorithm/gcra.rs, in units of 1 / q microseconds.
--
-- $1 names      the counters, sorted, each once
-- $2 bans       the name of each counter's ban, or null
-- $3 charges    what each check adds to the arrival time, in units
-- $4 quotas     the place of each counter's quota in $5 to $8
-- $5 q          units a microsecond
-- $6 capacity   a full bucket, in units
-- $7 limit, $8 burst
-- $9 grace      how long a counter outlives its use, in microseconds
-- $10 now       the instant, in microseconds; null for the server's clock
-- $11 window    of each quota, in microseconds
--
-- Returns of each counter that was charged its name, the instant, and the arrival time
-- since.
--
-- The clock is read as the statement begins. Where it then waits for a row, the
-- instant is in the past, which can only refuse what a later one would admit;
-- the condition is checked again on the row as it is after the wait. Rows are
-- locked in the order of $1, so that two statements never wait for each other.
UPDATE {prefix}_counters AS counter
SET tat = greatest(counter.tat, {now} * ($5::bigint[])[item.quota]) + item.charge,
    expires_at = $9::bigint + 1
        + (greatest(counter.tat, {now} * ($5::bigint[])[item.quota]) + item.charge)
            / ($5::bigint[])[item.quota]
FROM {items}
WHERE counter.name = item.name
    AND counter.tat <= {now} * ($5::bigint[])[item.quota]
        + ($6::bigint[])[item.quota] - item.charge
    AND counter.quota_limit = ($7::bigint[])[item.quota]
    AND counter.quota_burst = ($8::bigint[])[item.quota]
    AND counter.quota_window = ($11::bigint[])[item.quota]
    AND NOT EXISTS (
        SELECT FROM {prefix}_bans AS ban WHERE ban.name = item.ban AND ban.ends_at > {now}
    )
RETURNING counter.name, {now}, counter.tat
