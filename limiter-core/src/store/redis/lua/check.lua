-- Decides checks and settles what requests came to: any number of them, one
-- after the other as if each had come alone, in one atomic step. Mirrors
-- decide.rs, settlement.rs and ban/ of limiter-core; Rust replays it on the state
-- that this returns.
--
-- Operations: to decide; to charge (the same, but nothing strikes); to settle; to look,
-- which costs nothing and finds strikes as well.
--
-- ARGV  [2] of what is settled, for each item in turn: if it strikes, what is done
--           to its units (0 nothing, 1 given back, 2 charged); and for each quota
--           how many, of a bucket as debt, then the mark of the charge or, where
--           they are charged, the most debt, two numbers each; packed

local DECIDE, SETTLE, LOOK = 0, 2, 3
local GIVES_BACK, CHARGES = 1, 2

local function charge(item, key, slot, cost)
  local packed, longest = '', 0
  for q = item + ITEM_SIZE, item + QUOTA_SIZE * parameters[item + QUOTAS], QUOTA_SIZE do
    local state, lasts_for =
      packed_level(q, charged(q, cost, levels[slot], levels[slot + 1], levels[slot + 2]))
    packed, longest, slot = packed .. state, max(longest, lasts_for), slot + 3
  end
  write_counter(keys[key], packed, longest)
end

local function strike(at, rule, key)
  local until_, last = bans[at], bans[at + 1]
  if parameters[rule + BANNABLE] == 0 or now < until_ then return end
  local window = parameters[rule + STRIKE_WINDOW]
  local _, start, current, previous = slid(window, strikes[at], 1)
  if parameters[rule + THRESHOLD] > weighing(window, start, current, previous) + 1 then
    local packed = pack('>I7I7I7', start, current + 1, previous)
    return write(keys[key + 2], packed, 2 * window - now + start)
  end
  local duration = parameters[rule + DURATION]
  if now < until_ + parameters[rule + FORGIVE_AFTER] then
    duration = max(muldiv(last, parameters[rule + FACTOR], 0, 1000), duration)
  end
  duration = min(duration, parameters[rule + MAX_DURATION])
  write(keys[key + 2], false, 0)
  write_ban(rule, key, now + duration, duration, count_with(at, rule, key, 1))
end

-- Looks at all items before any of them is changed: they may share bans. Returns
-- whether a ban holds, whether all enforced ones pass, and the key of the next
-- check; whether each of them passes is in a list.
local passing = { true }
local function look(form, key)
  local operation, cost = parameters[form + OPERATION], parameters[form + UNITS]
  local strikes_all = operation == SETTLE or operation == LOOK
  local item, slot, banned, admitted = form + FORM_SIZE, 1, false, true
  for each = 1, parameters[form + ITEMS] do
    local shadow, ruled = parameters[item + SHADOW] == 1, parameters[item + RULED] == 1
    local rule, passes_all, first = item + ITEM_SIZE + QUOTA_SIZE * parameters[item + QUOTAS], true, slot
    slot = find_levels(item, key, slot)
    for q = item + ITEM_SIZE, rule - 1, QUOTA_SIZE do
      passes_all = passes_all
        and passes(q, cost, levels[first], levels[first + 1], levels[first + 2])
      first = first + 3
    end
    passing[each], bans[2 * each - 1] = passes_all, 0
    if ruled then find_offender(2 * each - 1, rule, key, strikes_all or not passes_all) end
    if not shadow then
      banned, admitted = banned or now < bans[2 * each - 1], admitted and passes_all
    end
    item, key = ruled and rule + RULE_SIZE or rule, ruled and key + 3 or key + 1
  end
  return banned, admitted, key
end

