-- Decides a check, strikes for a response status, or changes what is kept by
-- hand, in one atomic step. Mirrors decide.rs, ban/ and algorithm/ of
-- limiter-core, as decide.lua does for Redis; Rust replays its answer on the
-- state that this returns. For the numbers of the items see operation.rs.
--
-- All state of a client is changed under an advisory lock on the client, so
-- that a refusal leaves no trace in any table. Locks come sorted. To wait for
-- them `patience` milliseconds at most is for connections that have no
-- lock_timeout of their own (0 if they have).
--
-- Returns now, then for each item its counter, strikes and ban as they were
-- before, each behind how many numbers it has.
CREATE OR REPLACE FUNCTION {prefix}_run_1(
    operation text, cost bigint, duration bigint, own_now bigint, slack bigint,
    patience int, locks bigint[], names text[], numbers bigint[]
)
RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
    items     CONSTANT int := cardinality(names) / 3;
    each_lock bigint;
    now_us    bigint;
    answer    bigint[];
    at        int := 1;
    -- Of each item:
    shadow    boolean[];
    passes    boolean[];
    rule      int[];      -- where its rule's numbers begin, or 0
    bannable  boolean[];
    banned    boolean[];
    struck    bigint[];   -- three numbers each
    until_us  bigint[];
    last      bigint[];
    after     bigint[] := '{}';  -- four numbers a quota
    after_at  int[];
    reset     bigint[];
    -- Of the one at hand:
    quotas    int;
    kept      bigint[];
    strikes   bigint[];
    ban       bigint[];
    k         int;
    lim       bigint;
    width     bigint;
    fits      boolean;
    whole     bigint;
    rest      bigint;
    debt      numeric;
    slid      bigint[];
    ban_until bigint;
    ban_last  bigint;
    longer    numeric;
    r         int;
    -- Of all:
    refused   boolean := false;
    held      boolean := false;
    todo      text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the store needs transactions that are "read committed", not "%"; '
            'set default_transaction_isolation for its role', current_setting('transaction_isolation');
    END IF;
    IF patience > 0 THEN
        PERFORM set_config('lock_timeout', patience::text, true);
    END IF;
    FOREACH each_lock IN ARRAY locks LOOP
        -- An expression is cheaper than a statement: it never is null.
        CONTINUE WHEN pg_advisory_xact_lock(each_lock) IS NULL;
    END LOOP;
    -- Not before the locks are held: a clock read while waiting is stale.
    now_us := coalesce(own_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    answer := ARRAY[now_us];

    FOR i IN 1..items LOOP
        shadow[i] := numbers[at] = 1;
        quotas := numbers[at + 1];
        rule[i] := 0;
        -- Three statements: one of three parts would be planned at each call.
        SELECT state INTO kept FROM {prefix}_counters WHERE name = names[3 * i - 2];
        strikes := NULL;
        ban := NULL;
        IF numbers[at + 2] = 1 THEN
            SELECT state INTO strikes FROM {prefix}_counters WHERE name = names[3 * i - 1];
            SELECT ARRAY[ends, lasted] INTO ban FROM {prefix}_bans WHERE name = names[3 * i];
        END IF;
        -- State of another form counts as none.
        IF cardinality(kept) <> 4 * quotas THEN
            kept := NULL;
        END IF;
        answer := answer || coalesce(cardinality(kept), 0)::bigint || kept
            || coalesce(cardinality(strikes), 0)::bigint || strikes
            || coalesce(cardinality(ban), 0)::bigint || ban;
        passes[i] := true;
        after_at[i] := cardinality(after) + 1;
        reset[i] := 0;
        r := at + 3;
        FOR q IN 1..quotas LOOP
            k := 4 * q - 4;
            lim := numbers[r + 1];
            width := numbers[r + 2];
            fits := numbers[r + 3] = 0;
            IF numbers[r] = 0 THEN
                -- gcra: debt in whole microseconds and a rest in 1/lim of one.
                whole := 0;
                rest := 0;
                IF kept[k + 1] >= now_us THEN
                    IF kept[k + 3] = lim AND kept[k + 4] <= numbers[r + 4] THEN
                        whole := kept[k + 1] - now_us;
                        rest := kept[k + 2];
                        IF whole > numbers[r + 9] OR whole = numbers[r + 9] AND rest > numbers[r + 10] THEN
                            whole := 0;
                            rest := 0;
                        END IF;
                    ELSE
                        -- The policy's numbers have changed.
                        debt := (kept[k + 1] - now_us)::numeric * kept[k + 3] + kept[k + 2];
                        IF debt <= 2 * greatest(kept[k + 4], numbers[r + 4])::numeric * width THEN
                            -- What is clamped passes nothing anyway.
                            whole := least(div(debt, lim), 4000000000000000000);
                            rest := mod(debt, lim);
                        END IF;
                    END IF;
                END IF;
                whole := whole + numbers[r + 5];
                rest := rest + numbers[r + 6];
                IF rest >= lim THEN
                    whole := whole + 1;
                    rest := rest - lim;
                END IF;
                fits := fits AND (whole < numbers[r + 7] OR whole = numbers[r + 7] AND rest <= numbers[r + 8]);
                after := after || ARRAY[now_us + whole, rest, lim, numbers[r + 4]];
                reset[i] := greatest(reset[i], whole + 1);
            ELSIF numbers[r] = 1 THEN
                -- fixed_window: what is left of it, and the units used.
                whole := kept[k + 1] + width - now_us;
                rest := kept[k + 2];
                IF whole > 0 AND whole <= 2 * width THEN
                ELSE
                    whole := width;
                    rest := 0;
                END IF;
                fits := fits AND (cost = 0 OR rest + cost <= lim);
                after := after || ARRAY[greatest(now_us + whole - width, 0), rest + cost, 0, 0];
                reset[i] := greatest(reset[i], whole);
            ELSE
                slid := {prefix}_slide_1(now_us, width, kept[k + 1:k + 3]);
                fits := fits AND (cost = 0 OR slid[6] + cost <= lim);
                after := after || ARRAY[slid[1], slid[4] + cost, slid[5], 0];
                reset[i] := greatest(reset[i], 2 * width - slid[2] + slid[3]);
            END IF;
            passes[i] := passes[i] AND fits;
            r := r + 11;
        END LOOP;

        banned[i] := false;
        IF numbers[at + 2] = 1 THEN
            rule[i] := r;
            bannable[i] := numbers[r + 7] = 1;
            struck := struck || coalesce(strikes, '{0,0,0}');
            until_us[i] := ban[1];
            last[i] := ban[2];
            banned[i] := bannable[i] AND coalesce(now_us < ban[1], false);
            r := r + 8;
        ELSE
            struck := struck || '{0,0,0}'::bigint[];
        END IF;
        at := r;
        IF NOT shadow[i] THEN
            refused := refused OR NOT passes[i];
            held := held OR banned[i];
        END IF;
    END LOOP;

    -- What becomes of each item.
    FOR i IN 1..items LOOP
        todo := operation;
        IF operation = 'decide' THEN
            IF held OR cost = 0 OR shadow[i] AND (refused OR banned[i]) THEN
                todo := 'nothing';
            ELSIF NOT refused AND passes[i] THEN
                todo := 'charge';
            ELSIF NOT passes[i] AND rule[i] > 0 AND numbers[rule[i] + 6] = 1 THEN
                todo := 'strike';
            ELSE
                todo := 'nothing';
            END IF;
        END IF;
        IF todo = 'strike' AND (rule[i] = 0 OR NOT bannable[i] OR banned[i]) THEN
            todo := 'nothing';
        END IF;
        CONTINUE WHEN todo = 'nothing';
        r := rule[i];
        ban_until := NULL;
        slid := NULL;
        IF todo = 'charge' THEN
            INSERT INTO {prefix}_counters AS c VALUES (
                names[3 * i - 2],
                after[after_at[i]:coalesce(after_at[i + 1] - 1, cardinality(after))],
                now_us + reset[i] + slack
            ) ON CONFLICT (name) DO UPDATE SET state = excluded.state, expires = excluded.expires;
        ELSIF todo = 'strike' THEN
            slid := {prefix}_slide_1(now_us, numbers[r + 1], struck[3 * i - 2:3 * i]);
            IF numbers[r] > slid[6] + 1 THEN
                slid[4] := slid[4] + 1;
            ELSE
                slid := NULL;
                ban_last := numbers[r + 2];
                IF now_us < until_us[i] + numbers[r + 5] THEN
                    longer := div(last[i]::numeric * numbers[r + 3], 1000);
                    ban_last := least(greatest(longer, ban_last), numbers[r + 4]);
                END IF;
                ban_last := least(ban_last, numbers[r + 4]);
                ban_until := now_us + ban_last;
                DELETE FROM {prefix}_counters WHERE name = names[3 * i - 1];
            END IF;
        ELSIF todo = 'ban' THEN
            DELETE FROM {prefix}_counters WHERE name = names[3 * i - 1];
            IF until_us[i] IS NULL OR until_us[i] < now_us + duration THEN
                ban_until := now_us + duration;
                ban_last := duration;
            END IF;
        ELSIF todo = 'lift' THEN
            -- Strikes are written as they count at now, which after a step of
            -- the clock may be as none.
            slid := {prefix}_slide_1(now_us, numbers[r + 1], struck[3 * i - 2:3 * i]);
            IF slid[4] = 0 AND slid[5] = 0 THEN
                slid := NULL;
                DELETE FROM {prefix}_counters WHERE name = names[3 * i - 1];
            END IF;
            ban_until := least(until_us[i], now_us);
            ban_last := last[i];
            IF ban_last IS NULL THEN
                ban_until := NULL;
            END IF;
        ELSIF todo = 'forgive' THEN
            DELETE FROM {prefix}_counters WHERE name = names[3 * i - 1];
            DELETE FROM {prefix}_bans WHERE name = names[3 * i];
        ELSIF todo = 'reset' THEN
            DELETE FROM {prefix}_counters WHERE name = names[3 * i - 2];
        END IF;

        IF slid IS NOT NULL THEN
            INSERT INTO {prefix}_counters AS c VALUES (
                names[3 * i - 1],
                ARRAY[slid[1], slid[4], slid[5]],
                now_us + 2 * numbers[r + 1] - slid[2] + slid[3] + slack
            ) ON CONFLICT (name) DO UPDATE SET state = excluded.state, expires = excluded.expires;
        END IF;
        IF ban_until IS NOT NULL THEN
            INSERT INTO {prefix}_bans AS b VALUES (
                names[3 * i], ban_until, ban_last, greatest(ban_until + numbers[r + 5], now_us) + slack
            ) ON CONFLICT (name) DO UPDATE
                SET ends = excluded.ends, lasted = excluded.lasted, expires = excluded.expires;
        END IF;
    END LOOP;
    RETURN answer;
END
$body$;
