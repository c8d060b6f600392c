-- The algorithms: a part of the script of `check.lua`. Mirrors algorithm/gcra.rs,
-- algorithm/fixed_window.rs, algorithm/sliding_window.rs and algorithm/strict_window.rs
-- (segments_at mirrors its `counting`, changed its `units_mut`): level_at mirrors their
-- `at`, passes their `wait`, charged their `charge`, given_back their `give_back`,
-- charged_beyond their `charge_beyond`, packed_level their `state`.
--
-- Numbers are doubles: exact below 2^53. All times are, and so are all units
-- (below 10^15); their products are not, and are never formed beyond it.
--
-- A script is as fast as it makes few tables and functions: a call makes all of
-- them anew. So all parameters are one list of numbers, in which an item, a quota
-- `q` or a rule is the place where its own begin (script_params.rs has their order
-- and makes the names, such as LIMIT), and a level is up to three numbers, which
-- travel side by side:
--   gcra             whole microseconds of debt, and a rest in units of 1 / limit
--   fixed window     microseconds left, units used
--   sliding windows  start of the current one, units used in it, and in the one
--                    before
--   strict window    start of the newest segment that was charged, units used in all
--                    that count, and those of each, packed, the newest first
-- What is kept of one is the quota's id and whole numbers of seven bytes each, the
-- highest first (see encoding.rs); zeros stand for nothing used.

local floor, max, min = math.floor, math.max, math.min
local pack, unpacked = struct.pack, struct.unpack

-- The algorithms' numbers; of another one are strikes, which are sliding
-- windows, too.
local GCRA, FIXED, STRICT = 0, 1, 3

-- An arrival time further ahead is none of a quota's: see MAX_LEAD of algorithm/gcra.
local MAX_LEAD = 6311520000000000

