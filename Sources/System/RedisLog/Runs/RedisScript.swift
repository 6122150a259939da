/// The few things that Redis must do in one piece, in Lua. Each names all keys that it touches, and no channel among them: a
/// cluster that moves a slot would wait for it to come along.
enum RedisScript {
  /// Makes a run its caller's, unless it is another's already: then its meta, or 0 if it has none.
  /// Keys: owner, meta, events. Arguments: token, what names its owner, time to live, meta's names and values.
  static let claim =
    isOwners + """
      if isOwners(KEYS[1], ARGV[1]) then return 1 end
      if redis.call('EXISTS', KEYS[2]) == 1 then return redis.call('HGETALL', KEYS[2]) end
      if redis.call('EXISTS', KEYS[1], KEYS[3]) > 0 then return 0 end
      redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
      redis.call('HSET', KEYS[2], unpack(ARGV, 4))
      redis.call('PEXPIRE', KEYS[2], ARGV[3])
      return 1
      """

  /// A function for other scripts: whether a run is its whose token that is.
  private static let isOwners = """
    local function isOwners(key, token)
      local owner = redis.call('GET', key)
      return owner and string.match(owner, '^%S+') == token
    end

    """

  /// Gives a worker's run the meta that it lacks, and tells what it has then.
  /// Keys: meta. Arguments: time to live, names and values.
  static let adopt: StaticString = """
    for i = 2, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    return redis.call('HGETALL', KEYS[1])
    """

  /// Prolongs a run's keys: 1 done, 0 it is another's. Where its owner is missing it is taken again, because nobody has
  /// ended the run: who does leaves an owner of its own. A Redis that has lost its data gets the meta again.
  /// Keys: owner, meta, events. Arguments: token, what names its owner, time to live, meta's names and values.
  static let renew =
    isOwners + """
      if redis.call('EXISTS', KEYS[1]) == 1 and not isOwners(KEYS[1], ARGV[1]) then return 0 end
      redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
      if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('HSET', KEYS[2], unpack(ARGV, 4)) end
      redis.call('PEXPIRE', KEYS[2], ARGV[3])
      redis.call('PEXPIRE', KEYS[3], ARGV[3])
      return 1
      """

  /// Gives a run up. Keys: owner, meta, events. Arguments: token, time to live.
  static let release =
    isOwners + """
      if not isOwners(KEYS[1], ARGV[1]) then return 0 end
      redis.call('PEXPIRE', KEYS[2], ARGV[2])
      redis.call('PEXPIRE', KEYS[3], ARGV[2])
      return redis.call('DEL', KEYS[1])
      """

  /// Gives up a run that turned out to have no stream, so that whoever waits for it hears of it. It is forgotten soon.
  /// Keys: owner, meta, events. Arguments: token, time to live, the end record, what
  /// publishes, the channel.
  static let drop =
    isOwners + store + """
      if not isOwners(KEYS[1], ARGV[1]) then return 0 end
      if redis.call('EXISTS', KEYS[3]) == 0 then store(KEYS[3], ARGV[4], ARGV[5], '0-0', {'1-0', 'end', ARGV[3], 'none', '1'}) end
      redis.call('PEXPIRE', KEYS[2], ARGV[2])
      redis.call('PEXPIRE', KEYS[3], ARGV[2])
      return redis.call('DEL', KEYS[1])
      """

  /// A function for other scripts: for how many milliseconds the keys that others hold may still be missing. Begins a
  /// life of the data where there is no marker, or another server's.
  /// Its arguments: the marker's key, the server's `run_id` if that is known, the lease; where there is no marker nothing,
  /// whatever, and what the gateway knows itself.
  private static let remainingWait = """
    local function wait(key, server, lease)
      if not key then return tonumber(lease) end
      local time = redis.call('TIME')
      local now = time[1] * 1000 + math.floor(time[2] / 1000)
      local id, since = string.match(redis.call('GET', key) or '', '^(%w*) (%d+)$')
      if not id or (server ~= '' and id ~= '' and id ~= server) or tonumber(since) > now then
        redis.call('SET', key, server .. ' ' .. string.format('%.0f', now))
        return tonumber(lease)
      end
      return math.max(0, since + lease - now)
    end

    """

  /// Tells the marker of the data's life. Keys: the marker. Arguments: the server's `run_id`, the lease.
  static let epoch =
    remainingWait + """
      wait(KEYS[1], ARGV[1], ARGV[2])
      return redis.call('GET', KEYS[1])
      """

  /// Keys: the marker, or none. Arguments: the server's `run_id`, the lease.
  static let wait = remainingWait + "return wait(KEYS[1], ARGV[1], ARGV[2])"

  /// Ends a run whose owner is gone: 0 it is not, 1 the run has ended, 2 it has now. The end gets the largest id there is:
  /// an owner that was only slow can't write anything behind it.
  /// Keys: owner, events, meta, the marker of the data's life. Arguments: time to live, the end record but for its counts,
  /// what named the owner that is gone or nothing, what publishes, the channel, the server's `run_id`, the lease.
  static let closeOrphan =
    remainingWait + store + """
      if (redis.call('GET', KEYS[1]) or '') ~= ARGV[3] or wait(KEYS[4], ARGV[6], ARGV[7]) > 0 then return 0 end
      local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
      local preceding, number = '0-0', '0'
      if last then
        for i = 1, #last[2], 2 do if last[2][i] == 'end' then return 1 end end
        preceding, number = last[1], string.match(last[1], '^%d+')
      end
      local record = ARGV[2] .. ',"events":' .. number .. '}'
      store(KEYS[2], ARGV[4], ARGV[5], preceding, {'18446744073709551615-0', 'end', record})
      redis.call('SET', KEYS[1], 'closed', 'PX', ARGV[1])
      redis.call('PEXPIRE', KEYS[2], ARGV[1])
      redis.call('PEXPIRE', KEYS[3], ARGV[1])
      return 2
      """

