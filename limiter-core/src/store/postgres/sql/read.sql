-- Reads rows by their names, as of one instant.
--
-- $1 counters   names of counters and of strikes
-- $2 bans       names of bans
--
-- Returns the instant by the server's clock, in a row without a name; of each row
-- that is there its name, its version, and its state as text: in the form of
-- text_encoding.rs, or "q" tat "," limit "," burst "," window (see tables.sql), each with
-- "!" and when it expires behind it; or ends_at "," duration "," ban_count.
SELECT null::text, null::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text
UNION ALL
SELECT name, xmin::text, concat(
    coalesce(state, concat('q', tat, ',', quota_limit, ',', quota_burst, ',', quota_window)),
    '!', expires_at
)
FROM {prefix}_counters WHERE name = ANY ($1::text[])
UNION ALL
SELECT name, xmin::text, concat(ends_at, ',', duration, ',', ban_count)
FROM {prefix}_bans WHERE name = ANY ($2::text[])
