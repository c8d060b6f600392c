-- The commonest check by the shortest way: one client by one policy of one gcra
-- quota, of which it takes something. First part of the script that decides.
--
-- The rest makes some lists and functions anew in each call, which takes three
-- times as long as such a check itself. It is gone on with where this answers
-- nothing, having done nothing: for checks of another kind, and where there is
-- more to do: to strike, to go by a limit that was changed, to make do with a key
-- of another type. For KEYS, ARGV and the answer see items.lua.

local function decide_one(told)
  local call, pack, unpacked = redis.call, struct.pack, struct.unpack
  local slack, runs, _, now, times, count, operation, cost, items, _, shadow, quotas, ruled,
    kind, limit, _, never, burst, more, more_rest, full, full_rest, most, most_rest =
    unpacked('>I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8', told)
  if runs ~= 1 or count ~= 1 or times ~= 1 or operation ~= 0 or cost == 0 or items ~= 1
    or shadow ~= 0 or quotas ~= 1 or kind ~= 0 or never ~= 0 then return end

  local clock = 0
  if now == 0 then
    local time = call('TIME')
    clock = time[1] * 1000000 + time[2]
    now = clock
  end

  -- An error is a table, which has an `err`; text has none.
  local counter, whole, rest = redis.pcall('GET', KEYS[1]), 0, 0
  if counter and counter.err then return end
  if counter and #counter == 32 then
    local tat, fraction, former_limit, former_burst = unpacked('>I8I8I8I8', counter)
    if former_limit ~= limit or former_burst ~= burst then return end
    if tat >= now then whole, rest = tat - now, fraction end
    if whole > most or (whole == most and rest > most_rest) then whole, rest = 0, 0 end
  else
    counter = string.rep('\0', 32)
  end

  local banned, strikes, offender = false, false, ''
  if ruled == 1 then
    local ban = redis.pcall('GET', KEYS[2])
    if ban and ban.err then return end
    if not ban or #ban ~= 16 then ban = string.rep('\0', 16) end
    local refusals, bannable = unpacked('>I8I8', told, 8 * 30 + 1)
    banned = bannable == 1 and now < unpacked('>I8', ban)
    strikes, offender = bannable == 1 and refusals == 1, ban .. string.rep('\0', 24)
  end

  if not banned then
    whole, rest = whole + more, rest + more_rest
    if rest >= limit then whole, rest = whole + 1, rest - limit end
    if whole < full or (whole == full and rest <= full_rest) then
      local seconds = string.format('%.0f', math.floor((whole + 1 + slack) / 1000000) + 1)
      call('SETEX', KEYS[1], seconds, pack('>I8I8I8I8', now + whole, rest, limit, burst))
    elseif strikes then
      return
    end
  end
  return pack('>I8', clock) .. counter .. offender
end

if #ARGV[1] == 8 * 24 or #ARGV[1] == 8 * 32 then
  local answer = decide_one(ARGV[1])
  if answer then return answer end
end
