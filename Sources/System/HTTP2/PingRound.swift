/// Which streams wait for the answer to which PING. One is on its way at a time; what asks meanwhile shares the next.
struct PingRound {
  /// Who asked.
  enum Asker {
    case stream(HTTP2StreamID)
    case owner
    case shutdown
  }

  /// A client that never answers can't make the lists grow beyond this.
  private static let limit = 1024

  private var waiting: [Asker] = []
  private var inFlight: [Asker] = []
  private var number: UInt64 = 0

  /// Whether a PING is to be sent.
  var isDue: Bool { inFlight.isEmpty && !waiting.isEmpty }

  mutating func ask(_ asker: Asker) {
    if waiting.count < Self.limit { waiting.append(asker) }
  }

  /// A PING is sent now.
  ///
  /// - Returns: the number that it carries.
  mutating func send() -> UInt64 {
    number += 1
    swap(&waiting, &inFlight)
    return number
  }

  /// An answer came.
  ///
  /// - Returns: who waited for it; `nil` when nobody did.
  mutating func answer(_ number: UInt64) -> [Asker]? {
    guard !inFlight.isEmpty, number == self.number else { return nil }
    defer { inFlight = [] }
    return inFlight
  }
}
