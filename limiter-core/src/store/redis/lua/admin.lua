-- Changes what is kept of one check's items, in one atomic step. Mirrors
-- ban/record.rs and algorithm/outage.rs of limiter-core.
--
-- ARGV  [2] of a ban for how long, in microseconds; of what is owed, for each
--           quota its numbers, see QuotaUsage::numbers, and for the item how much
--           longer a ban lasts that was brought elsewhere (or 0), how long it was
--           when it began, and its count; packed
--       to give back, for each item two arguments: the counter as it was before
--       it was charged, and after

local GIVE_BACK, OWE, BAN, LIFT, FORGIVE = 3, 4, 5, 6, 7

local form = parameters[3]
local operation, cost, further = parameters[form + OPERATION], parameters[form + UNITS], 1
set_now(parameters[4])

local function number()
  local found
  found, further = unpacked('>I8', ARGV[2], further)
  return found
end

local function less(a, b, c, d)
  return a < c or (a == c and b < d)
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
    if b > 0 and two == 0 then one = a end
    if b > 0 then two = max(two, min(two + b, limit)) end
    return one, two
  end
  return one, max(two, min(two + a, limit)), max(three, min(three + b, limit))
end

-- The level without what was charged, which the counter as it was then tells the
-- time of: units that a window which has begun since does not hold are gone
-- already.
local function given_back(q, one, two, three, charged_in)
  if parameters[q + ALGORITHM] == GCRA then
    one, two = one - parameters[q + COST], two - parameters[q + COST_REST]
    if two < 0 then one, two = one - 1, two + parameters[q + LIMIT] end
    if one < 0 then return 0, 0 end
    return one, two
  end
  if parameters[q + ALGORITHM] == FIXED then
    if charged_in == max(now + one - parameters[q + WINDOW], 0) then two = two - cost end
    return one, max(two, 0)
  end
  if charged_in == one then two = max(two - cost, 0) end
  if charged_in == one - parameters[q + WINDOW] then three = max(three - cost, 0) end
  return one, two, three
end

-- Writes a counter, or removes it where nothing is used.
local function put_counter(name, packed, micros)
  if packed == string.rep('\0', #packed) then return write(name, false, 0) end
  write_counter(name, packed, micros)
end

-- Writes the counter, with what is owed or without what `after` says was charged.
local function change_counter(item, key, after)
  local packed, longest, slot, place = '', 0, 1, 1
  for q = item + ITEM_SIZE, item + QUOTA_SIZE * parameters[item + QUOTAS], QUOTA_SIZE do
    local state, lasts_for
    local one, two, three = levels[slot], levels[slot + 1], levels[slot + 2]
    if operation == OWE then
      state, lasts_for = packed_level(q, owed(q, one, two, three))
    else
      local charged_in = unpacked('>I8', after, place)
      state, lasts_for = packed_level(q, given_back(q, one, two, three, charged_in))
    end
    packed, longest, slot = packed .. state, max(longest, lasts_for), slot + 3
    place = place + #state
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

-- Exactly as before where nobody else has been charged since; else the units
-- are taken out of what is used.
local function give_back(each, item, key)
  local before, after = ARGV[2 * each], ARGV[2 * each + 1]
  local packed, nothing = find_counter(keys[key], parameters[item + BYTES]), string.rep('\0', parameters[item + BYTES])
  if packed == after then
    local left = call('PTTL', keys[key])
    put_counter(keys[key], before, max(left * 1000 - slack, 0))
  elseif packed ~= nothing then
    change_counter(item, key, after)
  end
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
  elseif operation == GIVE_BACK then
    give_back(each, item, key)
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
