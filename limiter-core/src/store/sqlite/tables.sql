-- The tables of a store in SQLite 3.44 or newer. {prefix} is what their names
-- begin with.

-- Counters and strikes. A counter of one quota by gcra is numbers: its arrival time in
-- units of 1 / q microseconds, where window / limit = p / q in lowest terms, and the
-- limit, the burst and the window that it was written under: fast_path.sql charges it by
-- them. Everything else is a text.
CREATE TABLE IF NOT EXISTS {prefix}_counters (
    name    TEXT NOT NULL PRIMARY KEY,
    tat     INTEGER,
    quota_limit INTEGER,
    quota_burst INTEGER,
    quota_window INTEGER,
    expires_at INTEGER NOT NULL,
    state   TEXT
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS {prefix}_bans (
    name    TEXT NOT NULL PRIMARY KEY,
    ends_at INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    ban_count INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
