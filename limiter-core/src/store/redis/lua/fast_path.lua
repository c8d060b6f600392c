-- Fast path: decides checks of one policy that are decided by its gcra quotas alone, each
-- as often as its group says, and gives charges of a single such quota back, in one
-- atomic step. Mirrors Debt::at, Debt::wait, Debt::charge and Debt::give_back of
-- algorithm/gcra.rs.
--
-- It leaves alone, as undecided, what takes more: a ban in force, a refusal that
-- strikes, a counter that was written by other quotas, one that owes more than a full
-- bucket. check.lua decides those.
--
-- KEYS  for each check: the counter, and the ban, where its group has bans; no
--       counter twice
-- ARGV  [1] counts and flags of two bytes, numbers of seven:
--             slack own_now GROUPS group*
--             group = CHECKS TIMES HAS_BANS STRIKES QUOTAS quota* refunds*
--             refunds = COUNT mark*   of each key, where TIMES is 0
--             mark  = at fraction     of a charge to give back
--             quota = terms limit cost cost_rest full full_rest, see script_params.rs
--             terms = the first 18 bytes of its state: id, limit and burst
--           where counts and flags are in capitals, the slack is the time that state is
--           kept beyond its use, in microseconds, and own_now the instant by the store's
--           own clock, or 0
-- Returns one string: the server's time, or 0 if it was not needed, then for each
-- check the counter as it was before, 32 bytes a quota and 8 (see encoding.rs): zeros if
-- there was none, and the highest byte throughout if the check is undecided.

local call, pack, unpacked = redis.call, struct.pack, struct.unpack

local parameters = ARGV[1]
local slack, own_now, groups, place = unpacked('>I7I7I2', parameters)
local clock, now = 0, own_now
if own_now == 0 then
  local time = call('TIME')
  clock = time[1] * 1000000 + time[2]
  now = clock
end

-- Of each quota of a group behind the first: parameters, the debt of the key at hand, and
-- that after one check more. (The first has locals of its own, and tables are made where
-- they are needed: with all in tables, a check of one quota took a sixth longer. There are
-- no functions: each would be made anew in every call, and four took a sixth of one that
-- was alone.)
local terms_of, limits, costs, cost_rests, fulls, full_rests
local wholes, rests, next_wholes, next_rests

-- One table for what is kept and for what is returned. (A key of another type is
-- as one that is not there.)
local found, key = call('MGET', unpack(KEYS)), 1
for _ = 1, groups do
  local checks, times, has_bans, strikes, quotas, terms, limit, cost, cost_rest, full, full_rest
  checks, times, has_bans, strikes, quotas, terms, limit, cost, cost_rest, full, full_rest, place =
    unpacked('>I2I2I2I2I2c18I7I7I7I7I7', parameters, place)
  if quotas > 1 and not wholes then
    terms_of, limits, costs, cost_rests, fulls, full_rests = {}, {}, {}, {}, {}, {}
    wholes, rests, next_wholes, next_rests = {}, {}, {}, {}
  end
  for q = 2, quotas do
    terms_of[q], limits[q], costs[q], cost_rests[q], fulls[q], full_rests[q], place =
      unpacked('>c18I7I7I7I7I7', parameters, place)
  end
  local size = 32 * quotas + 8
  for _ = 1, checks do
    local record, whole, rest, kept_until, is_decided = found[key], 0, 0, 0, true
    if record and #record == size then
      local kept_terms, tat, fraction
      kept_terms, tat, fraction, kept_until = unpacked('>c18I7I7I8', record)
      is_decided = kept_terms == terms
      if tat >= now then whole, rest = tat - now, fraction end
      if whole > full or (whole == full and rest > full_rest) then is_decided = false end
      if quotas > 1 then
        local behind = 33
        for q = 2, quotas do
          kept_terms, tat, fraction, behind = unpacked('>c18I7I7', record, behind)
          is_decided = is_decided and kept_terms == terms_of[q]
          local whole, rest = 0, 0
          if tat >= now then whole, rest = tat - now, fraction end
          if whole > fulls[q] or (whole == fulls[q] and rest > full_rests[q]) then is_decided = false end
          wholes[q], rests[q] = whole, rest
        end
        kept_until = unpacked('>I8', record, behind)
      end
    else
      is_decided = not record
      for q = 2, quotas do wholes[q], rests[q] = 0, 0 end
      found[key] = string.rep('\0', size)
    end
    local admitted = 0
    if has_bans == 1 then
      local ban = found[key + 1]
      if ban and #ban == 24 and now < unpacked('>I8', ban) then is_decided = false end
      found[key + 1] = ''
    elseif times == 0 then
      local refunds
      refunds, place = unpacked('>I2', parameters, place)
      for _ = 1, refunds do
        local at, fraction, behind = unpacked('>I7I7', parameters, place)
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
      if quotas > 1 then
        local passes = true
        for q = 2, quotas do
          local whole, rest = wholes[q] + costs[q], rests[q] + cost_rests[q]
          if rest >= limits[q] then whole, rest = whole + 1, rest - limits[q] end
          if whole > fulls[q] or (whole == fulls[q] and rest > full_rests[q]) then passes = false end
          next_wholes[q], next_rests[q] = whole, rest
        end
        if not passes then break end
        wholes, next_wholes, rests, next_rests = next_wholes, wholes, next_rests, rests
      end
      whole, rest, admitted = next_whole, next_rest, admitted + 1
    end
    if admitted < times and strikes == 1 then is_decided = false end

    if not is_decided then
      found[key] = string.rep('\255', size)
    elseif admitted > 0 and whole == 0 and rest == 0 then
      -- All of it was given back. An arrival time of now would be a debt for a clock
      -- that steps back: zeros are none. The key is not removed, since the next check
      -- would have to make it anew, which takes longer than to write to it.
      call('SETRANGE', KEYS[key], '18', string.rep('\0', 14))
    elseif admitted > 0 then
      local debts, longest = pack('>I7I7', now + whole, rest), whole
      if quotas > 1 then
        for q = 2, quotas do
          debts = debts .. pack('>c18I7I7', terms_of[q], now + wholes[q], rests[q])
          if wholes[q] > longest then longest = wholes[q] end
        end
      end
      if own_now == 0 and kept_until >= now + longest + slack then
        -- It lives long enough: the time to live stays as it is. (The place is a text: to
        -- print a number took a tenth of a check.)
        call('SETRANGE', KEYS[key], '18', debts)
      else
        local lasts = longest + 1 + 2 * slack
        call('SETEX', KEYS[key], string.format('%.0f', math.floor(lasts / 1000000) + 1),
          terms .. debts .. pack('>I8', now + lasts))
      end
    end
    key = key + 1 + has_bans
  end
end
found[1] = pack('>I8', clock) .. found[1]
return table.concat(found)
