import Glibc
import Harness
import JSON
import Loop
import Processes
import Time

extension Verb {
  static let top = Verb(
    name: "top", summary: "watch a running gateway in the terminal",
    help: """
      usage: fermata top [--admin URL] [--token TOKEN] [--sort ORDER] [--find TEXT] [--once] [--json]

        --admin URL      its operators' listener; default http://127.0.0.1:8081, or FERMATA_ADMIN_LISTEN
        --token TOKEN    the operators' token, admin.readToken is enough; default: FERMATA_ADMIN_TOKEN
        --sort ORDER     of the open streams: silence (the default), age, queue (unsent bytes) or bytes
        --find TEXT      lists only open streams with TEXT in their id, trace or route
        --once           prints what is so now, and ends
        --json           prints JSON instead, one object a line

      Shows what the dashboard shows, once a second. Where the output is no terminal it is plain text without colours, one
      screen after another. In a terminal these keys are known:

        s  sort by silence    a  by age    u  by unsent bytes    b  by bytes    q  quit

      \(ExitStatus.help(of: "top"))
      """, options: ["--admin", "--token", "--sort", "--find", "--once", "--json"]
  ) { arguments in
    do throws(Arguments.Mistake) {
      let parsed = try Arguments(
        arguments, options: ["--admin", "--token", "--sort", "--find"], switches: ["--once", "--json"])
      let sort = parsed["--sort"] ?? "silence"
      guard TopKeys.orders.values.contains(sort) else {
        throw Arguments.Mistake(message: "--sort is one of silence, age, queue, bytes, not \"\(sort)\"")
      }
      let address = try adminAddress(parsed["--admin"])
      let options = TopOptions(
        address: address, token: parsed["--token"] ?? Host.environment["FERMATA_ADMIN_TOKEN"],
        find: parsed["--find"] ?? "", isOnce: parsed.has("--once"), isJSON: parsed.has("--json"))
      return TopSession.run(options, sort: sort)
    } catch {
      return misused("top", error)
    }
  }
}

struct TopOptions {
  let address: SocketAddress
  let token: String?
  let find: String
  let isOnce: Bool
  let isJSON: Bool
}

enum TopKeys {
  /// What a key sorts by.
  static let orders: [UInt8: String] = [
    UInt8(ascii: "s"): "silence", UInt8(ascii: "a"): "age", UInt8(ascii: "u"): "queue", UInt8(ascii: "b"): "bytes",
  ]
}

/// Follows a gateway until a key, a signal or a fault ends it.
private final class TopSession {
  private static let forever = Nanoseconds.seconds(3600 * 24 * 365)

  private let options: TopOptions
  private let loop: EventLoop
  private let screen: TopTerminal?
  private var sort: String
  private var known = JSONObject()
  private var client: StreamClient?
  private var status = ExitStatus.success
  private var hasSeenAny = false
  private var timer: Timer?
  private var watches: [SignalWatch] = []

  static func run(_ options: TopOptions, sort: String) -> Int32 {
    do {
      let session = try TopSession(options, sort: sort)
      return session.run()
    } catch {
      Terminal.error("fermata top: \(error)")
      return ExitStatus.failure
    }
  }

  private init(_ options: TopOptions, sort: String) throws(LoopError) {
    self.options = options
    self.sort = sort
    loop = try EventLoop()
    screen = options.isOnce || options.isJSON ? nil : TopTerminal()
    for signal in [ProcessSignal.interrupt, .terminate] {
      watches.append(try SignalWatch(loop: loop, signal: signal) { [unowned self] in loop.stop() })
    }
  }

  private func run() -> Int32 {
    screen?.begin()
    follow()
    if screen != nil { scheduleKeyCheck() }
    loop.run()
    screen?.end()
    timer?.cancel()
    for watch in watches { watch.cancel() }
    return status
  }

  private func follow() {
    var fields = [Script.Field("Accept", "text/event-stream")]
    if let token = options.token { fields.append(Script.Field("Authorization", "Bearer \(token)")) }
    var behaviour = ClientBehaviour()
    behaviour.timeout = hasSeenAny || !options.isOnce ? Self.forever : .seconds(5)
    let path = "/dashboard/events?sort=\(sort)&find=\(Self.encoded(options.find))"
    let client = StreamClient(
      loop: loop, address: options.address, request: ClientRequest("GET", path, fields: fields), behaviour: behaviour
    ) { [unowned self] result in
      ended(result)
    }
    self.client = client
    client.bodyCame = { [unowned self] body in take(&body) }
    client.start()
  }

