import JSON
import Time

/// What the events of the dashboard say, as lines of text.
struct TopReport {
  private let known: JSONObject

  init(_ known: JSONObject) {
    self.known = known
  }

  /// - Parameters:
  ///   - width: columns of the terminal, 0: no limit.
  ///   - height: its lines, 0: no limit.
  func lines(width: Int, height: Int) -> [String] {
    var lines = [headline] + wrong + [""] + [numbers, ""]
    lines += Self.table(
      ["ROUTE", "<OPEN", "<WAITING", "<GOOD", "<BAD", "<FIRST p95", "ANSWERS"],
      (known["routes"]?.array ?? []).map(Self.route))
    lines += [""]
    lines += Self.table(
      ["BACKEND", "STATE", "<BACK IN", "<BUSY", "<PASSED ON", "<FAILED", "<CUT", "ANSWERS", "LAST FAULT"],
      (known["backends"]?.array ?? []).map(Self.backend))
    let ended = known["ended"]?.array ?? []
    if !ended.isEmpty {
      lines += [""]
      lines += Self.table(
        ["ENDED BADLY", "OUTCOME", "ROUTE", "BACKEND", "<AFTER", "<EVENTS", "STREAM", "LIMIT", "REASON"],
        ended.prefix(height == 0 ? 200 : 5).map(Self.end))
    }
    let runs = known["runs"]?["count"]?.integer ?? 0
    if runs > 0 { lines += ["", runs == 1 ? "1 run is kept" : "\(runs) runs are kept"] }
    lines += ["", "open streams, sorted by \(known["streams"]?["sort"]?.string ?? "silence")"]
    lines += Self.table(
      ["STREAM", "ROUTE", "MODE", "<AGE", "<LAST SIGN", "<EVENTS", "<BYTES", "<UNSENT", "<WORKER"],
      (known["streams"]?["list"]?.array ?? []).map(Self.stream))
    if height > 0 { lines = Array(lines.prefix(height)) }
    return lines.map { line in width > 0 ? String(line.prefix(width)) : line }
  }

  private var headline: String {
    let state = known["state"] ?? .null
    let silent = state["silent"]?.array ?? []
    let word = !silent.isEmpty ? "worker silent" : state["draining"] == true ? "draining" : "ready"
    return "fermata \(state["version"]?.string ?? "?")  \(word)  up \(uptime(state))  "
      + "\(state["workers"]?.integer ?? 0) workers  "
      + "\(state["clients"]?.integer ?? 0) connections  flags \(state["flags"]?.string ?? "?")"
  }

  private func uptime(_ state: JSONValue) -> String {
    guard let start = state["startedAt"]?.string.flatMap({ WallTime(rfc3339: $0) }),
      let now = state["now"]?.string.flatMap({ WallTime(rfc3339: $0) })
    else { return "?" }
    return Self.time(.number(Double(now.milliseconds - start.milliseconds)))
  }

  private var wrong: [String] {
    let found = (known["wrong"]?.array ?? []).compactMap { $0["text"]?.string }
    return found.isEmpty ? ["Nothing is wrong."] : found.map { "! \($0)" }
  }

  private var numbers: String {
    let point = known["points"]?.array?.last?.array ?? []
    guard point.count == 5 else { return "" }
    return "open \(Self.count(point[1]))   waiting \(Self.count(point[2]))   first event p95 \(Self.time(point[3]))   "
      + "bad in the last minute \(Self.count(point[4]))"
  }

  private static func route(_ route: JSONValue) -> [String] {
    let (judged, bad) = (route["judged"]?.integer ?? 0, route["bad"]?.integer ?? 0)
    let good = judged == 0 ? "-" : "\((judged - bad) * 1000 / judged / 10).\((judged - bad) * 1000 / judged % 10) %"
    return [
      text(route["route"]), count(route["open"]), count(route["waiting"]), good, "\(bad)", time(route["firstEventP95"]),
      answers(route["answers"]),
    ]
  }

  private static func backend(_ backend: JSONValue) -> [String] {
    let back = backend["backInSeconds"]?.integer.map { "\($0) s" } ?? "-"
    let fault = backend["lastFault"] ?? .null
    let told = [clock(fault["at"]), text(fault["reason"]), text(fault["detail"])].filter { !$0.isEmpty }
    return [text(backend["name"]), text(backend["state"]), back]
      + ["busy", "successes", "failures", "truncations"].map { count(backend[$0]) }
      + [answers(backend["answers"]), told.joined(separator: " ")]
  }

  private static func end(_ end: JSONValue) -> [String] {
    [
      clock(end["at"]), text(end["outcome"]), text(end["route"]), text(end["upstream"]), time(end["ms"]),
      count(end["events"]), text(end["id"]), text(end["limit"]), text(end["reason"]),
    ]
  }

  private static func stream(_ stream: JSONValue) -> [String] {
    [
      text(stream["id"]), text(stream["route"]), text(stream["mode"]), time(stream["age"]), time(stream["silence"]),
      count(stream["events"]), bytes(stream["bytes"]), bytes(stream["queued"]), count(stream["worker"]),
    ]
  }

  // MARK: Cells

  /// Nothing that comes from outside may steer the terminal.
  private static func text(_ value: JSONValue?) -> String {
    String((value?.string ?? "").unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : Character($0) })
  }

  /// Of 2026-01-31T12:00:00.000Z the time.
  private static func clock(_ value: JSONValue?) -> String { String((value?.string ?? "").dropFirst(11).prefix(8)) }

  /// The three most frequent statuses.
  private static func answers(_ value: JSONValue?) -> String {
    let all = (value?.object?.members ?? []).sorted { $0.value.integer ?? 0 > $1.value.integer ?? 0 }
    return all.prefix(3).map { "\($0.name): \(count($0.value))" }.joined(separator: ", ")
  }

  private static func count(_ value: JSONValue?) -> String { value?.integer.map(String.init) ?? "-" }

  private static func time(_ value: JSONValue?) -> String {
    guard let milliseconds = value?.number else { return "-" }
    if milliseconds < 1000 { return "\(Int(milliseconds)) ms" }
    let tenths = Int(milliseconds / 100)
    if tenths < 600 { return "\(tenths / 10).\(tenths % 10) s" }
    let seconds = tenths / 10
    return seconds < 3600 ? "\(seconds / 60) min \(seconds % 60) s" : "\(seconds / 3600) h \(seconds % 3600 / 60) min"
  }

  private static func bytes(_ value: JSONValue?) -> String {
    guard var rest = value?.number else { return "-" }
    if rest < 1000 { return "\(Int(rest)) B" }
    for unit in ["kB", "MB", "GB"] {
      rest /= 1000
      guard rest < 1000 else { continue }
      let tenths = Int(rest * 10)
      return rest < 10 ? "\(tenths / 10).\(tenths % 10) \(unit)" : "\(Int(rest)) \(unit)"
    }
    return "\(Int(rest / 1000)) TB"
  }

  /// - Parameter heads: a head that begins with `<` is of a column of numbers, which stand at the right.
  private static func table(_ heads: [String], _ rows: [[String]]) -> [String] {
    let names = heads.map { $0.hasPrefix("<") ? String($0.dropFirst()) : $0 }
    let widths = names.indices.map { column in
      ([names[column]] + rows.map { $0[column] }).map(\.count).max() ?? 0
    }
    return ([names] + rows).map { row in
      row.indices.map { column in
        let gap = String(repeating: " ", count: widths[column] - row[column].count)
        return heads[column].hasPrefix("<") ? gap + row[column] : row[column] + gap
      }.joined(separator: "  ").trimmedEnd
    }
  }
}
