-- Compare and write: writes and removes rows if all of them are as read.sql has
-- returned them, else nothing.
--
-- $1 names, $2 versions, $3 tat, $4 limit, $5 burst, $6 window, $7 state, $8 expires_at
--    the counters and strikes, sorted by their names
-- $9 names, $10 versions, $11 ends_at, $12 duration, $13 ban_count, $14 expires_at
--    the bans, sorted by their names
-- A row without a version is new; one without expires_at is removed.
--
-- Returns 1 if all was written, 0 if a row had changed. Where another statement has
-- just written one of several new rows, error 22012 (a division by zero) takes back
-- what this one has written.
--
-- Rows that are there are locked first, in the order of their names, counters
-- before bans, so that two statements never wait for each other.
WITH counter AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::text[], $8::bigint[]
    ) AS item (name, version, tat, quota_limit, quota_burst, quota_window, state, expires_at)
), ban AS (
    SELECT * FROM unnest(
        $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[]
    ) AS item (name, version, ends_at, duration, ban_count, expires_at)
), locked_counters AS (
    SELECT FROM counter AS item JOIN {prefix}_counters AS kept USING (name)
    WHERE kept.xmin::text = item.version FOR UPDATE OF kept
), locked_bans AS (
    SELECT FROM ban AS item JOIN {prefix}_bans AS kept USING (name)
    WHERE kept.xmin::text = item.version FOR UPDATE OF kept
), unchanged AS (
    SELECT (SELECT count(*) FROM locked_counters) = (SELECT count(version) FROM counter)
        AND (SELECT count(*) FROM locked_bans) = (SELECT count(version) FROM ban) AS unchanged
), updated_counters AS (
    UPDATE {prefix}_counters AS kept
    SET tat = item.tat, quota_limit = item.quota_limit, quota_burst = item.quota_burst,
        quota_window = item.quota_window, state = item.state, expires_at = item.expires_at
    FROM counter AS item
    WHERE (SELECT unchanged FROM unchanged) AND kept.name = item.name
        AND item.version IS NOT NULL AND item.expires_at IS NOT NULL
), updated_bans AS (
    UPDATE {prefix}_bans AS kept
    SET ends_at = item.ends_at, duration = item.duration, ban_count = item.ban_count,
        expires_at = item.expires_at
    FROM ban AS item
    WHERE (SELECT unchanged FROM unchanged) AND kept.name = item.name
        AND item.version IS NOT NULL AND item.expires_at IS NOT NULL
), removed_counters AS (
    DELETE FROM {prefix}_counters AS kept USING counter AS item
    WHERE (SELECT unchanged FROM unchanged) AND kept.name = item.name AND item.expires_at IS NULL
), removed_bans AS (
    DELETE FROM {prefix}_bans AS kept USING ban AS item
    WHERE (SELECT unchanged FROM unchanged) AND kept.name = item.name AND item.expires_at IS NULL
), new_counters AS (
    INSERT INTO {prefix}_counters (name, tat, quota_limit, quota_burst, quota_window, state, expires_at)
    SELECT name, tat, quota_limit, quota_burst, quota_window, state, expires_at FROM counter
    WHERE (SELECT unchanged FROM unchanged) AND version IS NULL
    ON CONFLICT (name) DO NOTHING RETURNING 1
), new_bans AS (
    INSERT INTO {prefix}_bans (name, ends_at, duration, ban_count, expires_at)
    SELECT name, ends_at, duration, ban_count, expires_at FROM ban
    WHERE (SELECT unchanged FROM unchanged) AND version IS NULL
    ON CONFLICT (name) DO NOTHING RETURNING 1
), inserted AS (
    SELECT (SELECT count(*) FROM new_counters) = (SELECT count(*) FROM counter WHERE version IS NULL)
        AND (SELECT count(*) FROM new_bans) = (SELECT count(*) FROM ban WHERE version IS NULL)
        AS inserted
)
SELECT CASE
    WHEN NOT unchanged THEN 0
    WHEN inserted THEN 1
    -- A single row was not written, and nothing has to be taken back.
    WHEN (SELECT count(*) FROM counter) + (SELECT count(*) FROM ban) = 1 THEN 0
    ELSE 1 / inserted::int
END FROM unchanged, inserted
