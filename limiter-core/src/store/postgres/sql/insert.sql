-- The fast path of new keys: inserts the counters that checks of one quota by gcra find
-- missing, and leaves those that are there as they are, for the general form to decide.
--
-- Its arguments are those of fast_path.sql, and so is what it returns.
--
-- Rows that it sees are left out: ON CONFLICT would wait for one that another statement is
-- updating, while this one holds new rows. So it waits for rows alone that another has just
-- inserted, in the order of $3. (One statement that updates or inserts would hold new rows
-- while it waits for locked ones.)
INSERT INTO {prefix}_counters AS counter
    (name, tat, quota_limit, quota_burst, quota_window, expires_at)
SELECT {name}, {now} * {q} + {charge}, {limit}, {burst}, {window},
    {grace} + 1 + {now} + {charge} / {q}
{items}
WHERE {charge} <= {capacity}
    AND NOT EXISTS (SELECT FROM {prefix}_counters AS known WHERE known.name = {name})
    AND NOT EXISTS (
        SELECT FROM {prefix}_bans AS ban WHERE ban.name = {ban} AND ban.ends_at > {now}
    )
ON CONFLICT (name) DO NOTHING
RETURNING counter.name, {now}, counter.tat
