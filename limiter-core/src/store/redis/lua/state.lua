-- The parameters of checks, the state of their keys, and the writes: a part of the script,
-- behind the algorithms and before `check.lua`.
--
-- KEYS  for each check, for each of its items: counter, and with a ban rule ban
--       and strikes (on a cluster all of one client, in one slot; as few as can
--       be, since a slot that moves to another server has to be waited for where
--       there are several)
-- ARGV  [1] numbers, packed as states are:
--             slack runs run* form*
--             run   = form now times count       so many checks of one form, each
--                                                decided so many times in a row
--             form  = operation cost count item*
--           where the slack is for how many microseconds state is kept beyond its
--           use, a run's form is the place of its first number, counted from 1,
--           now is in microseconds, or 0 for the server's clock, the cost is at
--           most 999999999999999 (more never passes, see `never`), and the
--           numbers of an item are those of script_params.rs, behind the length of its
--           quotas' states in bytes
-- Returns one string, packed: the server's time, or 0 if it was not needed; then for
-- each check, for each of its items: the states of its quotas, and with a ban rule ban
-- and strikes, as they were before, zeros for what was not there.

local call, keys = redis.call, KEYS
local slack, NO_STRIKES = parameters[1], string.rep('\0', 21)

-- The bytes of each key, by its name, as earlier checks of this call have left them;
-- false if there is no key.
local kept = {}

-- Returns the bytes of a key; false if there is none, or one of another type.
local function find_any(name)
  local packed = kept[name]
  if packed == nil then
    packed = redis.pcall('GET', name)
    if packed and packed.err then
      if not string.find(packed.err, 'WRONGTYPE', 1, true) then return call('GET', name) end
      packed = false
    end
    kept[name] = packed
  end
  return packed
end

-- Returns that number of bytes of a key: zeros if there is none, or one of somebody else.
local function find(name, bytes)
  local packed = find_any(name)
  if packed and #packed == bytes then return packed end
  return string.rep('\0', bytes)
end

-- The states of a counter that the item's quotas do not know, with the instants behind
-- them, by its name; and the last of these instants.
local others, others_until = {}, {}
local MOST_OTHERS = 32

-- Returns true if a counter has the states of an item's quotas in their order, and no
-- others.
local function is_in_order(item, packed)
  if #packed ~= parameters[item + BYTES] + 8 then return false end
  local place = 1
  for q = item + ITEM_SIZE, item + QUOTA_SIZE * parameters[item + QUOTAS], QUOTA_SIZE do
    local id = parameters[q + ID]
    if unpacked('>I4', packed, place) ~= id then return false end
    place = place + 4 + 7 * (id % 256)
  end
  return true
end

-- Reads the states of a counter: adds those of an item's quotas to `own`, by their ids.
-- Returns the others that have not expired, and the last instant behind them.
local function read_states(packed, own)
  local place, left, left_until, count = 1, '', 0, 0
  while place + 7 <= #packed do
    local group = ''
    while (string.byte(packed, place) or 0) > 127 and place + 3 <= #packed do
      local id, numbers = unpacked('>I4', packed, place)
      local behind = numbers + 7 * (id % 256)
      if behind > #packed then return '', 0 end
      local state = string.sub(packed, place, behind - 1)
      if own[id] then
        own[id] = state
      elseif count < MOST_OTHERS then
        group, count = group .. state, count + 1
      end
      place = behind
    end
    if place + 7 > #packed then return '', 0 end
    local until_ = unpacked('>I8', packed, place)
    if until_ > now and group ~= '' then
      left = left .. group .. string.sub(packed, place, place + 7)
      left_until = max(left_until, until_)
    end
    place = place + 8
  end
  return left, left_until
end

