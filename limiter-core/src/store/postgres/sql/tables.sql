-- The tables of a store in PostgreSQL 11 or newer. {prefix} is what their names
-- begin with, such as limiter or schema.limiter. Instants and durations are in
-- microseconds, instants since the Unix epoch.

-- Counters and strikes: what a crash of the server may forget, for speed. To keep
-- them on disk, at half of the speed: ALTER TABLE {prefix}_counters SET LOGGED.
--
-- A counter of one quota by gcra is held as its theoretical arrival time in units
-- of 1 / q microseconds, where window / limit = p / q in lowest terms, with the
-- limit, the burst and the window that it was written under: fast_path.sql charges it by
-- one addition. Everything else is `state`, in the form of text_encoding.rs; then the
-- other four are null.
--
-- No index but the primary key, and free space on each page: updates stay on their
-- page and are cleaned up in passing (heap-only tuples).
CREATE UNLOGGED TABLE IF NOT EXISTS {prefix}_counters (
    name        text COLLATE "C" PRIMARY KEY,
    tat         bigint,
    quota_limit bigint,
    quota_burst bigint,
    quota_window bigint,
    expires_at  bigint NOT NULL,
    state       text
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS {prefix}_bans (
    name       text COLLATE "C" PRIMARY KEY,
    ends_at    bigint NOT NULL,
    duration   bigint NOT NULL,
    ban_count  bigint NOT NULL,
    expires_at bigint NOT NULL
);
