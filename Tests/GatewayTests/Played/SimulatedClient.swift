import Gateway
import Loop
import Streams

/// A client of a simulated world: its request, and what it has seen of the answer.
final class SimulatedClient {
  enum Kind { case asks, goesOn, looks, stops }
  enum Way {
    case direct(PlayedClient)
    case connection(PlayedConnection, SimulatedResponse)
  }

  let number: Int
  let kind: Kind
  let gateway: Int
  let asking: SimulatedAsking
  let way: Way
  /// How many of its run's events it said it had; `nil` when it said nothing, or what nobody knows.
  var had: Int?
  /// Whether it named an event that is not the run's.
  var isForeign = false
  /// The stream that it asked for by name.
  var wanted = ""
  private(set) var hasLeft = false
  private(set) var hasHalfClosed = false
  private(set) var wasStuck = false
  private(set) var body: [UInt8] = []
  var reading = SimulatedReading()
  /// The answer that is read; found once something of it is known.
  var answer: SimulatedAnswer?
  /// Whether that is known by what it was sent.
  var isSure = false
  /// What was known when it asked.
  var isCounted = false

  init(_ number: Int, _ kind: Kind, at gateway: Int, _ asking: SimulatedAsking, _ way: Way) {
    self.number = number
    self.kind = kind
    self.gateway = gateway
    self.asking = asking
    self.way = way
  }

  var status: Int {
    switch way {
    case .direct(let client): client.status
    case .connection(_, let response): response.status
    }
  }

  func field(_ name: String) -> String {
    switch way {
    case .direct(let client): client.fields[name] ?? ""
    case .connection(_, let response): response.fields[name] ?? ""
    }
  }

  var ending: BodyEnd? {
    switch way {
    case .direct(let client): client.ending
    case .connection(let connection, let response): response.ending(connection)
    }
  }

  /// Whether the gateway broke the connection.
  var isAbandoned: Bool {
    switch way {
    case .direct(let client): client.isAbandoned
    case .connection(let connection, let response): connection.isClosed && response.ending(connection) == nil
    }
  }

  var isOver: Bool { ending != nil || isAbandoned }
  var stream: String { field("x-stream-id") }
  var mode: String { field("x-stream-mode") }
  var isStream: Bool { status == 200 && !mode.isEmpty }
  var isStuck: Bool {
    switch way {
    case .direct(let client): client.isStuck
    case .connection(let connection, _): connection.isStuck
    }
  }
  var queuedBytes: Int {
    switch way {
    case .direct(let client): client.queuedBytes
    case .connection(let connection, _): connection.queuedBytes
    }
  }

  /// Takes what has come. Returns whether there was something.
  func receive() -> Bool {
    let before = body.count
    switch way {
    case .direct(let client):
      if client.body.utf8.count > before { body += client.body.utf8.dropFirst(before) }
    case .connection(let connection, let response):
      response.take(Array(connection.takeReceived().utf8))
      body = response.body
    }
    return body.count > before
  }

  func leave() {
    guard !hasLeft else { return }
    hasLeft = true
    switch way {
    case .direct(let client): client.leave()
    case .connection(let connection, _): if !connection.isClosed { connection.fail() }
    }
  }

  func halfClose() {
    guard !hasLeft, !hasHalfClosed, !isOver else { return }
    hasHalfClosed = true
    switch way {
    case .direct(let client): client.exchange?.clientHalfClosed()
    case .connection(let connection, _): if !connection.isClosed { connection.finish() }
    }
  }

  func takeNothing() {
    guard !hasLeft, !isOver else { return }
    wasStuck = true
    switch way {
    case .direct(let client): client.isStuck = true
    case .connection(let connection, _): connection.isStuck = true
    }
  }

  func take() {
    guard !hasLeft, isStuck else { return }
    switch way {
    case .direct(let client):
      client.isStuck = false
      client.drain()
    case .connection(let connection, _): if !connection.isClosed { connection.drain() }
    }
  }

  /// What its connection would do as time passes.
  func timePassed(_ gateway: PlayedGateway) {
    guard case .direct(let client) = way, !hasLeft, !client.isOver else { return }
    _ = client.exchange?.timePassed(gateway.loop.now)
  }
}

/// An answer of HTTP/1.1 as it comes.
final class SimulatedResponse {
  private(set) var status = 0
  private(set) var fields: [String: String] = [:]
  private(set) var body: [UInt8] = []
  private var isWhole = false
  private var waiting: [UInt8] = []
  private var left = 0
  private var isChunked = false
  private var isUntilEnd = false

