import Bytes
import FermataClientCore
import SSE

/// How many events a second the library's parser reads, and the gateway's, in turn in one run: their ratio says more than
/// either on a machine that others use too.
@main enum Speed {
  private static let events = 20_000
  /// As a read from a socket has them.
  private static let pieceSize = 16_384
  private static let rounds = 7

  /// Not all events were read.
  private struct Loss: Error { var read: Int }

  static func main() throws {
    let text = (1...events).map { number in
      "id: K4iOEHrIqKEd8FsJcnNBlQ.\(number)\nevent: token\ndata: {\"type\":\"delta\",\"text\":\"word \(number)\"}\n\n"
    }
    let bytes = Array(text.joined().utf8)
    let pieces = stride(from: 0, to: bytes.count, by: pieceSize).map {
      Array(bytes[$0..<min($0 + pieceSize, bytes.count)])
    }
    var (library, gateway) = (Duration.seconds(3600), Duration.seconds(3600))
    for _ in 0..<rounds {
      library = min(library, try measure { read(pieces) })
      gateway = min(gateway, try measure { scan(pieces) })
    }
    let rates = [library, gateway].map { Double(events) / ($0 / .seconds(1)) }
    print("the library's parser: \(Int(rates[0])) events/s, the gateway's: \(Int(rates[1])) events/s")
    print("ratio: \((rates[0] / rates[1] * 100).rounded() / 100)")
  }

  private static func measure(_ count: () -> Int) throws -> Duration {
    let clock = ContinuousClock()
    let began = clock.now
    let read = count()
    let took = clock.now - began
    guard read == events else { throw Loss(read: read) }
    return took
  }

  /// Types, data and ids as strings, for a consumer.
  private static func read(_ pieces: [[UInt8]]) -> Int {
    var parser = FermataClientCore.EventParser(maximumEventBytes: 1 << 24)
    return pieces.reduce(0) { sum, piece in
      sum + parser.feed(piece).count { if case .block = $0 { true } else { false } }
    }
  }

  /// Positions in the piece, for a gateway that hands bytes on.
  private static func scan(_ pieces: [[UInt8]]) -> Int {
    var parser = SSE.EventParser(limit: 1 << 24)
    var count = 0
    for piece in pieces {
      var offset = 0
      taking: while true {
        switch parser.next(in: piece.span, at: &offset) {
        case .event: count += 1
        case .needsMore: break taking
        case .tooLarge: break
        }
      }
    }
    return count
  }
}
