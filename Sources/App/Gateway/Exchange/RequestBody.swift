import Bytes
import HTTP
import Loop
import Streams
import Upstreams

/// A request's body on its way to backends: what has come of it is kept while it still has to be sent to one.
final class RequestBody {
  let isChunked: Bool
  private(set) var isComplete = false
  /// Whether all that came is kept, so that another backend can have it too.
  private(set) var mayBeReplayed: Bool
  private let limit: Int
  private var kept = ByteBuffer()
  /// Shared by the bodies of all clients.
  private let budget: any ByteBudget
  /// What was taken of it: at least the memory of `kept`.
  private var charged = 0

  enum Taken {
    case taken
    /// It is too large now to be sent to another backend.
    case outgrown
    /// It would have to be kept, and all bodies together have no room for it.
    case refused
  }

  /// - Parameter replayLimit: bytes kept for other backends; 0 keeps nothing that was sent to one.
  init(framing: BodyFraming, replayLimit: Int, budget: any ByteBudget) {
    self.budget = budget
    isChunked = framing == .chunked
    limit = replayLimit
    if case .length(let length) = framing {
      mayBeReplayed = length <= replayLimit
    } else {
      mayBeReplayed = replayLimit > 0
    }
  }

  deinit { budget.giveBack(charged) }

  /// Bytes kept now.
  var keptBytes: Int { kept.count }

  /// Takes in a piece.
  ///
  /// - Parameter isForwarded: whether it is on its way to a backend already.
  func append(_ bytes: Span<UInt8>, isForwarded: Bool) -> Taken {
    guard mayBeReplayed else { return isForwarded || keep(bytes) ? .taken : .refused }
    if kept.count + bytes.count <= limit, keep(bytes) { return .taken }
    mayBeReplayed = false
    if isForwarded {
      release()
      return .outgrown
    }
    return keep(bytes) ? .outgrown : .refused
  }

  private func keep(_ bytes: Span<UInt8>) -> Bool {
    let needed = kept.count + bytes.count
    if needed > charged {
      let wanted = max(needed, 2 * charged, Self.least)
      guard budget.take(wanted - charged) else { return false }
      charged = wanted
      kept.reserve(wanted - kept.count)
    }
    kept.append(bytes)
    return true
  }

  private static let least = 1024

  private func release() {
    kept.release()
    budget.giveBack(charged)
    charged = 0
  }

  func end() { isComplete = true }

  /// Sends what is kept, and the end if it has come.
  func send(to upstream: UpstreamConnection) {
    if !kept.isEmpty {
      if isChunked {
        var frame = ByteBuffer()
        ChunkedEncoder.appendHeader(size: kept.count, to: &frame)
        upstream.send(frame.span)
      }
      kept.withSpan { upstream.send($0) }
      if isChunked { Self.sendLineBreak(to: upstream) }
      if !mayBeReplayed { release() }
    }
    if isComplete { sendEnd(to: upstream) }
  }

  func sendEnd(to upstream: UpstreamConnection) {
    if isChunked {
      var last = ByteBuffer()
      ChunkedEncoder.appendLast(to: &last)
      upstream.send(last.span)
    }
    upstream.requestWasSent()
  }

  private static func sendLineBreak(to upstream: UpstreamConnection) {
    var end = ByteBuffer()
    ChunkedEncoder.appendTrailer(to: &end)
    upstream.send(end.span)
  }

  /// A backend has answered: no other will be asked.
  func forget() {
    mayBeReplayed = false
    release()
  }

  /// Lends what is kept, for a look at what is asked.
  func withKept<Result>(_ body: (Span<UInt8>) -> Result) -> Result {
    kept.withSpan(body)
  }
}