  func take(_ bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    waiting += bytes
    if status == 0 || status == 100 { takeHead() }
    guard status >= 200 else { return }
    if isChunked { takeChunks() } else { takePlain() }
  }

  /// How the body ended, as its framing says; `nil` while it has not.
  func ending(_ connection: PlayedConnection) -> BodyEnd? {
    if isWhole { return .complete }
    guard status != 0, connection.hasFinishedWriting || connection.isClosed else { return nil }
    return isUntilEnd && !connection.wasReset ? .complete : .cut
  }

  private func takeHead() {
    guard let end = waiting.firstRange(of: Array("\r\n\r\n".utf8)) else { return }
    let lines = String(decoding: waiting[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
    waiting.removeSubrange(..<end.upperBound)
    status = lines.first.flatMap { Int($0.dropFirst(9).prefix(3)) } ?? -1
    if status == 100 { return takeHead() }
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " }) }
    }
    isChunked = fields["transfer-encoding"] == "chunked"
    left = fields["content-length"].flatMap { Int($0) } ?? 0
    isUntilEnd = !isChunked && fields["content-length"] == nil && status != 204
    if !isChunked, !isUntilEnd, left == 0 { isWhole = true }
  }

  private func takePlain() {
    if isUntilEnd {
      body += waiting
      waiting = []
      return
    }
    let count = min(left, waiting.count)
    body += waiting.prefix(count)
    waiting.removeFirst(count)
    left -= count
    if left == 0 { isWhole = true }
  }

  private func takeChunks() {
    while !isWhole, let line = waiting.firstRange(of: [13, 10]) {
      let size = Int(String(decoding: waiting[..<line.lowerBound], as: UTF8.self), radix: 16) ?? 0
      guard waiting.count >= line.upperBound + size + 2 else { return }
      body += waiting[line.upperBound..<line.upperBound + size]
      waiting.removeSubrange(..<(line.upperBound + size + 2))
      if size == 0 { isWhole = true }
    }
  }
}

/// What a client makes of an event stream, block by block.
struct SimulatedReading {
  struct Block {
    /// The number that the gateway gave it.
    var number: Int?
    /// The id that any client would keep.
    var id: String?
    var lines: [UInt8]
    var name = ""
    var data = ""
    /// Whether a parser makes an event of it.
    var hasData: Bool {
      String(decoding: lines, as: UTF8.self).split { $0.isNewline }.contains { $0 == "data" || $0.hasPrefix("data:") }
    }
  }

  private(set) var blocks: [Block] = []
  /// Blocks that were looked at.
  var checked = 0
  /// The index of the event that comes next; `nil` when that is not known.
  var next: Int? = 0
  var seenEvents = 0
  var ends: [Block] = []
  var lastID = ""
  private var parsed = 0
  private var current = Block(lines: [])

  /// Takes whole lines. What the gateway added in front (no backend tells a `retry`), and comments, are left out.
  mutating func take(_ body: [UInt8], stream: String) {
    while let end = body[parsed...].firstIndex(of: 10) {
      let line = body[parsed...end]
      parsed = end + 1
      let text = String(decoding: line.filter { $0 != 13 && $0 != 10 }, as: UTF8.self)
      if text.isEmpty {
        if !current.lines.isEmpty || current.id != nil {
          current.lines += line
          if let id = current.id { lastID = id }
          blocks.append(current)
        }
        current = Block(lines: [])
      } else if text.hasPrefix("id: \(stream).") {
        current.id = String(text.dropFirst(4))
        current.number = Int(text.dropFirst(5 + stream.utf8.count))
      } else if !text.hasPrefix(":"), !text.hasPrefix("retry: ") {
        if text.hasPrefix("id: ") { current.id = String(text.dropFirst(4)) }
        if text.hasPrefix("event: ") { current.name = String(text.dropFirst(7)) }
        if text.hasPrefix("data: ") { current.data += text.dropFirst(6) }
        current.lines += line
      }
    }
  }

  /// Whether it ends between two blocks.
  func isWhole(_ body: [UInt8]) -> Bool { parsed == body.count && current.lines.isEmpty }
}

extension SimulatedReading.Block {
  /// A member of what is told in JSON.
  func member(_ name: String) -> String {
    guard let range = data.firstRange(of: "\"\(name)\":") else { return "" }
    return String(data[range.upperBound...].drop { $0 == "\"" }.prefix { $0 != "\"" && $0 != "," && $0 != "}" })
  }

  /// Whether the gateway said it.
  var isGateways: Bool {
    ["stream_end", "stream_reset", "control"].contains(name) || (name == "error" && data.contains("\"streamId\""))
  }
}
