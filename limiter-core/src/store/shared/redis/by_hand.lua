-- Changes what is kept of one check's items, in one atomic step. Mirrors
-- ban/offender.rs and algorithm/owed.rs of limiter-core.
--
-- ARGV  [3] of a ban for how long, in microseconds; of what is owed, for each
--           quota four numbers, see algorithm/owed.rs, and for the item how much
--           longer a ban lasts that was brought elsewhere (or 0), and how long it
--           was when it began; packed
--       to give back, for each item two arguments: the counter as it was before
--       it was charged, and after

local GIVE_BACK, OWE, BAN, LIFT, FORGIVE, RESET = 3, 4, 5, 6, 7, 8

local form = forms[1]
set_now((select(2, unpacked('>I8I8', ARGV[2]))))
for each = 1, form.count do find(form[each], 0) end

place = 1
local function number()
  local found
  found, place = unpacked('>I8', ARGV[3], place)
  return found
end

local function less(a, b, c, d)
  return a < c or (a == c and b < d)
end

local owe = {}

owe[GCRA] = function(quota, whole, rest, _, more, more_rest, least, least_rest)
  local debt, part = whole, rest
  if debt > 0 or part > 0 then debt, part = add(quota, whole, rest, more, more_rest) end
  if less(debt, part, least, least_rest) then debt, part = least, least_rest end
  if less(quota.burst_whole, quota.burst_rest, debt, part) then
    debt, part = quota.burst_whole, quota.burst_rest
  end
  if less(whole, rest, debt, part) then whole, rest = debt, part end
  return gcra_kept(quota, whole, rest)
end

owe[FIXED] = function(quota, left, used, _, their_left, units)
  if units > 0 and used == 0 then left = their_left end
  if units > 0 then used = max(used, min(used + units, quota.limit)) end
  return fixed_kept(quota, left, used)
end

owe[SLIDING] = function(quota, start, current, previous, more, more_before)
  current = max(current, min(current + more, quota.limit))
  previous = max(previous, min(previous + more_before, quota.limit))
  return sliding_kept(quota, start, current, previous)
end

-- What was admitted while this server was away.
local function owed(quota, _, one, two, three)
  return owe[quota.kind](quota, one, two, three, number(), number(), number(), number())
end

-- A ban that was brought elsewhere: the later end holds, and the longer one is
-- what the next is longer than.
local function owe_ban(item, left, lasted)
  local rule = item.rule
  write(item.strikes, nil)
  if now < rule.until_ + rule.forgive then
    if rule.until_ >= now + left then return end
    lasted = max(lasted, rule.last)
  end
  write_ban(item, now + left, lasted)
end

local run = {}

run[OWE] = function()
  for each = 1, form.count do
    local item = form[each]
    find_levels(item, 1)
    write_counter(item, 1, owed)
    local left, lasted = number(), number()
    if left > 0 and item.rule and item.rule.bannable then owe_ban(item, left, lasted) end
  end
end

local given_back = {}

given_back[GCRA] = function(quota, _, whole, rest)
  whole, rest = whole - quota.cost_whole, rest - quota.cost_rest
  if rest < 0 then whole, rest = whole - 1, rest + quota.limit end
  if whole < 0 then return quota.blank, 0 end
  return gcra_kept(quota, whole, rest)
end

-- Units that a window which has begun since does not hold are gone already.
given_back[FIXED] = function(quota, former, left, used)
  local start = unpacked('>I8', former, quota.place)
  if start == max(now + left - quota.window, 0) then used = used - form.cost end
  return fixed_kept(quota, left, max(used, 0))
end

given_back[SLIDING] = function(quota, former, start, current, previous)
  local charged_in = unpacked('>I8', former, quota.place)
  if charged_in == start then current = max(current - form.cost, 0) end
  if charged_in == start - quota.window then previous = max(previous - form.cost, 0) end
  return sliding_kept(quota, start, current, previous)
end

local function give_back(quota, former, one, two, three)
  return given_back[quota.kind](quota, former, one, two, three)
end

-- Exactly as before where nobody else has been charged since; else the units
-- are taken out of what is used.
run[GIVE_BACK] = function()
  for each = 1, form.count do
    local item, before, after = form[each], ARGV[2 * each + 1], ARGV[2 * each + 2]
    if item.packed == after then
      local left = call('PTTL', item.counter)
      write(item.counter, before ~= item.blank and before or nil, max(left * 1000 - slack, 0))
    elseif item.packed ~= item.blank then
      find_levels(item, 1)
      write_counter(item, 1, give_back, after)
    end
  end
end

run[BAN] = function()
  local item, asked = form[1], number()
  write(item.strikes, nil)
  if item.rule.until_ < now + asked then write_ban(item, now + asked, asked) end
end

-- Strikes are written as they count at now, which after a step of the clock
-- may be as none.
run[LIFT] = function()
  local item, rule = form[1], form[1].rule
  local strikes, lasting = sliding_kept(rule.strikes, sliding_at(rule.strikes, rule.packed, 1))
  write(item.strikes, strikes ~= rule.strikes.blank and strikes or nil, lasting)
  if rule.until_ > 0 then write_ban(item, min(rule.until_, now), rule.last) end
end

run[FORGIVE] = function()
  write(form[1].strikes, nil)
  write(form[1].ban, nil)
end

run[RESET] = function()
  write(form[1].counter, nil)
end

run[form.operation]()
return finish()
