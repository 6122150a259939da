import EventSamples
import Runs
import Streams

/// One request that a played backend got, and what it answers; or what a worker writes.
final class SimulatedAnswer {
  enum State { case asked, streaming, over }

  let number: Int
  private let connection: PlayedConnection?
  let gateway: Int
  let method: String
  let path: String
  /// The number of the client that asked.
  let client: Int
  private(set) var state = State.asked
  /// Whether it has answered with a status that another backend may be asked after.
  private(set) var hasRefused = false
  private(set) var isStream = false
  /// Whether it came to its end by its own framing.
  private(set) var hasEndedWell = false
  /// What it has sent of its stream's body.
  private(set) var body: [UInt8] = []
  /// Its events, each with the blank line, without comments.
  private(set) var events: [[UInt8]] = []
  private(set) var hasTerminal = false
  private(set) var terminalIndex: Int?
  /// What is left of an event of which the first part was sent.
  private var rest = ""

  init(number: Int, on connection: PlayedConnection, of gateway: Int, head: String) {
    self.number = number
    self.connection = connection
    self.gateway = gateway
    let words = head.prefix { $0 != "\r\n" }.split(separator: " ")
    method = words.first.map(String.init) ?? ""
    path = words.count > 1 ? String(words[1]) : ""
    let mark = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("x-mark:") }
    client = mark.flatMap { Int($0.dropFirst(7).filter(\.isNumber)) } ?? -1
  }

  /// What a worker writes.
  init(number: Int) {
    self.number = number
    (connection, gateway, client, method, path) = (nil, -1, -1, "", "")
    isStream = true
  }

  /// Whether it may still answer.
  var isLive: Bool { state != .over && connection?.isClosed == false }
  var isInEvent: Bool { !rest.isEmpty }
  var mark: String { "<b\(number)." }

  func open() {
    guard isLive, state == .asked else { return }
    state = .streaming
    isStream = true
    connection?.openStream()
  }

  func refuse(_ status: Int) {
    guard isLive, state == .asked else { return }
    state = .over
    hasRefused = true
    connection?.send("HTTP/1.1 \(status) No\r\nContent-Length: 2\r\n\r\nno")
  }

  func answerPage() {
    guard isLive, state == .asked else { return }
    state = .over
    connection?.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n<page>")
  }

  /// Sends events of these kinds, cut anywhere.
  func say(_ kinds: [Int], size: Int, cuts: UInt64, withIDs: Bool) {
    open()
    guard isLive, state == .streaming else { return }
    var random = SeededGenerator(seed: cuts)
    send(completeRest(), &random)
    for kind in kinds { send(makeEvent(kind, size: size, withIDs: withIDs), &random) }
  }

  func sayHalf(size: Int) {
    open()
    guard isLive, state == .streaming else { return }
    var random = SeededGenerator(seed: UInt64(size))
    send(completeRest(), &random)
    let text = "data: \(mark)e\(events.count + 1)> \(String(repeating: "h", count: size))\n\n"
    let length = 1 + random.below(text.count - 2)
    rest = String(text.dropFirst(length))
    half = text
    send(String(text.prefix(length)), &random)
  }

  /// What was sent of the event that is not whole.
  var partial: [UInt8] { rest.isEmpty ? [] : Array(half.utf8.dropLast(rest.utf8.count)) }
  private var half = ""

  private func completeRest() -> String {
    guard !rest.isEmpty else { return "" }
    events.append(Array(half.utf8))
    defer { rest = "" }
    return rest
  }

  /// - Parameter withTerminal: whether the mark of an end comes before it.
  func end(_ ending: SimulatedStep.Ending, withTerminal: Bool) {
    if ending == .whole { open() }
    guard isLive else { return }
    if withTerminal, state == .streaming {
      var random = SeededGenerator(seed: UInt64(events.count))
      send(completeRest(), &random)
      terminalIndex = terminalIndex ?? events.count
      hasTerminal = true
      let text = "data: [DONE]\n\n"
      events.append(Array(text.utf8))
      send(text, &random)
    }
    guard isLive else { return }
    let wasStreaming = state == .streaming
    state = .over
    switch ending {
    case .whole:
      hasEndedWell = wasStreaming
      connection?.endStream()
    case .finished: connection?.finish()
    case .broken: connection?.fail()
    }
  }

  /// Its connection is of no use any more.
  func breakOff() {
    state = .over
    if connection?.isClosed == false { connection?.fail() }
  }

  func write(size: Int, to run: RunID, in truth: PlayedTruth) {
    guard state != .over, truth.runs[run]?.end == nil else { return }
    let data = "\(mark)e\(events.count + 1)>\(String(repeating: "w", count: size))"
    let text = Array("data: \(data)\n\n".utf8)
    body += text
    events.append(text)
    truth.write(data, to: run)
  }

  func finish(_ run: RunID, _ outcome: Outcome, in truth: PlayedTruth) {
    guard state != .over, truth.runs[run]?.end == nil else { return }
    state = .over
    hasEndedWell = outcome.isCleanEnd
    (hasTerminal, terminalIndex) = (true, events.count - 1)
    truth.finish(run, outcome)
  }

  private func makeEvent(_ kind: Int, size: Int, withIDs: Bool) -> String {
    let name = "\(mark)e\(events.count + 1)>"
    let pad = String(repeating: "x", count: size)
    let text: String
    switch kind {
    case 0: return ":note\n\n"
    case 1: text = "event: token\ndata: \(name) \(pad)\n\n"
    case 2 where withIDs: text = "id: u\(number)-\(events.count + 1)\ndata: \(name)\(pad)\n\n"
    case 3: text = "data: \(name)\(pad)\r\n\r\n"
    case 4: text = "data: \(name)\ndata: \(pad)\n\n"
    case 5: text = ":why\ndata: \(name)\(pad)\n\n"
    case 6: text = "data: {\"choices\":[{\"delta\":{\"content\":\"\(name)\(pad)\"}}]}\n\n"
    case 7 where size % 3 == 0:
      text = "event: done\ndata: \(name)\n\n"
      hasTerminal = true
      terminalIndex = terminalIndex ?? events.count
    default: text = "data: \(name)\(pad)\n\n"
    }
    // Comments are nobody's to keep.
    events.append(Array((kind == 5 ? String(text.dropFirst(5)) : text).utf8))
    return text
  }

  private func send(_ text: String, _ random: inout SeededGenerator) {
    guard !text.isEmpty else { return }
    body += Array(text.utf8)
    var wire = ""
    for piece in cut(text, into: 1 + random.below(3), &random) {
      wire += "\(String(piece.utf8.count, radix: 16))\r\n\(piece)\r\n"
    }
    for piece in cut(wire, into: 1 + random.below(3), &random) { connection?.send(piece) }
  }

  private func cut(_ text: String, into count: Int, _ random: inout SeededGenerator) -> [String] {
    let bytes = Array(text.utf8)
    let places = ([0, bytes.count] + (1..<max(2, count)).map { _ in random.below(bytes.count) }).sorted()
    return zip(places, places.dropFirst()).compactMap {
      $0 < $1 ? String(decoding: bytes[$0..<$1], as: UTF8.self) : nil
    }
  }
}
