internal import Time

/// Scripts written as the query of a request, so that any client can choose one: `/script?events=10&interval=5&cut=3`.
///
/// - `delay=MS`: before the head. `status=CODE`, `framing=chunked|length|close`, `type=CONTENT-TYPE`.
/// - `events=N` (0), `interval=MS` (0), `burst=1` (all events in one write), `from=N`: number of the first event,
///   `size=BYTES`: events of so many bytes that carry the time.
/// - `complete=NAME`: a completion event of that type after the events, `trailing=N`: events after it.
/// - `done=1`: ends with OpenAI's `data: [DONE]`.
/// - `cut=N`, `fin=N`, `mid=N`, `stall=N`: after N events reset, close without the last chunk, close inside a chunk, or fall
///   silent. `flood=BYTES`: without a line ending. `trickle=MS`: the events byte by byte.
/// - `garbage=TEXT`: instead of a head. `plain=BYTES`: an ordinary response.
package struct ScriptQuery: Sendable {
  private var values: [String: String] = [:]

  package init(_ query: String) {
    for part in query.split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      values[String(pair[0])] = pair.count > 1 ? Self.decoded(String(pair[1])) : ""
    }
  }

  package var script: Script {
    if let garbage = values["garbage"] { return .garbage(garbage) }
    var steps: [Script.Step] = []
    if let delay = number("delay") { steps.append(.pause(.milliseconds(delay))) }
    if let count = number("plain") {
      let head = Script.Head(
        status: number("status") ?? 200, framing: framing(default: .length(nil)),
        fields: [.init("Content-Type", values["type"] ?? "application/octet-stream")])
      return Script(steps + [.head(head), .flood(count), .end])
    }
    steps.append(.head(head))
    if let flood = number("flood") { steps.append(.flood(flood)) }
    return Script(steps + events + ending)
  }

  private var head: Script.Head {
    var head = Script.Head(status: number("status") ?? 200, framing: framing(default: .chunked))
    if let type = values["type"] { head.fields[0].value = type }
    return head
  }

  private func framing(default: Script.Framing) -> Script.Framing {
    switch values["framing"] {
    case "chunked": .chunked
    case "length": .length(nil)
    case "close": .untilClose
    default: `default`
    }
  }

  /// How the stream breaks and after how many events, if it does.
  private var fault: (after: Int, step: Script.Step)? {
    if let count = number("cut") { return (count, .cut) }
    if let count = number("fin") { return (count, .finish(.unterminated)) }
    if let count = number("mid") { return (count, .finish(.midChunk)) }
    if let count = number("stall") { return (count, .stall) }
    return nil
  }

  private var events: [Script.Step] {
    let count = min(number("events") ?? 0, fault?.after ?? .max)
    let interval = Nanoseconds.milliseconds(number("interval") ?? 0)
    let first = number("from") ?? 1
    guard count > 0 else { return [] }
    if let size = number("size") {
      if values["burst"] != nil { return [.stamped(size: size, count: count)] }
      return [.repeated(count: count, interval: interval, [.stamped(size: size)])]
    }
    let all = (first..<first + count).map { Script.event("token", "{\"n\":\($0)}") }
    if values["burst"] != nil { return [.body(Array(all.joined()))] }
    if let pace = number("trickle") {
      return [.trickle(Array(all.joined()), piece: 1, interval: .milliseconds(pace))]
    }
    return all.flatMap { [.body($0), .pause(interval)] as [Script.Step] }
  }

  private var ending: [Script.Step] {
    if let fault { return [fault.step] }
    var steps: [Script.Step] = []
    if let name = values["complete"] { steps.append(.event(name, "{\"type\":\"\(name)\"}")) }
    for number in 0..<(number("trailing") ?? 0) { steps.append(.event("trailing", "{\"trailing\":\(number + 1)}")) }
    if values["done"] != nil { steps.append(.event(nil, "[DONE]")) }
    return steps + [.end]
  }

  private func number(_ name: String) -> Int? {
    values[name].flatMap { Int($0) }.flatMap { $0 >= 0 && $0 <= 1 << 40 ? $0 : nil }
  }

  /// Percent-decoding; a bad escape stays as it is.
  private static func decoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
