-- The algorithms, as in algorithm/ of limiter-core: first part of the script,
-- whose arguments are told at the head of the second, decide.lua.
--
-- Numbers are doubles: exact below 2^53. All times are, and so are all units
-- (below 10^15); their products are not, and are never formed beyond it.

local floor, max, min, fmt = math.floor, math.max, math.min, string.format
local operation, slack = ARGV[1], tonumber(ARGV[3])
local cost = tonumber(ARGV[4])

local now
if ARGV[2] == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
else
  now = tonumber(ARGV[2])
end

local function text(number)
  return fmt('%.0f', number)
end

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

local function numbers(packed, kind, count)
  if not packed or string.sub(packed, 1, 1) ~= kind then return nil end
  local found = {}
  for number in string.gmatch(packed, '%d+') do found[#found + 1] = tonumber(number) end
  if #found == count then return found end
  return nil
end

-- Each algorithm: the level at now, whether the cost passes, and the state
-- after it with the microseconds until it is nothing.

local GCRA, FIXED, SLIDING = 0, 1, 2
local algorithm = { [GCRA] = {}, [FIXED] = {}, [SLIDING] = {} }

algorithm[GCRA].at = function(quota, packed)
  local level = { whole = 0, rest = 0 }
  local state = numbers(packed, 'g', 4)
  if state == nil or state[1] < now then return level end
  local tat, fraction, limit, burst = state[1], state[2], state[3], state[4]
  local twice_whole, twice_rest = quota.twice_whole, quota.twice_rest
  if limit == quota.limit then
    level.whole, level.rest = tat - now, fraction
  else
    level.whole, level.rest = muldiv(tat - now, limit, fraction, quota.limit)
  end
  if burst > quota.burst then
    twice_whole, twice_rest = muldiv(2 * burst, quota.window, 0, quota.limit)
  end
  if level.whole > twice_whole or (level.whole == twice_whole and level.rest > twice_rest) then
    return { whole = 0, rest = 0 }
  end
  return level
end

local function add(quota, level, whole, rest)
  local sum = level.rest + rest
  if sum >= quota.limit then return level.whole + whole + 1, sum - quota.limit end
  return level.whole + whole, sum
end

algorithm[GCRA].passes = function(quota, level)
  local whole, rest = add(quota, level, quota.cost_whole, quota.cost_rest)
  return whole < quota.burst_whole or (whole == quota.burst_whole and rest <= quota.burst_rest)
end

algorithm[GCRA].charged = function(quota, level)
  local whole, rest = add(quota, level, quota.cost_whole, quota.cost_rest)
  if whole == 0 and rest == 0 then return nil, 0 end
  local reset = whole
  if rest > 0 then reset = whole + 1 end
  return 'g' .. text(now + whole) .. ',' .. text(rest) .. ',' .. text(quota.limit)
    .. ',' .. text(quota.burst), reset
end

algorithm[GCRA].owe = function(quota, level, whole, rest, least_whole, least_rest)
  local full_whole, full_rest = quota.burst_whole, quota.burst_rest
  local function less(a, b, c, d) return a < c or (a == c and b < d) end
  local debt, part = level.whole, level.rest
  if debt > 0 or part > 0 then debt, part = add(quota, level, whole, rest) end
  if less(debt, part, least_whole, least_rest) then debt, part = least_whole, least_rest end
  if less(full_whole, full_rest, debt, part) then debt, part = full_whole, full_rest end
  if less(level.whole, level.rest, debt, part) then level.whole, level.rest = debt, part end
end

algorithm[GCRA].given_back = function(quota, level)
  local whole, rest = level.whole - quota.cost_whole, level.rest - quota.cost_rest
  if rest < 0 then whole, rest = whole - 1, rest + quota.limit end
  if whole < 0 or (whole == 0 and rest == 0) then return nil, 0 end
  return 'g' .. text(now + whole) .. ',' .. text(rest) .. ',' .. text(quota.limit)
    .. ',' .. text(quota.burst), whole + 1
end

algorithm[FIXED].at = function(quota, packed)
  local state = numbers(packed, 'f', 2)
  if state ~= nil then
    local left = state[1] + quota.window - now
    if left > 0 and left <= 2 * quota.window then return { left = left, used = state[2] } end
  end
  return { left = quota.window, used = 0 }
end

algorithm[FIXED].passes = function(quota, level)
  return level.used + cost <= quota.limit or cost == 0
end

algorithm[FIXED].charged = function(quota, level)
  if level.used + cost == 0 then return nil, 0 end
  local start = max(now + level.left - quota.window, 0)
  return 'f' .. text(start) .. ',' .. text(level.used + cost), level.left
end

algorithm[FIXED].owe = function(quota, level, left, units)
  if units == 0 then return end
  if level.used == 0 then level.left = left end
  level.used = max(level.used, min(level.used + units, quota.limit))
end

-- Units that a window which has begun since does not hold are gone already.
algorithm[FIXED].given_back = function(quota, level, former)
  local start = max(now + level.left - quota.window, 0)
  local charged = numbers(former, 'f', 2)
  local units = charged and charged[1] == start and level.used - cost or level.used
  if units <= 0 then return nil, 0 end
  return 'f' .. text(start) .. ',' .. text(units), level.left
end

algorithm[SLIDING].at = function(quota, packed)
  local window = quota.window
  local start = now - now % window
  local fresh = { start = start, elapsed = now - start, ahead = 0, current = 0, previous = 0 }
  local state = numbers(packed, 's', 3)
  if state == nil then return fresh end
  local lead = state[1] - start
  if lead == 0 then
    fresh.current, fresh.previous = state[2], state[3]
  elseif lead > 0 and lead <= window then
    return { start = state[1], elapsed = 0, ahead = state[1] - now,
             current = state[2], previous = state[3] }
  elseif lead == -window then
    fresh.previous = state[2]
  end
  return fresh
end

local function used(quota, level)
  if level.previous == 0 then return level.current end
  local faded, rest = muldiv(level.previous, quota.window - level.elapsed, 0, quota.window)
  if rest > 0 then faded = faded + 1 end
  return level.current + faded
end

algorithm[SLIDING].passes = function(quota, level)
  return cost == 0 or used(quota, level) + cost <= quota.limit
end

local function slid(quota, level, units)
  local reset = 2 * quota.window - level.elapsed + level.ahead
  return 's' .. text(level.start) .. ',' .. text(level.current + units) .. ','
    .. text(level.previous), reset
end

algorithm[SLIDING].charged = function(quota, level)
  if level.current + cost == 0 and level.previous == 0 then return nil, 0 end
  return slid(quota, level, cost)
end

algorithm[SLIDING].owe = function(quota, level, current, previous)
  level.current = max(level.current, min(level.current + current, quota.limit))
  level.previous = max(level.previous, min(level.previous + previous, quota.limit))
end

algorithm[SLIDING].given_back = function(quota, level, former)
  local charged = numbers(former, 's', 3)
  local left = { start = level.start, elapsed = level.elapsed, ahead = level.ahead,
                 current = level.current, previous = level.previous }
  if charged and charged[1] == level.start then left.current = max(level.current - cost, 0) end
  if charged and charged[1] == level.start - quota.window then
    left.previous = max(level.previous - cost, 0)
  end
  if left.current == 0 and left.previous == 0 then return nil, 0 end
  return slid(quota, left, 0)
end