  /// The connection is gone: at the beginning that is a fault, later the gateway may come back.
  private func ended(_ result: ClientResult) {
    guard client?.result.startedAt == result.startedAt else { return }
    client = nil
    guard hasSeenAny, result.status == 200 else { return fail(Self.words(for: result, options.address)) }
    if options.isOnce || screen == nil { return loop.stop() }
    screen?.show(["lost: the gateway at http://\(options.address) does not answer; trying again"])
    let timer = Timer(loop: loop) { [unowned self] in follow() }
    timer.schedule(after: .seconds(1))
    self.timer = timer
  }

  private func fail(_ text: String) {
    if hasSeenAny, screen != nil {
      screen?.show(["lost: \(text); trying again"])
      let timer = Timer(loop: loop) { [unowned self] in follow() }
      timer.schedule(after: .seconds(1))
      self.timer = timer
      return
    }
    screen?.end()
    Terminal.error("fermata top: \(text)")
    status = ExitStatus.failure
    loop.stop()
  }

  private static func words(for result: ClientResult, _ address: SocketAddress) -> String {
    switch result.status {
    case 0: "http://\(address) does not answer"
    case 401: "http://\(address) asks for its token: --token, or FERMATA_ADMIN_TOKEN"
    case 404: "http://\(address) has no /dashboard/events: is it a gateway's operators' listener?"
    default: "http://\(address) answered \(result.status): \(result.text)"
    }
  }

  /// Takes the whole events out of what has come.
  private func take(_ body: inout [UInt8]) {
    guard client?.result.status == 200 else { return }
    var hasNew = false
    while let end = Self.endOfEvent(in: body) {
      hasNew = read(body[..<end]) || hasNew
      body.removeFirst(end)
    }
    if hasNew { show() }
  }

  /// Behind the first blank line.
  private static func endOfEvent(in body: [UInt8]) -> Int? {
    guard body.count > 1 else { return nil }
    for index in 1..<body.count where body[index] == 0x0A && body[index - 1] == 0x0A { return index + 1 }
    return nil
  }

  /// - Returns: whether the event changed what is known.
  private func read(_ event: ArraySlice<UInt8>) -> Bool {
    let lines = event.split(separator: 0x0A)
    let type = lines.first { $0.starts(with: "event: ".utf8) }.map { String(decoding: $0.dropFirst(7), as: UTF8.self) }
    guard type == "snapshot" || type == "delta", let data = lines.first(where: { $0.starts(with: "data: ".utf8) }),
      let document = try? JSONValue(parsing: Array(data.dropFirst(6)))
    else { return false }
    if type == "snapshot" { known = JSONObject() }
    for member in document.object?.members ?? [] { known[member.name] = member.value }
    return true
  }

  private func show() {
    hasSeenAny = true
    if options.isJSON {
      Terminal.print(JSONValue.object(known).text())
    } else if let screen {
      screen.show(TopReport(known).lines(width: screen.width, height: screen.height))
    } else {
      Terminal.print(TopReport(known).lines(width: 0, height: 0).joined(separator: "\n") + (options.isOnce ? "" : "\n"))
    }
    if options.isOnce { loop.stop() }
  }

  private func scheduleKeyCheck() {
    let timer = Timer(loop: loop) { [unowned self] in
      while let key = screen?.nextKey() {
        if key == UInt8(ascii: "q") { return loop.stop() }
        guard let order = TopKeys.orders[key], order != sort else { continue }
        sort = order
        let old = client
        client = nil
        old?.hangUp()
        follow()
      }
      scheduleKeyCheck()
    }
    timer.schedule(after: .milliseconds(100))
    keyTimer = timer
  }

  private var keyTimer: Timer?

  private static func encoded(_ text: String) -> String {
    var out = ""
    for byte in text.utf8.prefix(100) {
      let isPlain = (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
      out += isPlain ? String(UnicodeScalar(byte)) : (byte < 16 ? "%0" : "%") + String(byte, radix: 16)
    }
    return out
  }
}
