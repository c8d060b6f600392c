-- What is asked, what is kept of it, and what is to be written: second part of
-- both scripts.
--
-- KEYS  for each check, for each of its items: counter, and with a ban rule
--       strikes and ban (on a cluster all of one client, in one slot; as few as
--       can be, since a slot that moves to another server has to be waited for
--       where there are several)
-- ARGV  [1] the forms of checks: numbers, packed as states are:
--             slack count form*
--             form = operation cost count item*
--           where the slack is for how many microseconds state is kept beyond its
--           use, the cost is at most 999999999999999 (more never passes, see
--           `never`), and the numbers of an item are those of numbers.rs
--       [2] runs of checks of one form, in the order of their keys:
--             run = form now count
--           where now is in microseconds, or 0 for the server's clock
-- Returns one string, packed: the server's time, if it was asked, or 0; then for
-- each check, for each of its items: the counter, and with a ban rule strikes
-- and ban, as they were before, zeros for what was not there.

local call, keys = redis.call, KEYS
local written_as = { [GCRA] = 32, [FIXED] = 16, [SLIDING] = 24 }
local blank = string.rep('\0', 32)
local NO_STRIKES, NO_BAN = string.sub(blank, 1, 24), string.sub(blank, 1, 16)

local place = 1

local function read_quota(item)
  local kind, limit, window, never, burst, cost_whole, cost_rest, burst_whole, burst_rest,
    twice_whole, twice_rest, next_place = unpacked('>I8I8I8I8I8I8I8I8I8I8I8', ARGV[1], place)
  place = next_place
  local size = written_as[kind]
  local quota = {
    kind = kind, limit = limit, window = window, never = never == 1, burst = burst,
    cost_whole = cost_whole, cost_rest = cost_rest, burst_whole = burst_whole,
    burst_rest = burst_rest, twice_whole = twice_whole, twice_rest = twice_rest,
    place = item.size + 1, blank = string.sub(blank, 1, size),
  }
  item.size = item.size + size
  return quota
end

local function read_rule()
  local threshold, window, duration, factor, longest, forgive, refusals, bannable, next_place =
    unpacked('>I8I8I8I8I8I8I8I8', ARGV[1], place)
  place = next_place
  return {
    strikes = { limit = threshold, window = window, blank = NO_STRIKES },
    duration = duration, factor = factor, longest = longest, forgive = forgive,
    refusals = refusals == 1, bannable = bannable == 1,
    packed = NO_STRIKES, banned = false, until_ = 0, last = 0,
  }
end

-- An item: its quotas, and the place of its first key. What is found of it check
-- by check has its room from the start.
local function read_item(form)
  local shadow, count, ruled, next_place = unpacked('>I8I8I8', ARGV[1], place)
  place = next_place
  local item = {
    shadow = shadow == 1, count = count, place = form.width + 1, size = 0, blank = '',
    rule = false, counter = '', strikes = '', ban = '', packed = '', slot = 0, passes = true,
  }
  for each = 1, count do item[each] = read_quota(item) end
  item.blank = string.rep('\0', item.size)
  if ruled == 1 then item.rule = read_rule() end
  form.width = form.width + (ruled == 1 and 3 or 1)
  return item
end

local function read_form()
  local operation, cost, count, next_place = unpacked('>I8I8I8', ARGV[1], place)
  place = next_place
  local form = { operation = operation, cost = cost, count = count, width = 0 }
  for each = 1, count do form[each] = read_item(form) end
  return form
end

local slack, count, forms = 0, 0, {}
slack, count, place = unpacked('>I8I8', ARGV[1])
for each = 1, count do forms[each] = read_form() end

-- The server's clock is asked once.
local clock = 0
local function set_now(told)
  now = told
  if told == 0 then
    if clock == 0 then
      local time = call('TIME')
      clock = time[1] * 1000000 + time[2]
    end
    now = clock
  end
end

-- What is kept, by its key's name, as earlier checks of this call have left it.
local kept = {}
do
  local found = call('MGET', unpack(keys))
  for each = 1, #keys do
    if found[each] then kept[keys[each]] = found[each] end
  end
end

-- What to write, once everything is decided: scripts do not roll back.
local written, lasting = {}, {}

local function write(name, value, micros)
  if lasting[name] == nil then written[#written + 1] = name end
  kept[name], lasting[name] = value, micros or 0
end

local answer, told = { '' }, 1

-- Finds an item's keys and what is kept of it, and tells of it. What is not as
-- long as it should be is nothing of ours.
local function find(item, key)
  item.counter = keys[key + item.place]
  local packed = kept[item.counter]
  if not packed or #packed ~= item.size then packed = item.blank end
  item.packed = packed
  told = told + 1
  answer[told] = packed
  local rule = item.rule
  if not rule then return end
  item.strikes, item.ban = keys[key + item.place + 1], keys[key + item.place + 2]
  local strikes, ban = kept[item.strikes], kept[item.ban]
  if not strikes or #strikes ~= 24 then strikes = NO_STRIKES end
  if not ban or #ban ~= 16 then ban = NO_BAN end
  rule.packed = strikes
  rule.until_, rule.last = 0, 0
  if ban ~= NO_BAN then rule.until_, rule.last = unpacked('>I8I8', ban) end
  rule.banned = rule.bannable and now < rule.until_
  answer[told + 1], answer[told + 2] = strikes, ban
  told = told + 2
end

-- The levels of an item's quotas, one beside the other from `slot` on.
local ones, twos, threes = {}, {}, {}

local function find_levels(item, slot)
  for each = 1, item.count do
    local quota = item[each]
    ones[slot], twos[slot], threes[slot] = level_at(quota, item.packed, quota.place)
    slot = slot + 1
  end
end

-- Writes the counter as `change` makes it of each quota and its level.
local function write_counter(item, slot, change, what)
  local packed, longest = '', 0
  for each = 1, item.count do
    local state, reset = change(item[each], what, ones[slot], twos[slot], threes[slot])
    packed, longest, slot = packed .. state, max(longest, reset), slot + 1
  end
  write(item.counter, packed ~= item.blank and packed or nil, longest)
end

local function write_ban(item, until_, duration)
  write(item.ban, pack('>I8I8', until_, duration), max(until_ + item.rule.forgive - now, 0))
end

-- Many last equally long, to the second, and a number is slow to tell.
local function finish()
  local seconds = {}
  for each = 1, #written do
    local name = written[each]
    local value = kept[name]
    if value then
      local lasts = floor((lasting[name] + slack) / 1000000) + 1
      local told_as = seconds[lasts]
      if told_as == nil then
        told_as = string.format('%.0f', lasts)
        seconds[lasts] = told_as
      end
      call('SETEX', name, told_as, value)
    else
      call('DEL', name)
    end
  end
  answer[1] = pack('>I8', clock)
  return table.concat(answer)
end
