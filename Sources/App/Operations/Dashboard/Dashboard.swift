import Bytes
import Gateway
import JSON
import Loop
import Processes
import SSE
import Streams
import Time

/// The dashboard's page and its readers. One question a second goes to the workers, however many pages are open, and one
/// in five seconds while none is; what they answer is kept as a history, and each reader is sent what has changed since
/// it was last sent something.
///
/// Confined to the main thread's loop.
final class Dashboard {
  /// Who follows at once at most.
  static let readerLimit = 16
  /// A reader that takes nothing for so long is given up.
  private static let stallLimit = Nanoseconds.seconds(10)
  /// Bad ends that are remembered, of all workers together.
  private static let endLimit = BadEnds.limit

  private let loop: EventLoop
  private let page: WebPage?
  private(set) var readers: [DashboardReader] = []
  var history = DashboardHistory()
  private(set) var backends = BackendHistory()
  private(set) var ends: [BadEnd] = []
  /// The number of the last bad end that each worker has told.
  private(set) var lastEnds: [Int: Int] = [:]
  /// The last sums of each worker: one that does not answer keeps them.
  private(set) var tallies: [Int: [String: RouteTally]] = [:]
  var timer: Timer?
  private var lastPointAt: MonotonicTime?

  init(loop: EventLoop, page: WebPage?) {
    self.loop = loop
    self.page = page
  }

  var pageAnswer: AdminResponse {
    guard let page else { return .json(status: 404, #"{"error":"this program has no dashboard"}"#) }
    return AdminResponse(contentType: "text/html; charset=utf-8", body: page.html, policy: page.policy)
  }

  /// What open streams the readers want to see.
  var choices: [StreamChoice] { Array(Set(readers.map(\.choice))) }

  /// Takes what the workers know now.
  ///
  /// - Returns: the sums of all routes.
  func take(_ views: [WorkerView], at now: WallTime) -> [String: RouteTally] {
    for view in views {
      tallies[view.worker] = view.routes
      guard let last = view.ends.last else { continue }
      // A question that was asked again may bring the same ends twice.
      ends += view.ends.filter { $0.number > lastEnds[view.worker] ?? 0 }
      lastEnds[view.worker] = max(last.number, lastEnds[view.worker] ?? 0)
    }
    ends.sort { $0.at > $1.at }
    ends.removeLast(max(0, ends.count - Self.endLimit))
    var sums: [String: RouteTally] = [:]
    for tally in tallies.values { for (route, part) in tally { sums[route, default: RouteTally()].add(part) } }
    let open = views.reduce(0) { $0 + $1.open.values.reduce(0, +) }
    let waiting = views.reduce(0) { $0 + $1.waiting.values.reduce(0, +) }
    for back in (0..<newPoints()).reversed() {
      history.add(
        sums, open: open, waiting: waiting, at: WallTime(milliseconds: now.milliseconds - 1000 * Int64(back)))
    }
    backends.add(views, at: loop.readClock())
    return sums
  }

  /// The seconds since the last point. Each gets one: the workers are not asked every second while nobody follows.
  private func newPoints() -> Int {
    let now = loop.readClock()
    guard let last = lastPointAt else {
      lastPointAt = now
      return 1
    }
    // A timer may be a little early.
    let seconds = Int((now - last).seconds + 0.1)
    lastPointAt = last + .seconds(seconds)
    return min(seconds, DashboardHistory.limit)
  }

  func join(_ stream: any AdminStream, _ choice: StreamChoice) {
    let words = Host.randomWords(2)
    let id = StreamID(random: (words[0], words[1]))
    let reader = DashboardReader(stream, id: id, choice: choice, at: loop.readClock())
    readers.append(reader)
    stream.whenGone = { [unowned self, unowned reader] in readers.removeAll { $0 === reader } }
  }

  /// Sends each reader what is new to it.
  func send(_ sections: (StreamChoice) -> [(name: String, text: String)]) {
    let now = loop.readClock()
    var known: [StreamChoice: [(name: String, text: String)]] = [:]
    for reader in readers {
      if reader.isStalled(at: now, limit: Self.stallLimit) {
        reader.stream.close()
        continue
      }
      let own = known[reader.choice] ?? sections(reader.choice)
      known[reader.choice] = own
      reader.send(own, history)
    }
  }

  /// Ends the readers' streams: this process is about to end, or leaves its port to another.
  func end() {
    for reader in readers { reader.end(.draining, reason: "the gateway is shutting down", at: loop.wallTime()) }
    readers.removeAll()
  }
}

/// A page or a terminal that follows.
final class DashboardReader {
  let stream: any AdminStream
  let choice: StreamChoice
  private let id: StreamID
  /// What it was sent last of each section.
  private var known: [String: String] = [:]
  private var points = 0
  private var events: UInt64 = 0
  private var bytes: UInt64 = 0
  private var isFirst = true
  /// When everything that was sent was last taken.
  private var caughtUpAt: MonotonicTime

  init(_ stream: any AdminStream, id: StreamID, choice: StreamChoice, at now: MonotonicTime) {
    self.stream = stream
    self.id = id
    self.choice = choice
    caughtUpAt = now
  }

  func isStalled(at now: MonotonicTime, limit: Nanoseconds) -> Bool {
    if stream.hasTakenAll { caughtUpAt = now }
    return now - caughtUpAt > limit
  }

  /// A reader that has not taken the last event is sent nothing: the next one brings it up to date.
  func send(_ sections: [(name: String, text: String)], _ history: DashboardHistory) {
    guard stream.queuedBytes == 0 else { return }
    let new = history.points(from: points)
    points = history.pointCount
    var text = #"{"points":"# + JSONValue.array(new.map(\.json)).text()
    for section in sections where known[section.name] != section.text {
      known[section.name] = section.text
      text += ",\"\(section.name)\":" + section.text
    }
    text += "}"
    events += 1
    var out = ByteBuffer()
    out.append(isFirst ? "event: snapshot\nid: " : "event: delta\nid: ")
    isFirst = false
    EventID(stream: id, sequence: events).write(to: &out)
    out.append("\ndata: ")
    out.append(text)
    out.append("\n\n")
    bytes += UInt64(text.utf8.count)
    stream.send(out)
  }

  func end(_ outcome: Outcome, reason: String, at now: WallTime) {
    stream.whenGone = nil
    var out = ByteBuffer()
    let end = StreamEnd(stream: id, time: now, outcome: outcome, reason: reason, events: events, bytes: bytes)
    let last = events == 0 ? "" : EventID(stream: id, sequence: events).description
    end.write(lastEventID: last.utf8.span, to: &out)
    stream.end(out)
  }
}
