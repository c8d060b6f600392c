-- The fast path: charges the counters of one namespace and quota that fit, and leaves
-- all others as they are, for the general form to decide.
-- Mirrors `wait` and `charge` of algorithm/gcra.rs, in units of 1 / q microseconds.
--
-- {names}        the counters, sorted
-- {charge}       what the check of each adds to its arrival time, in units
-- {q}            units a microsecond
-- {capacity}     a full bucket, in units
-- {limit}, {burst}, {window} in microseconds
-- {grace}        how long a counter outlives its use, in microseconds
-- {ban}          the condition that its ban is not in force, if it may have one; by a lock, or
--                a statement that has waited for a counter would see bans as they were before
-- @now           the instant, in microseconds
-- @charged       each counter that was charged, with the arrival time since
--
-- The clock is read before. Where the statement then waits for a row, the instant is in
-- the past, which can only refuse what a later one would admit; the condition is
-- checked on the row as it is after the wait. Rows are locked in the order of
-- their names, which is the primary key's, so that two statements never wait for each other.
-- (By ORDER BY, they would be collected before the first is written.) (Several statements of a
-- script may, where a policy has several quotas by its plans: who is rolled back for it
-- tries again by the general form.)
--
-- There is no RETURNING in MySQL, so that a variable collects what was charged. The arrival time
-- comes last: what comes behind it would read the new one.
UPDATE {prefix}_counters AS counter FORCE INDEX (PRIMARY)
SET expires_at = {grace} + 1 + (GREATEST(tat, @now * {q}) + {charge}) DIV {q} + 0 * LENGTH(
        @charged := CONCAT(@charged, name, ' ', GREATEST(tat, @now * {q}) + {charge}, ';')
    ),
    tat = GREATEST(tat, @now * {q}) + {charge}
WHERE name IN ({names})
    AND tat <= @now * {q} + {capacity} - {charge}
    AND quota_limit = {limit}
    AND quota_burst = {burst}
    AND quota_window = {window}
    {ban}
