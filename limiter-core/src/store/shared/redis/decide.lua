-- Decides checks, and strikes for response statuses: any number of them, one
-- after the other as if each had come alone, in one atomic step. Mirrors
-- decide.rs and ban/ of limiter-core; Rust replays it on the state that this
-- returns.
--
-- Operations: to decide; to charge (the same, but nothing strikes); to strike.

local DECIDE, STRIKE = 0, 2

local function strike(item)
  local rule = item.rule
  if not rule or not rule.bannable or rule.banned then return end
  local start, current, previous = sliding_at(rule.strikes, rule.packed, 1)
  if rule.strikes.limit > weighing(rule.strikes, start, current, previous) + 1 then
    write(item.strikes, sliding_kept(rule.strikes, start, current + 1, previous))
    return
  end
  local duration = rule.duration
  if now < rule.until_ + rule.forgive then
    duration = max(muldiv(rule.last, rule.factor, 0, 1000), duration)
  end
  duration = min(duration, rule.longest)
  write(item.strikes, nil)
  write_ban(item, now + duration, duration)
end

-- Charges an item, or strikes it for having refused.
local function settle(form, item, admitted)
  if form.cost == 0 then return end
  if admitted then
    write_counter(item, item.slot, charged, form.cost)
  elseif not item.passes and form.operation == DECIDE and item.rule and item.rule.refusals then
    strike(item)
  end
end

local function look(form, item, key, slot)
  find(item, key)
  find_levels(item, slot)
  item.slot, item.passes = slot, true
  for each = 1, item.count do
    local quota = item[each]
    if quota.never or not passes(quota, form.cost, ones[slot], twos[slot], threes[slot]) then
      item.passes = false
    end
    slot = slot + 1
  end
  return slot
end

-- All items are looked at before any of them is changed: they may share bans.
local function decide(form, key)
  local slot, banned, admitted = 1, false, true
  for each = 1, form.count do
    local item = form[each]
    slot = look(form, item, key, slot)
    if not item.shadow then
      banned = banned or (item.rule and item.rule.banned)
      admitted = admitted and item.passes
    end
  end
  if banned then return end
  for each = 1, form.count do
    local item = form[each]
    if not item.shadow then
      settle(form, item, admitted)
    elseif admitted and not (item.rule and item.rule.banned) then
      settle(form, item, item.passes)
    end
  end
end

-- The caller has left out items that do not count the status, and doubles.
local function strike_all(form, key)
  for each = 1, form.count do
    find(form[each], key)
    strike(form[each])
  end
end

local key, form, count = 0, nil, 0
place = 1
while place <= #ARGV[2] do
  form, now, count, place = unpacked('>I8I8I8', ARGV[2], place)
  set_now(now)
  form = forms[form]
  local run = form.operation == STRIKE and strike_all or decide
  for _ = 1, count do
    run(form, key)
    key = key + form.width
  end
end
return finish()
