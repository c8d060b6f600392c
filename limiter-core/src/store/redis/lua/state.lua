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
--           counter in bytes
-- Returns one string, packed: the server's time, or 0 if it was not needed; then for
-- each check, for each of its items: the counter, and with a ban rule ban and
-- strikes, as they were before, zeros for what was not there.

local call, keys = redis.call, KEYS
local slack, NO_STRIKES = parameters[1], string.rep('\0', 24)

-- The bytes of each key, by its name, as earlier checks of this call have left them;
-- false if there is no key.
local kept = {}

-- Returns that number of bytes of a key: zeros if there is none, or one of somebody else,
-- of another length or type.
local function find(name, bytes)
  local packed = kept[name]
  if packed == nil then
    packed = redis.pcall('GET', name)
    if packed and packed.err then
      if not string.find(packed.err, 'WRONGTYPE', 1, true) then return call('GET', name) end
      packed = false
    end
    kept[name] = packed
  end
  if packed and #packed == bytes then return packed end
  return string.rep('\0', bytes)
end

-- The states of a counter, so many bytes, without the instant behind them.
local function find_counter(name, bytes)
  return string.sub(find(name, bytes + 8), 1, bytes)
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

-- Writes a counter, and behind it until when it is kept (see fast_path.lua), by
-- the server's clock.
local is_own_clock = false
local function write_counter(name, packed, micros)
  local kept_until = is_own_clock and 0 or now + micros + slack
  write(name, packed .. pack('>I8', kept_until), micros)
end

-- Writes a counter, or removes it where nothing is used.
local function put_counter(name, packed, micros)
  if packed == string.rep('\0', #packed) then return write(name, false, 0) end
  write_counter(name, packed, micros)
end

-- The parts of the reply.
local answer, size = { '', '', '', '' }, 1

-- The levels of a check's quotas, three numbers each; of its items the end and
-- the length of the last ban, zero where nobody can be banned, and the strikes.
local levels, bans, strikes = { 0, 0, 0 }, { 0, 0 }, {}

-- Finds what is kept of a counter, and the levels from `slot` on. Returns the
-- slot behind them.
local function find_levels(item, key, slot)
  local packed, place = find_counter(keys[key], parameters[item + BYTES]), 1
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
    strikes[at] = find(keys[key + 2], 24)
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
  now, is_own_clock = own == 0 and clock or own, own ~= 0
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
