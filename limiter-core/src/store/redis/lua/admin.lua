-- Changes what is kept of one check's items, in one atomic step. Mirrors
-- ban/record.rs and algorithm/outage.rs of limiter-core.
--
-- ARGV  [2] of a ban for how long, in microseconds; of what is owed, for each
--           quota its numbers, see QuotaUsage::numbers, and for the item how much
--           longer a ban lasts that was brought elsewhere (or 0), how long it was
--           when it began, and its count; packed

local OWE, BAN, LIFT, FORGIVE = 4, 5, 6, 7

local form = parameters[3]
local operation, further = parameters[form + OPERATION], 1
set_now(parameters[4])

local function number()
  local found
  found, further = unpacked('>I8', ARGV[2], further)
  return found
end

-- The same, of a strict window: so many segments, each its age and its units.
local function segments_owed(q, one, two, three)
  local size, limit = parameters[q + SEGMENT], parameters[q + LIMIT]
  for _ = 1, number() do
    local at, units = max(now - number(), 0), number()
    local function added(used) return max(used, min(used + units, limit)) end
    one, two, three = changed(q, at - at % size, added, one, two, three)
  end
  return one, two, three
end

-- The level with what was admitted while this server was away.
local function owed(q, one, two, three)
  if parameters[q + ALGORITHM] == STRICT then return segments_owed(q, one, two, three) end
  local limit, a, b, c, d = parameters[q + LIMIT], number(), number(), number(), number()
  if parameters[q + ALGORITHM] == GCRA then
    local debt, part = one, two
    if debt > 0 or part > 0 then debt, part = owing(q, one, two, a, b) end
    if less(debt, part, c, d) then debt, part = c, d end
    if less(parameters[q + FULL], parameters[q + FULL_REST], debt, part) then debt, part = parameters[q + FULL], parameters[q + FULL_REST] end
    if less(one, two, debt, part) then return debt, part end
    return one, two
  end
  if parameters[q + ALGORITHM] == FIXED then
    if b > 0 and two == 0 and parameters[q + ALIGNED] == 0 then one = a end
    if b > 0 then two = max(two, min(two + b, limit)) end
    return one, two
  end
  return one, max(two, min(two + a, limit)), max(three, min(three + b, limit))
end

-- Writes the counter with what is owed.
local function change_counter(item, key)
  local packed, longest, slot = '', 0, 1
  for q = item + ITEM_SIZE, item + QUOTA_SIZE * parameters[item + QUOTAS], QUOTA_SIZE do
    local state, lasts_for =
      packed_level(q, owed(q, levels[slot], levels[slot + 1], levels[slot + 2]))
    packed, longest, slot = packed .. state, max(longest, lasts_for), slot + 3
  end
  put_counter(keys[key], packed, longest)
end

-- A ban that was brought elsewhere: the later end holds, and the longer one is
-- what the next is longer than.
local function owe_ban(at, rule, key, left, lasted, count)
  write(keys[key + 2], false, 0)
  count = count_with(at, rule, key, count)
  if now < bans[at] + parameters[rule + FORGIVE_AFTER] then
    if bans[at] >= now + left then return end
    lasted = max(lasted, bans[at + 1])
  end
  write_ban(rule, key, now + left, lasted, count)
end

local function owe(at, item, rule, key, ruled)
  change_counter(item, key)
  local left, lasted, count = number(), number(), number()
  if left > 0 and ruled and parameters[rule + BANNABLE] == 1 then owe_ban(at, rule, key, left, lasted, count) end
end

local function ban(at, rule, key)
  local asked = number()
  write(keys[key + 2], false, 0)
  if bans[at] < now + asked then
    write_ban(rule, key, now + asked, asked, count_with(at, rule, key, 1))
  end
end

-- Strikes are written as they count at now, which after a step of the clock may
-- be as none.
local function lift(at, rule, key)
  local window = parameters[rule + STRIKE_WINDOW]
  local _, start, current, previous = slid(window, strikes[at], 1)
  local packed = pack('>I8I8I8', start, current, previous)
  local is_any = current > 0 or previous > 0
  write(keys[key + 2], is_any and packed, 2 * window - now + start)
  if bans[at] > 0 then 
    local count = unpacked('>I8', find(keys[key + 1], 24), 17)
    write_ban(rule, key, min(bans[at], now), bans[at + 1], count)
  end
end

local item, key = form + FORM_SIZE, 1
for each = 1, parameters[form + ITEMS] do
  local at, ruled, rule = 2 * each - 1, parameters[item + RULED] == 1, item + ITEM_SIZE + QUOTA_SIZE * parameters[item + QUOTAS]
  find_levels(item, key, 1)
  if ruled then find_offender(at, rule, key, true) end
  if operation == OWE then
    owe(at, item, rule, key, ruled)
  elseif operation == BAN then
    ban(at, rule, key)
  elseif operation == LIFT then
    lift(at, rule, key)
  elseif operation == FORGIVE then
    write(keys[key + 1], false, 0)
    write(keys[key + 2], false, 0)
  else
    write(keys[key], false, 0)
  end
  item, key = ruled and rule + RULE_SIZE or rule, ruled and key + 3 or key + 1
end
return finish()
