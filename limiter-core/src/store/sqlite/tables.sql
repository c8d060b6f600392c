-- The tables of a store in SQLite 3.44 or newer. {prefix} is what their names
-- begin with.

-- Counters and strikes.
CREATE TABLE IF NOT EXISTS {prefix}_counters (
    name    TEXT NOT NULL PRIMARY KEY,
    state   TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS {prefix}_bans (
    name    TEXT NOT NULL PRIMARY KEY,
    ends_at INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    ban_count INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
