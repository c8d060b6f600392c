-- Decides a check, strikes for a response status, or changes what is kept by
-- hand, in one atomic step. Mirrors decide.rs and ban/ of limiter-core; Rust
-- replays its answer on the state that this returns. The algorithms are in the
-- first part of the script, algorithms.lua.
--
-- KEYS  for each item: counter, and with a ban rule strikes and ban (all of one
--       client, in one slot; as few as can be, since a slot that moves to
--       another server has to be waited for where there are several)
-- ARGV  [1] operation: "decide", "charge" (the same, but nothing strikes),
--           "give back", "owe", "strike", "ban", "lift", "forgive", "reset"
--       [2] now in microseconds, or "" for the server's clock
--       [3] microseconds that state is kept beyond its use
--       [4] cost, at most 999999999999999 (more never passes, see `never`)
--       [5] for "ban": how long, in microseconds
--       then the numbers of the items, see numbers.rs; and to "give back"
--       the counter of each item as it was before it was charged, and after;
--       to "owe" for each quota four numbers, see algorithm/owed.rs, and for
--       the item how much longer a ban lasts that was brought elsewhere (or 0),
--       and how long it was when it began
-- Returns now, then for each item counter, strikes and ban as they were before.

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

-- A ban that was brought elsewhere: the later end holds, and the longer one is
-- what the next is longer than.
local function owe_ban(item, left, lasted)
  local rule = item.rule
  write(item.strikes, nil)
  if rule.until_ and now < rule.until_ + rule.forgive then
    if rule.until_ >= now + left then return end
    lasted = max(lasted, rule.last)
  end
  write_ban(item, now + left, lasted)
end

-- What was admitted while this server was away. A request of no cost writes
-- the levels as they are then.
function run.owe()
  for _, item in ipairs(items) do
    for _, quota in ipairs(item.quotas) do
      algorithm[quota.kind].owe(quota, quota.level, number(), number(), number(), number())
    end
    write_counter(item, 'charged')
    local left, lasted = number(), number()
    if left > 0 and item.rule and item.rule.bannable then owe_ban(item, left, lasted) end
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
