-- Decides checks, and strikes for response statuses: any number of them, one
-- after the other as if each had come alone, in one atomic step. Mirrors
-- decide.rs and ban/ of limiter-core; Rust replays it on the state that this
-- returns.
--
-- Operations: to decide; to charge (the same, but nothing strikes); to strike.

local DECIDE, STRIKE = 0, 2

local function charge(item, key, slot, cost)
  local packed, longest = '', 0
  for q = item + 4, item + 11 * told[item + 2], 11 do
    local state, lasts_for =
      packed_level(q, charged(q, cost, ones[slot], twos[slot], threes[slot]))
    packed, longest, slot = packed .. state, max(longest, lasts_for), slot + 1
  end
  write(keys[key], packed, longest)
end

local function strike(each, rule, key)
  if told[rule + 7] == 0 or now < untils[each] then return end
  local window, forgiven = told[rule + 1], untils[each] + told[rule + 5]
  local _, start, current, previous = slid(window, strikes[each], 1)
  if told[rule] > weighing(window, start, current, previous) + 1 then
    local packed = pack('>I8I8I8', start, current + 1, previous)
    return write(keys[key + 2], packed, 2 * window - now + start)
  end
  local duration = told[rule + 2]
  if now < forgiven then
    duration = max(muldiv(lasts[each], told[rule + 3], 0, 1000), duration)
  end
  duration = min(duration, told[rule + 4])
  write(keys[key + 2], nil, 0)
  write_ban(rule, key, now + duration, duration)
end

-- Looks at all items before any of them is changed: they may share bans. Whether
-- a ban holds, whether all enforced ones pass, and whether each of them does.
local passing = { true }
local function look(form, key)
  local cost, item, slot, banned, admitted = told[form + 1], form + 3, 1, false, true
  for each = 1, told[form + 2] do
    local shadow, count, ruled = told[item + 1] == 1, told[item + 2], told[item + 3] == 1
    local rule, passes_all = item + 4 + 11 * count, true
    find_levels(item, key, slot)
    for q = item + 4, rule - 1, 11 do
      passes_all = passes(q, cost, ones[slot], twos[slot], threes[slot]) and passes_all
      slot = slot + 1
    end
    passing[each], untils[each] = passes_all, 0
    if ruled then find_offender(each, rule, key) end
    if not shadow then
      banned, admitted = banned or now < untils[each], admitted and passes_all
    end
    item, key = ruled and rule + 8 or rule, ruled and key + 3 or key + 1
  end
  return banned, admitted, key
end

-- Decides a check whose keys begin there. Returns where the next one's do.
local function decide(form, key)
  local banned, admitted, next_key = look(form, key)
  local operation, cost, item, slot = told[form], told[form + 1], form + 3, 1
  if banned or cost == 0 then return next_key end
  for each = 1, told[form + 2] do
    local shadow, count, ruled = told[item + 1] == 1, told[item + 2], told[item + 3] == 1
    local rule, takes = item + 4 + 11 * count, admitted
    -- A shadow item is decided alone, once the others admit.
    local decided = not shadow or (admitted and now >= untils[each])
    if shadow then takes = passing[each] end
    if decided and takes then
      charge(item, key, slot, cost)
    elseif decided and ruled and operation == DECIDE and not passing[each]
      and told[rule + 6] == 1 then
      strike(each, rule, key)
    end
    slot = slot + count
    item, key = ruled and rule + 8 or rule, ruled and key + 3 or key + 1
  end
  return next_key
end

-- The caller has left out items that do not count the status. Those that share
-- a ban strike once, as in a decision.
local function strike_all(form, key)
  local _, _, next_key = look(form, key)
  local item = form + 3
  for each = 1, told[form + 2] do
    local rule = item + 4 + 11 * told[item + 2]
    strike(each, rule, key)
    item, key = rule + 8, key + 3
  end
  return next_key
end

local key = 1
for run = 3, 3 * told[2], 3 do
  local form, count = told[run], told[run + 2]
  set_now(told[run + 1])
  for _ = 1, count do
    key = told[form] == STRIKE and strike_all(form, key) or decide(form, key)
  end
end
return finish()