-- Decides a check whose keys begin there. Returns where the next one's do.
local function decide(form, key)
  local banned, admitted, next_key = look(form, key)
  local operation, cost, item, slot = parameters[form + OPERATION], parameters[form + UNITS], form + FORM_SIZE, 1
  if banned or cost == 0 then return next_key end
  for each = 1, parameters[form + ITEMS] do
    local shadow, count, ruled = parameters[item + SHADOW] == 1, parameters[item + QUOTAS], parameters[item + RULED] == 1
    local rule, takes = item + ITEM_SIZE + QUOTA_SIZE * count, admitted
    -- A shadow item is decided alone, once the others admit.
    local decided = not shadow or (admitted and now >= bans[2 * each - 1])
    if shadow then takes = passing[each] end
    if decided and takes then
      charge(item, key, slot, cost)
    elseif decided and ruled and operation == DECIDE and not passing[each]
      and parameters[rule + REFUSALS] == 1 then
      strike(2 * each - 1, rule, key)
    end
    slot = slot + 3 * count
    item, key = ruled and rule + RULE_SIZE or rule, ruled and key + 3 or key + 1
  end
  return next_key
end

-- Settles the units of an item whose levels begin at `slot`, as the numbers from
-- `further` on say. Returns the place behind them.
local function settle_units(item, key, slot, further)
  local kind, behind = unpacked('>I8', ARGV[2], further)
  local packed, longest, is_changed = '', 0, false
  local before, place = find_counter(item, keys[key]), 1
  for q = item + ITEM_SIZE, item + QUOTA_SIZE * parameters[item + QUOTAS], QUOTA_SIZE do
    local units, rest, a, b
    units, rest, a, b, behind = unpacked('>I8I8I8I8', ARGV[2], behind)
    local one, two, three = levels[slot], levels[slot + 1], levels[slot + 2]
    local new_one, new_two, new_three = one, two, three
    if kind == GIVES_BACK then
      new_one, new_two, new_three = given_back(q, units, rest, a, b, one, two, three)
    elseif kind == CHARGES then
      new_one, new_two, new_three = charged_beyond(q, units, rest, a, b, one, two, three)
    end
    local differs = one ~= new_one or two ~= new_two or three ~= new_three
    local state, lasts_for = packed_level(q, new_one, new_two, new_three)
    if not differs and parameters[q + ALGORITHM] == GCRA and one + two > 0 then
      -- Debt that does not change is paid back at the rate that it was written with.
      state = string.sub(before, place, place + 10) .. string.sub(state, 12, 18)
        .. string.sub(before, place + 18, place + 31)
      lasts_for = max(lasts_for, unpacked('>I7', before, place + 18) - now + 1)
    end
    is_changed, place = is_changed or differs, place + #state
    packed, longest, slot = packed .. state, max(longest, lasts_for), slot + 3
  end
  if is_changed then write_counter(keys[key], packed, longest) end
  return behind
end

-- Settles items, no two of which share counters. Those that share a ban strike once,
-- as in a decision. Returns where the keys of the next check begin.
local further = 1
local function settle(form, key)
  local _, _, next_key = look(form, key)
  local item, slot = form + FORM_SIZE, 1
  for each = 1, parameters[form + ITEMS] do
    local ruled, rule = parameters[item + RULED] == 1, item + ITEM_SIZE + QUOTA_SIZE * parameters[item + QUOTAS]
    local strikes_it, units = unpacked('>I8', ARGV[2], further)
    further = settle_units(item, key, slot, units)
    if ruled and strikes_it == 1 then strike(2 * each - 1, rule, key) end
    slot = slot + 3 * parameters[item + QUOTAS]
    item, key = ruled and rule + RULE_SIZE or rule, ruled and key + 3 or key + 1
  end
  return next_key
end

local key = 1
for run = 3, 4 * parameters[2], 4 do
  local form, times = parameters[run], parameters[run + 2]
  set_now(parameters[run + 1])
  for _ = 1, parameters[run + 3] do
    local first, next_key, before, returned = key, key, -1, size
    for time = 1, times do
      local settles = parameters[form + OPERATION] == SETTLE
      -- A check that has changed nothing changes nothing again. Settlements differ.
      if changes == before and not settles then break end
      before = changes
      next_key = settles and settle(form, first) or decide(form, first)
      -- The reply has the state before the first time.
      if time == 1 then returned = size else size = returned end
    end
    key = next_key
  end
end
return finish()
