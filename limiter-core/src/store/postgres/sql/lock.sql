-- Locks rows by their names, sorted, until the transaction ends: for a check that
-- has met others more than once.
--
-- $1 counters   names of counters and of strikes
-- $2 bans       names of bans
SELECT FROM {prefix}_counters WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE;
SELECT FROM {prefix}_bans WHERE name = ANY ($2::text[]) ORDER BY name FOR UPDATE