-- Returns the states of an item's quotas, in their order.
local function find_counter(item, name)
  local packed, states = find_any(name) or '', ''
  if is_in_order(item, packed) then
    others[name] = nil
    return string.sub(packed, 1, #packed - 8)
  end
  local own, last = {}, item + QUOTA_SIZE * parameters[item + QUOTAS]
  for q = item + ITEM_SIZE, last, QUOTA_SIZE do
    own[parameters[q + ID]] = unused(parameters[q + ID])
  end
  others[name], others_until[name] = read_states(packed, own)
  for q = item + ITEM_SIZE, last, QUOTA_SIZE do
    states = states .. own[parameters[q + ID]]
  end
  return states
end

-- The writes, made once everything is decided: scripts do not roll back.
local writes, written, lasting = 0, { '' }, {}
local changes = 0

local function write(name, packed, micros)
  if lasting[name] == nil then
    writes = writes + 1
    written[writes] = name
  end
  kept[name], lasting[name], changes = packed, micros, changes + 1
end

-- Writes the states of an item's quotas and until when they are kept, and behind them the
-- states that it does not know. Without microseconds nothing is used.
local function write_counter(name, packed, micros)
  local left = others[name] or ''
  packed = micros > 0 and packed .. pack('>I8', now + micros + slack) or ''
  if left ~= '' then
    packed, micros = packed .. left, max(micros, others_until[name] - now - slack, 0)
  end
  write(name, packed ~= '' and packed, micros)
end

-- The parts of the reply.
local answer, size = { '', '', '', '' }, 1

-- The levels of a check's quotas, three numbers each; of its items the end and
-- the length of the last ban, zero where nobody can be banned, and the strikes.
local levels, bans, strikes = { 0, 0, 0 }, { 0, 0 }, {}

-- Finds what is kept of a counter, and the levels from `slot` on. Returns the
-- slot behind them.
local function find_levels(item, key, slot)
  local packed, place = find_counter(item, keys[key]), 1
  size = size + 1
  answer[size] = packed
  for q = item + ITEM_SIZE, item + QUOTA_SIZE * parameters[item + QUOTAS], QUOTA_SIZE do
    place, levels[slot], levels[slot + 1], levels[slot + 2] = level_at(q, packed, place)
    slot = slot + 3
  end
  return slot
end

-- Finds the ban of the item whose place among others is `at`, and the strikes if
-- they are wanted: few checks need them.
local function find_offender(at, rule, key, wanted)
  local ban = find(keys[key + 1], 24)
  answer[size + 1] = ban
  answer[size + 2] = NO_STRIKES
  if wanted then
    strikes[at] = find(keys[key + 2], #NO_STRIKES)
    answer[size + 2] = strikes[at]
  end
  size = size + 2
  local until_, duration = unpacked('>I8I8', ban)
  -- Mirrors Ban::can_have_begun: within a second, and at most 3660 days long.
  if until_ - now > duration + 1000000 or duration > 316224000000000 then
    until_, duration = 0, 0
  end
  bans[at], bans[at + 1] = until_, duration
  if parameters[rule + BANNABLE] == 0 then bans[at] = 0 end
end

-- Returns the bans so far with `more` of them. A ban that begins while another is in
-- force makes that one longer.
local function count_with(at, rule, key, more)
  if bans[at] == 0 or now >= bans[at] + parameters[rule + FORGIVE_AFTER] then return more end
  local known = unpacked('>I8', find(keys[key + 1], 24), 17)
  if now < bans[at] then return max(known, more) end
  return min(known + more, 4294967295)
end

local function write_ban(rule, key, until_, duration, count)
  write(keys[key + 1], pack('>I8I8I8', until_, duration, count), max(until_ + parameters[rule + FORGIVE_AFTER] - now, 0))
end

-- Reads the server's clock once.
local clock = 0
local function set_now(own)
  if own == 0 and clock == 0 then
    local time = call('TIME')
    clock = time[1] * 1000000 + time[2]
  end
  now = own == 0 and clock or own
end

-- Writes, and returns the answer. Many last equally long, to the second, and a
-- number is slow to tell.
local function finish()
  local seconds, text = -1, ''
  for each = 1, writes do
    local name = written[each]
    local packed = kept[name]
    if packed then
      local lasts = floor((lasting[name] + slack) / 1000000) + 1
      if lasts ~= seconds then seconds, text = lasts, string.format('%.0f', lasts) end
      call('SETEX', name, text, packed)
    else
      call('DEL', name)
    end
  end
  answer[1] = pack('>I8', clock)
  return table.concat(answer, '', 1, size)
end
