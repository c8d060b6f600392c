-- What a transaction does that is decided in limiter-core (see locked.rs there):
-- it locks and reads in one round trip, and writes in another. All arguments are
-- arrays, so that the statements are planned once.

-- Locks clients, which come sorted, and then reads rows by their names: each
-- statement sees what was committed before it begins. Returns the instant, the
-- counters and the bans, with | between; within these, ; between and nothing
-- where there is no row.
CREATE OR REPLACE FUNCTION {prefix}_read_1(locks bigint[], counters text[], bans text[])
RETURNS text LANGUAGE plpgsql AS $body$
DECLARE
    states text;
    ends   text := '';
BEGIN
    PERFORM count(pg_advisory_xact_lock(each_lock)) FROM unnest(locks) AS each_lock;
    SELECT coalesce(string_agg(coalesce(
        (SELECT state::text FROM {prefix}_counters WHERE name = each_name), ''
    ), ';'), '') INTO states FROM unnest(counters) AS each_name;
    IF cardinality(bans) > 0 THEN
        SELECT string_agg(coalesce(
            (SELECT b.ends || ',' || b.lasted FROM {prefix}_bans AS b WHERE name = each_name), ''
        ), ';') INTO ends FROM unnest(bans) AS each_name;
    END IF;
    RETURN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint || '|' || states || '|' || ends;
END
$body$;

-- Writes counters and strikes, and removes others.
CREATE OR REPLACE FUNCTION {prefix}_count_1(
    names text[], states text[], expire bigint[], gone text[]
)
RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO {prefix}_counters
    SELECT name, state::bigint[], expires
    FROM unnest(names, states, expire) AS kept (name, state, expires)
    ON CONFLICT (name) DO UPDATE SET state = excluded.state, expires = excluded.expires;
    IF cardinality(gone) > 0 THEN
        DELETE FROM {prefix}_counters WHERE name = ANY (gone);
    END IF;
END
$body$;

-- Writes bans, and removes others.
CREATE OR REPLACE FUNCTION {prefix}_ban_1(
    names text[], ends bigint[], lasted bigint[], expire bigint[], gone text[]
)
RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO {prefix}_bans
    SELECT * FROM unnest(names, ends, lasted, expire)
    ON CONFLICT (name) DO UPDATE
        SET ends = excluded.ends, lasted = excluded.lasted, expires = excluded.expires;
    IF cardinality(gone) > 0 THEN
        DELETE FROM {prefix}_bans WHERE name = ANY (gone);
    END IF;
END
$body$;