  /// Ends a run that workers feed: 0 it has ended, or the last entry is another than was seen; 1 it has now.
  /// Keys: events. Arguments: time to live where there is none, the last entry seen or nothing, the end record, what publishes and
  /// the channel, if it is told there.
  static let endWorkers: StaticString = """
    local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    if last then
      for i = 1, #last[2], 2 do if last[2][i] == 'end' then return 0 end end
    end
    if ARGV[2] ~= '' and (last and last[1] or '0-0') ~= ARGV[2] then return 0 end
    redis.call('XADD', KEYS[1], '*', 'end', ARGV[3])
    if ARGV[4] and type(redis.pcall(ARGV[4], ARGV[5], '')) == 'table' then redis.pcall('PUBLISH', ARGV[5], '') end
    if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
    return 1
    """

  /// Notes how a run stands. Keys: state. Arguments: time to live, the field of the readers, their count, names and values.
  static let noteStatus = """
    if ARGV[3] == '0' then
      redis.call('HDEL', KEYS[1], ARGV[2])
    else
      redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
    end
    if #ARGV > 3 then redis.call('HSET', KEYS[1], unpack(ARGV, 4)) end
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    return 1
    """

  /// A function for other scripts: stores an entry of a run and tells those who follow the run, in the bytes of a reply:
  /// `[the id in front of it, [id, [name, value, …]]]`. That it may not be told is no fault: they look now and then.
  /// Its arguments: the events' key, what publishes, the channel, the id in front, and a table of the id, names and values.
  private static let store = """
    local function store(events, publish, channel, preceding, entry)
      redis.call('XADD', events, unpack(entry))
      local parts = {'*2\\r\\n$', #preceding, '\\r\\n', preceding, '\\r\\n*2\\r\\n$', #entry[1], '\\r\\n', entry[1]}
      parts[9] = '\\r\\n*'
      parts[10] = #entry - 1
      local n = 10
      for i = 2, #entry do
        parts[n + 1] = '\\r\\n$'
        parts[n + 2] = #entry[i]
        parts[n + 3] = '\\r\\n'
        parts[n + 4] = entry[i]
        n = n + 4
      end
      parts[n + 1] = '\\r\\n'
      local text = table.concat(parts)
      local told = redis.pcall(publish, channel, text)
      if type(told) == 'table' and publish ~= 'PUBLISH' then redis.pcall('PUBLISH', channel, text) end
    end

    """

  /// Appends to a run's events and tells it to those who follow the run; sets when the events expire, where asked to.
  /// Keys: events. Arguments: what publishes, the channel, time to live or 0, the id in front, the end's id and its record or nothing, an
  /// entry's id and fields if there is one.
  static let append =
    store + """
      local publish, channel, last = ARGV[1], ARGV[2], ARGV[4]
      if ARGV[7] then
        store(KEYS[1], publish, channel, last, {unpack(ARGV, 7)})
        last = ARGV[7]
      end
      if ARGV[6] ~= '' then store(KEYS[1], publish, channel, last, {ARGV[5], 'end', ARGV[6]}) end
      if ARGV[3] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
      return 1
      """

  /// Keeps a value under a key that has none, or that one: nil done, otherwise the value that is there. Where the key may
  /// be another's all the same, for how many milliseconds.
  /// Keys: the key, the marker of the data's life. Arguments: value, time to live, the server's `run_id`, the lease.
  static let keepFirst =
    remainingWait + """
      local value = redis.call('GET', KEYS[1])
      if value == ARGV[1] then return false end
      if value then return value end
      local left = wait(KEYS[2], ARGV[3], ARGV[4])
      if left > 0 then return left end
      redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
      return false
      """

  /// Drops the events of a run whose beginning is gone, so that its owner can write all of them again.
  /// Keys: events. Arguments: the id of the first entry if it is one block.
  static let dropIfBeheaded: StaticString = """
    local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
    if not first or first[1] == ARGV[1] then return 0 end
    for i = 1, #first[2], 2 do if first[2][i] == 'a' and first[2][i + 1] == '0-0' then return 0 end end
    local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    for i = 1, #last[2], 2 do if last[2][i] == 'end' then return 0 end end
    return redis.call('DEL', KEYS[1])
    """

  /// Prolongs a key that has this value, or none. Keys: the key. Arguments: value, time to live.
  static let keepLiving = """
    if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
    """

  /// Drops a key if it has this value. Keys: the key. Arguments: value.
  static let dropIfEqual: StaticString = """
    if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
    return 0
    """
}

extension RedisCommand {
  func begin(_ script: StaticString, keys: String...) {
    append("EVAL")
    append(script)
    append(keys.count)
    for key in keys { append(key: key) }
  }

  func begin(_ script: String, keys: [String]) {
    append("EVAL")
    append(script)
    append(keys.count)
    for key in keys { append(key: key) }
  }
}
