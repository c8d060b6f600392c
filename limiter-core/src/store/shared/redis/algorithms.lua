-- The algorithms, as in algorithm/ of limiter-core: first part of both scripts.
--
-- Numbers are doubles: exact below 2^53. All times are, and so are all units
-- (below 10^15); their products are not, and are never formed beyond it.
--
-- A level is up to three numbers, which travel side by side: a table for each
-- would cost more than the arithmetic.
--   gcra             whole microseconds of debt, and a rest in units of 1 / limit
--   fixed window     microseconds left, units used
--   sliding windows  start of the current one, units used in it, and in the one
--                    before
-- What is kept of one is whole numbers of eight bytes each, the highest first
-- (see packed.rs); zeros stand for nothing used, and so does what has come here
-- otherwise: read as a state it would be of a clock gone wrong.

local floor, max, min = math.floor, math.max, math.min
local pack, unpacked = struct.pack, struct.unpack
local GCRA, FIXED, SLIDING = 0, 1, 2

-- The instant of what is being decided, in microseconds.
local now

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

local function gcra_at(quota, packed, place)
  local tat, rest, limit, burst = unpacked('>I8I8I8I8', packed, place)
  local whole = tat - now
  if whole < 0 then return 0, 0 end
  if limit ~= quota.limit then whole, rest = muldiv(whole, limit, rest, quota.limit) end
  local twice_whole, twice_rest = quota.twice_whole, quota.twice_rest
  if burst > quota.burst then
    twice_whole, twice_rest = muldiv(2 * burst, quota.window, 0, quota.limit)
  end
  if whole > twice_whole or (whole == twice_whole and rest > twice_rest) then return 0, 0 end
  return whole, rest
end

local function fixed_at(quota, packed, place)
  local start, used = unpacked('>I8I8', packed, place)
  local left = start + quota.window - now
  if left > 0 and left <= 2 * quota.window then return left, used end
  return quota.window, 0
end

local function sliding_at(quota, packed, place)
  local window = quota.window
  local start = now - now % window
  local kept, current, previous = unpacked('>I8I8I8', packed, place)
  local lead = kept - start
  if lead == 0 or (lead > 0 and lead <= window) then return kept, current, previous end
  if lead == -window then return start, 0, current end
  return start, 0, 0
end

-- The level at now of what is kept, from that place on.
local function level_at(quota, packed, place)
  local kind = quota.kind
  if kind == GCRA then return gcra_at(quota, packed, place) end
  if kind == FIXED then return fixed_at(quota, packed, place) end
  return sliding_at(quota, packed, place)
end

local function add(quota, whole, rest, more, more_rest)
  rest = rest + more_rest
  if rest >= quota.limit then return whole + more + 1, rest - quota.limit end
  return whole + more, rest
end

-- Units that weigh, of sliding windows.
local function weighing(quota, start, current, previous)
  if previous == 0 then return current end
  local left = quota.window - max(now - start, 0)
  local faded, rest = muldiv(previous, left, 0, quota.window)
  if rest > 0 then faded = faded + 1 end
  return current + faded
end

-- Whether the cost passes.
local function passes(quota, cost, one, two, three)
  local kind = quota.kind
  if kind == GCRA then
    local whole, rest = add(quota, one, two, quota.cost_whole, quota.cost_rest)
    return whole < quota.burst_whole or (whole == quota.burst_whole and rest <= quota.burst_rest)
  end
  if cost == 0 then return true end
  if kind == FIXED then return two + cost <= quota.limit end
  return weighing(quota, one, two, three) + cost <= quota.limit
end

-- What to keep of a level, and the microseconds until nothing is used.

local function gcra_kept(quota, whole, rest)
  if whole == 0 and rest == 0 then return quota.blank, 0 end
  return pack('>I8I8I8I8', now + whole, rest, quota.limit, quota.burst), whole + 1
end

local function fixed_kept(quota, left, used)
  if used == 0 then return quota.blank, 0 end
  return pack('>I8I8', max(now + left - quota.window, 0), used), left
end

local function sliding_kept(quota, start, current, previous)
  if current == 0 and previous == 0 then return quota.blank, 0 end
  return pack('>I8I8I8', start, current, previous), 2 * quota.window - now + start
end

-- The same of a level that is charged.
local function charged(quota, cost, one, two, three)
  local kind = quota.kind
  if kind == GCRA then
    return gcra_kept(quota, add(quota, one, two, quota.cost_whole, quota.cost_rest))
  end
  if kind == FIXED then return fixed_kept(quota, one, two + cost) end
  return sliding_kept(quota, one, two + cost, three)
end
