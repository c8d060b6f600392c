-- Decides the commonest check, in as few expressions as it takes, since each is
-- prepared anew in each transaction: one policy of one quota by gcra, whose counter
-- is there and has room. Whatever else it is, {prefix}_run_1 decides it, for which
-- the last arguments are.
--
-- `room` and `room_rest` are the debt that leaves room for the request, `whole` and
-- `rest` the debt that it adds, in whole microseconds and in 1 / lim of one.
--
-- Returns as {prefix}_run_1 does. But of a counter that it has charged it returns
-- the first two numbers, as they are since.
CREATE OR REPLACE FUNCTION {prefix}_pass_1(
    room bigint, room_rest bigint, whole bigint, rest bigint, lim bigint, burst bigint,
    lock bigint, counter text, strikes text, ban text,
    cost bigint, own_now bigint, slack bigint, patience int, numbers bigint[]
)
RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
    now_us bigint;
    answer bigint[];
BEGIN
    IF patience > 0 THEN
        -- What a connection of ours begins with.
        PERFORM set_config('lock_timeout', patience::text, true),
            set_config('enable_seqscan', 'off', true);
    END IF;
    IF patience = 0 OR current_setting('transaction_isolation') = 'read committed' THEN
        -- Not before the lock is held: a clock read while waiting is stale.
        now_us := CASE WHEN pg_advisory_xact_lock(lock) IS NOT NULL THEN
            coalesce(own_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
        END;
        -- Looks for no row to lock but one that it will write: a refusal leaves no
        -- trace.
        UPDATE {prefix}_counters
        SET state = ARRAY[
                greatest(state[1], now_us) + whole
                    + (CASE WHEN state[1] < now_us THEN 0 ELSE state[2] END + rest) / lim,
                (CASE WHEN state[1] < now_us THEN 0 ELSE state[2] END + rest) % lim,
                lim,
                burst
            ],
            expires = greatest(state[1], now_us) + whole + 2 + slack
        WHERE name = counter
            AND (state[1] - now_us, state[2]) <= (room, room_rest)
            AND state[3] = lim
            AND state[4] <= burst
            AND NOT EXISTS (SELECT FROM {prefix}_bans WHERE name = ban AND ends > now_us)
        RETURNING ARRAY[now_us, 2, state[1], state[2], 0, 0] INTO answer;
        IF FOUND THEN
            RETURN answer;
        END IF;
    END IF;
    RETURN {prefix}_run_1(
        'decide', cost, 0, own_now, slack, patience,
        ARRAY[lock], ARRAY[counter, strikes, ban], numbers
    );
END
$body$;
