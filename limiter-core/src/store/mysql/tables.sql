-- The tables of a store in MySQL 8 or MariaDB 10.5, or newer. {prefix} is what
-- their names begin with, such as limiter or database.limiter.

-- The rows that the general form locks, before counters: each client has one of these rows,
-- which are never written. So a check that is refused leaves no trace, what is not there
-- yet can be locked, and two transactions never wait for each other in a circle. It is
-- filled before there are other tables, so that who finds these finds it full.
CREATE TABLE IF NOT EXISTS {prefix}_locks (
    id SMALLINT UNSIGNED NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

-- 0 to 4095.
INSERT IGNORE INTO {prefix}_locks
WITH digits AS (
    SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5
    UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9 UNION SELECT 10 UNION SELECT 11
    UNION SELECT 12 UNION SELECT 13 UNION SELECT 14 UNION SELECT 15
)
SELECT 256 * a.d + 16 * b.d + c.d FROM digits a, digits b, digits c;

-- Counters and strikes. A counter of one quota by gcra is numbers: its arrival time in
-- units of 1 / q microseconds, where window / limit = p / q in lowest terms, and the
-- limit, the burst and the window that it was written under: fast_path.sql charges it by
-- them. Everything else is a text.
CREATE TABLE IF NOT EXISTS {prefix}_counters (
    name    VARBINARY(128) NOT NULL PRIMARY KEY,
    tat     BIGINT,
    quota_limit BIGINT,
    quota_burst BIGINT,
    quota_window BIGINT,
    expires_at BIGINT UNSIGNED NOT NULL,
    state   BLOB
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {prefix}_bans (
    name    VARBINARY(128) NOT NULL PRIMARY KEY,
    ends_at BIGINT UNSIGNED NOT NULL,
    duration BIGINT UNSIGNED NOT NULL,
    ban_count BIGINT UNSIGNED NOT NULL,
    expires_at BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB;
