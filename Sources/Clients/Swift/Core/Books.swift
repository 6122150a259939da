/// The counts and ids of one stream, over all its responses.
struct Books {
  enum Agreement { case agrees, fewer, differs, unknown }

  private static let remembered = 256

  var lastID: String
  var counted = 0
  /// Events before the first one counted; nil if unknown.
  var base: Int? = 0
  /// The gateway said that events are gone for good.
  private(set) var isLossy = false
  private var given: String
  private var sequence: (stream: String, number: Int)?
  private var recent: [Int] = []
  private var isRepeating = false

  init(given: String) {
    lastID = given
    self.given = given
    guard !given.isEmpty else { return }
    let id = GatewayID(given)
    base = id?.number
    sequence = id.map { (String($0.stream), $0.number) }
  }

  /// The events of the next response may repeat the last ones.
  mutating func reconnected() { isRepeating = true }

  /// What follows does not continue what came.
  mutating func reset(reason: String) {
    self = Books(given: "")
    isLossy = reason == "evicted"
  }

  /// Whether this event came before. Otherwise it is remembered.
  mutating func isRepeat(_ event: ServerEvent, hasID: Bool, graceful: Bool) -> Bool {
    if graceful, hasID, let id = GatewayID(event.id) {
      if let sequence, sequence.stream == id.stream, id.number <= sequence.number { return true }
      sequence = (String(id.stream), id.number)
      isRepeating = false
      return false
    }
    guard !event.id.isEmpty else {
      isRepeating = false
      return false
    }
    // A hash, so that large events are not kept.
    let print = event.hashValue
    if isRepeating, recent.contains(print) { return true }
    isRepeating = false
    if recent.count == Self.remembered { recent.removeFirst() }
    recent.append(print)
    return false
  }

  /// Compares stream_end with what came.
  func agreement(_ end: [String: JSONValue]) -> Agreement {
    let total = base.map { $0 + counted }
    let events = end["events"]?.double
    if let events, let total {
      if Double(total) < events { return .fewer }
      if Double(total) > events { return .differs }
    }
    // A stream that continued after a given id and brought nothing may not name it.
    if let last = end["lastEventId"]?.string, last != lastID, !(last.isEmpty && counted == 0 && lastID == given) {
      return .differs
    }
    return events != nil && total != nil ? .agrees : .unknown
  }
}
