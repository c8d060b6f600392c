-- Decides a check, strikes for a response status, or changes what is kept by
-- hand, in one atomic step. Mirrors decide.rs, ban/ and algorithm/ of
-- limiter-core; Rust replays its answer on the state that this returns.
--
-- KEYS  for each item: counter, and with a ban rule strikes and ban (all of one
--       client, in one slot; as few as can be, since a slot that moves to
--       another server has to be waited for where there are several)
-- ARGV  [1] operation: "decide", "charge" (the same, but nothing strikes),
--           "give back", "strike", "ban", "lift", "forgive", "reset"
--       [2] now in microseconds, or "" for the server's clock
--       [3] microseconds that state is kept beyond its use
--       [4] cost, at most 999999999999999 (more never passes, see `never`)
--       [5] for "ban": how long, in microseconds
--       then the numbers of the items, see operation.rs; and to "give back"
--       the counter of each item as it was before it was charged, and after
-- Returns now, then for each item counter, strikes and ban as they were before.
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
  local reset = whole
  if rest > 0 then reset = whole + 1 end
  return 'g' .. text(now + whole) .. ',' .. text(rest) .. ',' .. text(quota.limit)
    .. ',' .. text(quota.burst), reset
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
  local start = max(now + level.left - quota.window, 0)
  return 'f' .. text(start) .. ',' .. text(level.used + cost), level.left
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
  return slid(quota, level, cost)
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

-- What to write, once everything is decided.

local writes = {}

local function write(key, value, micros)
  if value == nil then
    writes[#writes + 1] = { 'DEL', key }
  else
    local milliseconds = text(floor((micros + slack) / 1000) + 1)
    writes[#writes + 1] = { 'SET', key, value, 'PX', milliseconds }
  end
end

-- The items, with the state that is kept of them.

local kept = redis.call('MGET', unpack(KEYS))
local items, at = {}, 6

local function argument()
  at = at + 1
  return ARGV[at - 1]
end

local function number()
  return tonumber(argument())
end

local function parts(counter)
  local found = {}
  for part in string.gmatch(counter, '[^;]+') do found[#found + 1] = part end
  return found
end

local function read_quota(packed)
  local quota = {
    kind = number(), limit = number(), window = number(), never = argument() == '1',
    burst = number(), cost_whole = number(), cost_rest = number(),
    burst_whole = number(), burst_rest = number(), twice_whole = number(), twice_rest = number(),
  }
  quota.level = algorithm[quota.kind].at(quota, packed)
  return quota
end

local function read_rule(strikes, ban)
  local rule = {
    strikes = { limit = number(), window = number() },
    duration = number(), factor = number(), longest = number(), forgive = number(),
  }
  rule.refusals, rule.bannable = argument() == '1', argument() == '1'
  rule.level = algorithm[SLIDING].at(rule.strikes, strikes)
  local found = numbers('b' .. ban, 'b', 2)
  if found then rule.until_, rule.last = found[1], found[2] end
  rule.banned = rule.bannable and rule.until_ ~= nil and now < rule.until_
  return rule
end

local key = 0
while key < #KEYS do
  local item = { shadow = argument() == '1', quotas = {}, passes = true }
  local count, ruled = number(), argument() == '1'
  key = key + 1
  item.counter, item.kept = KEYS[key], { kept[key] or '', '', '' }
  local packed = parts(item.kept[1])
  for each = 1, count do
    local quota = read_quota(packed[each])
    item.quotas[each] = quota
    if quota.never or not algorithm[quota.kind].passes(quota, quota.level) then
      item.passes = false
    end
  end
  if ruled then
    item.strikes, item.ban = KEYS[key + 1], KEYS[key + 2]
    item.kept[2], item.kept[3] = kept[key + 1] or '', kept[key + 2] or ''
    item.rule = read_rule(item.kept[2], item.kept[3])
    key = key + 2
  end
  items[#items + 1] = item
end

-- What may become of an item.

-- Writes the counter as `change` makes it: "charged", or "given_back".
local function write_counter(item, change, former)
  local packed, longest, used_any = {}, 0, false
  for each, quota in ipairs(item.quotas) do
    local state, reset = algorithm[quota.kind][change](quota, quota.level, former and former[each])
    packed[each] = state or '-'
    used_any = used_any or state ~= nil
    longest = max(longest, reset)
  end
  write(item.counter, used_any and table.concat(packed, ';') or nil, longest)
end

local function charge(item)
  if cost > 0 then write_counter(item, 'charged') end
end

local function write_ban(item, until_, duration)
  write(item.ban, text(until_) .. ',' .. text(duration), max(until_ + item.rule.forgive - now, 0))
end

local function strike(item)
  local rule = item.rule
  if rule == nil or not rule.bannable or rule.banned then return end
  if rule.strikes.limit > used(rule.strikes, rule.level) + 1 then
    write(item.strikes, slid(rule.strikes, rule.level, 1))
    return
  end
  local duration = rule.duration
  if rule.until_ and now < rule.until_ + rule.forgive then
    duration = max(muldiv(rule.last, rule.factor, 0, 1000), duration)
  end
  duration = min(duration, rule.longest)
  write(item.strikes, nil)
  write_ban(item, now + duration, duration)
end

local function strike_refusal(item)
  if operation == 'decide' and not item.passes and cost > 0 and item.rule and item.rule.refusals then
    strike(item)
  end
end

local run = {}

function run.decide()
  local banned, admitted = false, true
  for _, item in ipairs(items) do
    if not item.shadow then
      banned = banned or (item.rule ~= nil and item.rule.banned)
      admitted = admitted and item.passes
    end
  end
  if banned then return end
  for _, item in ipairs(items) do
    if not item.shadow then
      if admitted then charge(item) else strike_refusal(item) end
    elseif admitted and not (item.rule and item.rule.banned) then
      if item.passes then charge(item) else strike_refusal(item) end
    end
  end
end

run.charge = run.decide

-- Exactly as before where nobody else has been charged since; else the units
-- are taken out of what is used.
run['give back'] = function()
  for _, item in ipairs(items) do
    local before, after, current = argument(), argument(), item.kept[1]
    if current == after then
      local ttl = redis.call('PTTL', item.counter)
      if before == '' then write(item.counter, nil)
      else write(item.counter, before, max(ttl * 1000 - slack, 0)) end
    elseif current ~= '' then
      write_counter(item, 'given_back', parts(after))
    end
  end
end

-- The caller has left out items that do not count the status, and doubles.
function run.strike()
  for _, item in ipairs(items) do strike(item) end
end

function run.ban()
  local item, asked = items[1], tonumber(ARGV[5])
  write(item.strikes, nil)
  if not (item.rule.until_ and item.rule.until_ >= now + asked) then
    write_ban(item, now + asked, asked)
  end
end

-- Strikes are written as they count at now, which after a step of the clock
-- may be as none.
function run.lift()
  local item = items[1]
  local level = item.rule.level
  if level.current > 0 or level.previous > 0 then
    write(item.strikes, slid(item.rule.strikes, level, 0))
  else
    write(item.strikes, nil)
  end
  if item.rule.until_ then write_ban(item, min(item.rule.until_, now), item.rule.last) end
end

function run.reset()
  write(items[1].counter, nil)
end

function run.forgive()
  write(items[1].strikes, nil)
  write(items[1].ban, nil)
end

run[operation]()
for _, command in ipairs(writes) do redis.call(unpack(command)) end

local answer = { text(now) }
for _, item in ipairs(items) do
  for part = 1, 3 do answer[#answer + 1] = item.kept[part] end
end
return answer
