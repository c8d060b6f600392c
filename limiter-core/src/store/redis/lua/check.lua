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
      packed_level(q, charged(q, cost, levels[slot], levels[slot + 1], levels[slot + 2]))
    packed, longest, slot = packed .. state, max(longest, lasts_for), slot + 3
  end
  write_counter(keys[key], packed, longest)
end

local function strike(at, rule, key)
  local until_, last = bans[at], bans[at + 1]
  if told[rule + 7] == 0 or now < until_ then return end
  local window = told[rule + 1]
  local _, start, current, previous = slid(window, strikes[at], 1)
  if told[rule] > weighing(window, start, current, previous) + 1 then
    local packed = pack('>I8I8I8', start, current + 1, previous)
    return write(keys[key + 2], packed, 2 * window - now + start)
  end
  local duration = told[rule + 2]
  if now < until_ + told[rule + 5] then
    duration = max(muldiv(last, told[rule + 3], 0, 1000), duration)
  end
  duration = min(duration, told[rule + 4])
  write(keys[key + 2], false, 0)
  write_ban(rule, key, now + duration, duration)
end

-- Looks at all items before any of them is changed: they may share bans. Returns
-- whether a ban holds, whether all enforced ones pass, and the key of the next
-- check; whether each of them passes is in a list.
local passing = { true }
local function look(form, key)
  local strikes_all, cost = told[form] == STRIKE, told[form + 1]
  local item, slot, banned, admitted = form + 3, 1, false, true
  for each = 1, told[form + 2] do
    local shadow, ruled = told[item + 1] == 1, told[item + 3] == 1
    local rule, passes_all, first = item + 4 + 11 * told[item + 2], true, slot
    slot = find_levels(item, key, slot)
    for q = item + 4, rule - 1, 11 do
      passes_all = passes_all
        and passes(q, cost, levels[first], levels[first + 1], levels[first + 2])
      first = first + 3
    end
    passing[each], bans[2 * each - 1] = passes_all, 0
    if ruled then find_offender(2 * each - 1, rule, key, strikes_all or not passes_all) end
    if not shadow then
      banned, admitted = banned or now < bans[2 * each - 1], admitted and passes_all
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
    local decided = not shadow or (admitted and now >= bans[2 * each - 1])
    if shadow then takes = passing[each] end
    if decided and takes then
      charge(item, key, slot, cost)
    elseif decided and ruled and operation == DECIDE and not passing[each]
      and told[rule + 6] == 1 then
      strike(2 * each - 1, rule, key)
    end
    slot = slot + 3 * count
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
    strike(2 * each - 1, rule, key)
    item, key = rule + 8, key + 3
  end
  return next_key
end

local key = 1
for run = 3, 4 * told[2], 4 do
  local form, times = told[run], told[run + 2]
  set_now(told[run + 1])
  for _ = 1, told[run + 3] do
    local first, next_key, before, told_so_far = key, key, -1, size
    for time = 1, times do
      -- What changes nothing once changes nothing again.
      if changes == before then break end
      before = changes
      next_key = told[form] == STRIKE and strike_all(form, first) or decide(form, first)
      -- What was kept is told as it was before the first time.
      if time == 1 then told_so_far = size else size = told_so_far end
    end
    key = next_key
  end
end
return finish()