-- All parameters, and the instant of what is being decided.
local parameters, now = { unpacked('>' .. string.rep('I8', #ARGV[1] / 8), ARGV[1]) }, 0

-- (a * b + c) / d, quotient and remainder; bit by bit where a * b is too large.
local function muldiv(a, b, c, d)
  local product = a * b + c
  if product < 9007199254740992 then
    local quotient = floor(product / d)
    return quotient, product - quotient * d
  end
  local quotient, rest, bit = 0, 0, 4503599627370496
  while bit > a do bit = bit / 2 end
  while bit >= 1 do
    quotient, rest = quotient * 2, rest * 2
    if a >= bit then a, rest = a - bit, rest + b end
    local times = floor(rest / d)
    quotient, rest, bit = quotient + times, rest - times * d, bit / 2
  end
  rest = rest + c
  local times = floor(rest / d)
  return quotient + times, rest - times * d
end

-- The same as `level_at`, of sliding windows of that length.
local function slid(window, packed, place)
  local start = now - now % window
  local kept, current, previous, behind = unpacked('>I7I7I7', packed, place)
  local lead = kept - start
  if lead == 0 or (lead > 0 and lead <= window) then return behind, kept, current, previous end
  if lead == -window then return behind, start, 0, current end
  return behind, start, 0, 0
end

-- The same, of the segments of a strict window, without zeros at the ends.
local function segments_at(q, packed, place)
  local size, most, window = parameters[q + SEGMENT], parameters[q + SEGMENTS], parameters[q + WINDOW]
  local start, first = unpacked('>I7', packed, place)
  local behind, newest, oldest, total = first + 7 * most, nil, 0, 0
  for each = 0, most - 1 do
    if start > now + window or start - each * size + size + window <= now then break end
    local units = unpacked('>I7', packed, first + 7 * each)
    if units > 0 then newest, oldest, total = newest or each, each, total + units end
  end
  if total == 0 then return behind, 0, 0, '' end
  return behind, start - newest * size, total,
    string.sub(packed, first + 7 * newest, first + 7 * oldest + 6)
end

-- The level of a strict window with other units in the segment that begins at `start`;
-- the oldest that can be kept stands for those before it.
local function changed(q, start, change, one, two, three)
  local size, most = parameters[q + SEGMENT], parameters[q + SEGMENTS]
  if two == 0 then one = start end
  local newer = min(max(start - one, 0) / size, most)
  local place = min(max(one - start, 0) / size, most - 1)
  three = string.rep('\0', 7 * newer) .. three
  three = string.sub(three .. string.rep('\0', 7 * place + 7 - #three), 1, 7 * most)
  local units = unpacked('>I7', three, 7 * place + 1)
  local after = change(units)
  three = string.sub(three, 1, 7 * place) .. pack('>I7', after) .. string.sub(three, 7 * place + 8)
  return max(one, start), two + after - units, three
end

-- The same with more units in the segment of now.
local function segment_charged(q, units, one, two, three)
  local start = max(now - now % parameters[q + SEGMENT], one)
  return changed(q, start, function(used) return used + units end, one, two, three)
end

-- The place behind the state that begins at that place with its id, and its level at now.
local function level_at(q, packed, place)
  place = place + 4
  local kind, limit, window = parameters[q + ALGORITHM], parameters[q + LIMIT], parameters[q + WINDOW]
  if kind == GCRA then
    local former_limit, former_burst, tat, rest, behind = unpacked('>I7I7I7I7', packed, place)
    local whole = tat - now
    if whole < 0 or whole > MAX_LEAD or former_limit == 0 then return behind, 0, 0 end
    if former_limit ~= limit then whole, rest = muldiv(whole, former_limit, rest, limit) end
    local most, most_rest = parameters[q + MOST], parameters[q + MOST_REST]
    if former_burst > parameters[q + BURST] then
      most, most_rest = muldiv(2 * former_burst, window, 0, limit)
    end
    if whole > most or (whole == most and rest > most_rest) then return behind, 0, 0 end
    return behind, whole, rest
  end
  if kind == FIXED then
    local start, used, behind = unpacked('>I7I7', packed, place)
    local left = start + window - now
    if left > 0 and left <= 2 * window then return behind, left, used end
    if parameters[q + ALIGNED] == 1 then
      return behind, window - (now - parameters[q + ALIGNED_TO]) % window, 0
    end
    return behind, window, 0
  end
  if kind == STRICT then return segments_at(q, packed, place) end
  return slid(window, packed, place)
end

-- Units that weigh, of sliding windows.
local function weighing(window, start, current, previous)
  if previous == 0 then return current end
  local faded, rest = muldiv(previous, window - max(now - start, 0), 0, window)
  if rest > 0 then faded = faded + 1 end
  return current + faded
end

-- The level after more debt of a bucket.
local function owing(q, whole, rest, more, more_rest)
  rest = rest + more_rest
  if rest >= parameters[q + LIMIT] then return whole + more + 1, rest - parameters[q + LIMIT] end
  return whole + more, rest
end

-- Returns true if the cost passes.
local function passes(q, cost, one, two, three)
  local kind, limit = parameters[q + ALGORITHM], parameters[q + LIMIT]
  if parameters[q + NEVER] == 1 then return false end
  if kind == GCRA then
    local whole, rest = owing(q, one, two, parameters[q + COST], parameters[q + COST_REST])
    return whole < parameters[q + FULL] or (whole == parameters[q + FULL] and rest <= parameters[q + FULL_REST])
  end
  if cost == 0 then return true end
  if kind == FIXED or kind == STRICT then return two + cost <= limit end
  return weighing(parameters[q + WINDOW], one, two, three) + cost <= limit
end

local function less(a, b, c, d)
  return a < c or (a == c and b < d)
end

-- The burst that a bucket of that debt is kept with (Debt::burst_to_keep).
local function burst_to_keep(q, whole, rest)
  if not less(parameters[q + MOST], parameters[q + MOST_REST], whole, rest) then return parameters[q + BURST] end
  local burst, over = muldiv(whole, parameters[q + LIMIT], rest, 2 * parameters[q + WINDOW])
  return over > 0 and burst + 1 or burst
end

-- The bytes of a state of nothing used.
local function unused(id)
  return pack('>I4', id) .. string.rep('\0', 7 * (id % 256))
end

-- Returns the bytes of a level, and the microseconds until nothing is used.
local function packed_level(q, one, two, three)
  local id, kind, window = parameters[q + ID], parameters[q + ALGORITHM], parameters[q + WINDOW]
  if kind == GCRA then
    if one == 0 and two == 0 then return unused(id), 0 end
    local burst = burst_to_keep(q, one, two)
    if one >= MAX_LEAD then one, two = MAX_LEAD, 0 end
    return pack('>I4I7I7I7I7', id, parameters[q + LIMIT], burst, now + one, two), one + 1
  end
  if kind == FIXED then
    if two == 0 then return unused(id), 0 end
    return pack('>I4I7I7', id, max(now + one - window, 0), two), one
  end
  if kind == STRICT then
    local size, bytes = parameters[q + SEGMENT], 7 * parameters[q + SEGMENTS]
    if two == 0 then return unused(id), 0 end
    return pack('>I4I7', id, one) .. three .. string.rep('\0', bytes - #three), one + size + window - now
  end
  if two == 0 and three == 0 then return unused(id), 0 end
  return pack('>I4I7I7I7', id, one, two, three), 2 * window - now + one
end

-- The level after the cost.
local function charged(q, cost, one, two, three)
  if parameters[q + ALGORITHM] == GCRA then return owing(q, one, two, parameters[q + COST], parameters[q + COST_REST]) end
  if parameters[q + ALGORITHM] == STRICT then return segment_charged(q, cost, one, two, three) end
  return one, two + cost, three
end

-- The level of a strict window without `units` of the segment that began at `at`.
local function segment_given_back(q, units, at, one, two, three)
  local place = (one - at) / parameters[q + SEGMENT]
  if place < 0 or place ~= floor(place) or 7 * place >= #three then return one, two, three end
  one, two, three = changed(q, at, function(used) return max(used - units, 0) end, one, two, three)
  if two == 0 then return 0, 0, '' end
  local packed = packed_level(q, one, two, three)
  local _, start, total, segments = segments_at(q, packed, 5)
  return start, total, segments
end

-- The level without `units` of a charge, which are debt of a bucket, and a rest of it, by
-- the mark of the charge.
local function given_back(q, units, units_rest, at, fraction, one, two, three)
  local kind, window = parameters[q + ALGORITHM], parameters[q + WINDOW]
  if kind == GCRA then
    local left = at - now
    if left < 0 then return one, two end
    if less(left, fraction, units, units_rest) then units, units_rest = left, fraction end
    one, two = one - units, two - units_rest
    if two < 0 then one, two = one - 1, two + parameters[q + LIMIT] end
    if one < 0 then return 0, 0 end
    return one, two
  end
  if kind == FIXED then
    if at == max(now + one - window, 0) then two = max(two - units, 0) end
    return one, two
  end
  if kind == STRICT then return segment_given_back(q, units, at, one, two, three) end
  if at == one then return one, max(two - units, 0), three end
  if at == one - window then return one, two, max(three - units, 0) end
  return one, two, three
end

-- The level after `units` more, also beyond the limit: of a bucket up to the most debt.
local MOST_UNITS = 999999999999999
local function charged_beyond(q, units, units_rest, most, most_rest, one, two, three)
  if parameters[q + ALGORITHM] == GCRA then
    local whole, rest = owing(q, one, two, units, units_rest)
    if less(most, most_rest, whole, rest) then whole, rest = most, most_rest end
    if less(whole, rest, one, two) then return one, two end
    return whole, rest
  end
  local function beyond(used) return max(used, min(used + units, MOST_UNITS)) end
  if parameters[q + ALGORITHM] == STRICT then
    if units == 0 then return one, two, three end
    return changed(q, max(now - now % parameters[q + SEGMENT], one), beyond, one, two, three)
  end
  return one, beyond(two), three
end
