import Matrix
import Processes
import Streams
import Time

/// What came of a crowd, by the ways in which its streams were read.
struct CrowdTally {
  private struct Row {
    var streams = 0
    var opened = 0
    var sawEnd = 0
    var lost = 0
    var misread = 0
    var troubles: [String] = []
  }

  private var rows: [CrowdWay: Row] = [:]
  /// The streams through the gateway, by their marks.
  private var transports: [String: MatrixTransport] = [:]
  /// Streams that reached the gateway in another way than they should have.
  private var strays: [String] = []
  private var outcomes: [String: Int] = [:]
  /// Streams that the gateway never closed.
  private var open = 0
  /// How long the gateway's last lines may take.
  private static let logDelay = Nanoseconds.seconds(10)

  mutating func add(_ result: CrowdResult) {
    var row = rows[result.way] ?? Row()
    row.streams += 1
    if result.hasOpened { row.opened += 1 }
    if result.outcome.sawEnd { row.sawEnd += 1 }
    row.lost += result.outcome.lost
    if result.outcome.isMisread { row.misread += 1 }
    if let trouble = result.trouble { row.troubles.append(trouble) }
    rows[result.way] = row
    if result.way != .bare { transports[result.mark] = result.transport }
  }

  /// Waits until the gateway has logged the end of every stream.
  mutating func awaitEnds(in gateway: MatrixGateway) async {
    let deadline = SystemClock.now + Self.logDelay
    while true {
      let found = transports.map { mark, transport in (transport, gateway.streams(of: mark)) }
      let streams = found.flatMap(\.1)
      open = streams.count { $0.outcome == nil }
      if open == 0 || SystemClock.now > deadline {
        strays = found.flatMap { transport, streams in
          streams.compactMap(\.wire).filter { $0 != transport.wire }.map {
            "\($0.rawValue) instead of \(transport.title)"
          }
        }
        outcomes = Dictionary(grouping: streams) { $0.outcome ?? "open" }.mapValues(\.count)
        return
      }
      try? await Task.sleep(for: .milliseconds(100))
    }
  }

  var table: String {
    let width = 46
    var lines = ["".padded(to: width) + "streams  opened  saw the end  lost messages  misread"]
    for way in CrowdWay.allCases {
      let row = rows[way] ?? Row()
      lines.append(
        way.title.padded(to: width) + "\(row.streams)".padded(to: 9) + "\(row.opened)".padded(to: 8)
          + "\(row.sawEnd)".padded(to: 13) + "\(row.lost)".padded(to: 15) + "\(row.misread)")
    }
    let ends = outcomes.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    let counts = Dictionary(grouping: transports.values) { $0.id }.mapValues(\.count)
    let ways = MatrixTransport.all.compactMap { way in counts[way.id].map { "\($0) \(way.id)" } }
    return lines.joined(separator: "\n")
      + "\n\nthrough the gateway over \(ways.joined(separator: ", "))\nthe gateway logged \(ends)"
  }

  var complaints: [String] {
    var complaints: [String] = []
    for way in CrowdWay.allCases {
      guard let row = rows[way] else { continue }
      if way.isGuarded, row.lost > 0 { complaints.append("\(way.title): \(row.lost) messages were lost") }
      if !way.isGuarded, row.sawEnd > 0, row.lost == 0 {
        complaints.append("\(way.title): nothing was lost, so the race shows nothing")
      }
      if row.misread > 0 { complaints.append("\(way.title): \(row.misread) streams were not the backend's") }
      if let trouble = row.troubles.first {
        complaints.append("\(way.title): \(row.troubles.count) streams ended badly, the first one \(trouble)")
      }
    }
    // What leaves before it opens shows nothing.
    let (streams, opened) = rows.values.reduce(into: (0, 0)) { sums, row in
      sums = (sums.0 + row.streams, sums.1 + row.opened)
    }
    if opened * 10 < streams * 9 { complaints.append("only \(opened) of \(streams) streams had opened") }
    if let stray = strays.first { complaints.append("\(strays.count) streams were carried by \(stray)") }
    if open > 0 { complaints.append("the gateway left \(open) streams open") }
    let fine = [Outcome.completed, .clientGone].map(\.rawValue)
    for (outcome, count) in outcomes.sorted(by: { $0.key < $1.key }) where !fine.contains(outcome) && outcome != "open"
    {
      complaints.append("the gateway ended \(count) streams as \(outcome)")
    }
    return complaints
  }
}
