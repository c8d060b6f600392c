-- What sliding-window state amounts to at an instant: start, elapsed, ahead,
-- current, previous, and the units used. Mirrors algorithm/sliding_window.rs.
CREATE OR REPLACE FUNCTION {prefix}_slide_1(now_us bigint, width bigint, kept bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
    start    bigint := now_us - now_us % width;
    elapsed  bigint := now_us % width;
    lead     bigint := kept[1] - start;
    ahead    bigint := 0;
    current  bigint := 0;
    previous bigint := 0;
    used     bigint;
BEGIN
    IF lead = 0 THEN
        current := kept[2];
        previous := kept[3];
    ELSIF lead > 0 AND lead <= width THEN
        start := kept[1];
        elapsed := 0;
        ahead := kept[1] - now_us;
        current := kept[2];
        previous := kept[3];
    ELSIF lead = -width THEN
        previous := kept[2];
    END IF;
    used := current;
    IF previous > 0 THEN
        used := used + div(previous::numeric * (width - elapsed) + width - 1, width);
    END IF;
    RETURN ARRAY[start, elapsed, ahead, current, previous, used];
END
$body$;
