import Bytes
import HTTP
import Loop

/// A request's body on its way to backends: what has come of it is kept while it still has to be sent to one.
final class RequestBody {
  let isChunked: Bool
  private(set) var isComplete = false
  /// Whether all that came is kept, so that another backend can have it too.
  private(set) var mayBeReplayed: Bool
  private let limit: Int
  private var kept = ByteBuffer()

  /// - Parameter replayLimit: bytes kept for other backends; 0 keeps nothing that was sent to one.
  init(framing: BodyFraming, replayLimit: Int) {
    isChunked = framing == .chunked
    limit = replayLimit
    if case .length(let length) = framing {
      mayBeReplayed = length <= replayLimit
    } else {
      mayBeReplayed = replayLimit > 0
    }
  }

  /// Bytes kept now.
  var keptBytes: Int { kept.count }

  /// Takes in a piece.
  ///
  /// - Parameter isForwarded: whether it is on its way to a backend already.
  /// - Returns: false when it is the one that made the body too large to be sent twice.
  func append(_ bytes: Span<UInt8>, isForwarded: Bool) -> Bool {
    guard mayBeReplayed else {
      if !isForwarded { kept.append(bytes) }
      return true
    }
    if kept.count + bytes.count <= limit {
      kept.append(bytes)
      return true
    }
    mayBeReplayed = false
    if isForwarded { kept.release() } else { kept.append(bytes) }
    return false
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
      if !mayBeReplayed { kept.release() }
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
    kept.release()
  }

  /// Lends what is kept, for a look at what is asked.
  func withKept<Result>(_ look: (Span<UInt8>) -> Result) -> Result {
    kept.withSpan(look)
  }
}
