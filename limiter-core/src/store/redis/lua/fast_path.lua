-- Fast path: decides checks that are decided by one gcra quota alone, each as
-- often as its group says, and gives charges of such a quota back, in one atomic
-- step. Mirrors Debt::at, Debt::wait, Debt::charge and Debt::give_back of
-- algorithm/gcra.rs.
--
-- It leaves alone, as undecided, what takes more: a ban in force, a refusal that
-- strikes, a counter that was written by another quota or by several. check.lua decides
-- those.
--
-- KEYS  for each check: the counter, and the ban, where its group has bans; no
--       counter twice
-- ARGV  [1] numbers of eight bytes each, but for the terms:
--             slack own_now groups group*
--             group = checks times has_bans strikes quota refunds*
--             refunds = count mark*   of each key, where times is 0
--             mark  = at fraction     of a charge to give back
--             quota = terms LIMIT COST .. MOST_REST, see script_params.rs
--             terms = the first 18 bytes of its counter: id, limit and burst
--           where the slack is the time that state is kept beyond its use, in
--           microseconds, and own_now the instant by the store's own clock, or 0
-- Returns one string: the server's time, or 0 if it was not needed, then for each
-- check the counter as it was before, 40 bytes (see encoding.rs): zeros if there was
-- none, and the highest byte throughout if the check is undecided.

local call, pack, unpacked = redis.call, struct.pack, struct.unpack
local floor, format = math.floor, string.format
local NOTHING, UNDECIDED, EMPTY = string.rep('\0', 40), string.rep('\255', 40), string.rep('\0', 14)

local parameters = ARGV[1]
local slack, own_now, groups, place = unpacked('>I8I8I8', parameters)
local clock, now = 0, own_now
if own_now == 0 then
  local time = call('TIME')
  clock = time[1] * 1000000 + time[2]
  now = clock
end

-- One table for what is kept and for what is returned. (A key of another type is
-- as one that is not there.)
local found, key = call('MGET', unpack(KEYS)), 1
for _ = 1, groups do
  local checks, times, has_bans, strikes, terms, limit, cost, cost_rest, full, full_rest,
    most, most_rest, next_place =
    unpacked('>I8I8I8I8c18I8I8I8I8I8I8I8', parameters, place)
  place = next_place
  for _ = 1, checks do
    local record, whole, rest, kept_until, is_decided = found[key], 0, 0, 0, true
    if record and #record == 40 then
      local kept_terms, tat, fraction
      kept_terms, tat, fraction, kept_until = unpacked('>c18I7I7I8', record)
      is_decided = kept_terms == terms
      if tat >= now then whole, rest = tat - now, fraction end
      if whole > most or (whole == most and rest > most_rest) then whole, rest = 0, 0 end
    elseif record then
      is_decided = false
    else
      found[key] = NOTHING
    end
    local admitted = 0
    if has_bans == 1 then
      local ban = found[key + 1]
      if ban and #ban == 24 and now < unpacked('>I8', ban) then is_decided = false end
      found[key + 1] = ''
    elseif times == 0 then
      local refunds
      refunds, place = unpacked('>I8', parameters, place)
      for _ = 1, refunds do
        local at, fraction, behind = unpacked('>I8I8', parameters, place)
        local left = at - now
        place = behind
        if left >= 0 and whole + rest > 0 then
          if left > cost or (left == cost and fraction > cost_rest) then
            left, fraction = cost, cost_rest
          end
          whole, rest, admitted = whole - left, rest - fraction, 1
          if rest < 0 then whole, rest = whole - 1, rest + limit end
          if whole < 0 then whole, rest = 0, 0 end
        end
      end
    end

    while admitted < times do
      local next_whole, next_rest = whole + cost, rest + cost_rest
      if next_rest >= limit then next_whole, next_rest = next_whole + 1, next_rest - limit end
      if next_whole > full or (next_whole == full and next_rest > full_rest) then break end
      whole, rest, admitted = next_whole, next_rest, admitted + 1
    end
    if admitted < times and strikes == 1 then is_decided = false end

    if not is_decided then
      found[key] = UNDECIDED
    elseif admitted > 0 and whole == 0 and rest == 0 then
      -- All of it was given back. An arrival time of now would be a debt for a clock
      -- that steps back: zeros are none. The key is not removed, since the next check
      -- would have to make it anew, which takes longer than to write to it.
      call('SETRANGE', KEYS[key], 18, EMPTY)
    elseif admitted > 0 then
      if own_now == 0 and kept_until >= now + whole + slack then
        -- It lives long enough: the time to live stays as it is.
        call('SETRANGE', KEYS[key], 18, pack('>I7I7', now + whole, rest))
      else
        local lasts = whole + 1 + 2 * slack
        call('SETEX', KEYS[key], format('%.0f', floor(lasts / 1000000) + 1),
          pack('>c18I7I7I8', terms, now + whole, rest, now + lasts))
      end
    end
    key = key + 1 + has_bans
  end
end
return pack('>I8', clock) .. table.concat(found)
