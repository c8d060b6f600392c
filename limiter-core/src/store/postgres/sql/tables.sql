-- The tables and functions of a store in PostgreSQL 11 or newer. {prefix} is
-- what their names begin with, such as limiter or schema.limiter.
--
-- The functions bear a version: during a rollout nodes of two versions use
-- one set of tables, each by functions of its own.

-- Counters and strikes: what a crash of the server may forget, for speed. Who
-- wants them on disk, and to pay for it, says
-- ALTER TABLE {prefix}_counters SET LOGGED.
--
-- No index but the primary key, and room on each page: updates then stay on
-- their page and are cleaned up in passing (heap-only tuples).
CREATE UNLOGGED TABLE IF NOT EXISTS {prefix}_counters (
    name    text COLLATE "C" PRIMARY KEY,
    state   bigint[] NOT NULL,
    expires bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS {prefix}_bans (
    name    text COLLATE "C" PRIMARY KEY,
    ends    bigint NOT NULL,
    lasted  bigint NOT NULL,
    expires bigint NOT NULL
);
