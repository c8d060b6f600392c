-- Decides the commonest check in few expressions, since each is prepared anew
-- in each transaction: one policy of one quota by gcra, whose counter is there
-- and has room. Whatever else it is, {prefix}_run_1 decides it.
--
-- `room` and `room_rest` are the debt that leaves room for the request, in whole
-- microseconds and 1 / limit of one. For the other arguments see run.sql.
--
-- Returns as {prefix}_run_1 does. But of a counter that it has charged it returns
-- the first two numbers, as they are since.
CREATE OR REPLACE FUNCTION {prefix}_pass_1(
    room bigint, room_rest bigint, cost bigint, own_now bigint, slack bigint,
    patience int, locks bigint[], names text[], numbers bigint[]
)
RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
    now_us bigint;
    answer bigint[];
BEGIN
    -- Otherwise the connection has these settings.
    IF patience > 0 THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RETURN {prefix}_run_1('decide', cost, 0, own_now, slack, patience, locks, names, numbers);
        END IF;
        PERFORM set_config('lock_timeout', patience::text, true),
            set_config('enable_seqscan', 'off', true);
    END IF;
    -- Not before the lock is held: a clock read while waiting is stale.
    now_us := CASE WHEN pg_advisory_xact_lock(locks[1]) IS NOT NULL THEN
        coalesce(own_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
    END;
    UPDATE {prefix}_counters
    SET state = ARRAY[
            greatest(state[1], now_us) + numbers[9]
                + (CASE WHEN state[1] < now_us THEN 0 ELSE state[2] END + numbers[10]) / numbers[5],
            (CASE WHEN state[1] < now_us THEN 0 ELSE state[2] END + numbers[10]) % numbers[5],
            numbers[5],
            numbers[8]
        ],
        expires = greatest(state[1], now_us) + numbers[9] + 2 + slack
    WHERE name = names[1]
        AND (state[1] - now_us, state[2]) <= (room, room_rest)
        AND state[3] = numbers[5]
        AND state[4] <= numbers[8]
        AND NOT EXISTS (SELECT FROM {prefix}_bans WHERE name = names[3] AND ends > now_us)
    RETURNING ARRAY[now_us, 2, state[1], state[2], 0, 0] INTO answer;
    IF FOUND THEN
        RETURN answer;
    END IF;
    RETURN {prefix}_run_1('decide', cost, 0, own_now, slack, patience, locks, names, numbers);
END
$body$;
