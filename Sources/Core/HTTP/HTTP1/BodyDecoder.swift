import Bytes

/// What one call of ``BodyDecoder/decode(_:from:)`` found.
package struct DecodedBody: Sendable, Equatable {
  /// Where the body's bytes now stand in the input, in one piece. Empty when there were none.
  package var payload: Range<Int>
  /// Everything before it has been used. The input's end, unless the body is complete or faulty.
  package var consumedUpTo: Int
  /// The body has ended; what follows belongs to the next message.
  package var isComplete: Bool
  /// What stopped the decoder after `payload`, which came before it and is good. Every later call throws it.
  package var fault: HTTP1Error?

  package init(payload: Range<Int>, consumedUpTo: Int, isComplete: Bool, fault: HTTP1Error? = nil) {
    self.payload = payload
    self.consumedUpTo = consumedUpTo
    self.isComplete = isComplete
    self.fault = fault
  }
}

/// Takes a body out of its framing, in place and without allocating (RFC 9112 6 and 7).
///
/// Chunks are read strictly: sizes are 1 to 15 hexadecimal digits, lines end in CRLF, and no whitespace stands
/// between a size and its extensions, though RFC 9112 7.1.1 asks recipients to bear it: proxies disagree about it,
/// and disagreement is what smuggling needs. Extensions are dropped. Trailers are checked and kept in `trailers`,
/// but nothing forwards them.
package struct BodyDecoder: Sendable {
  package static let maximumChunkSizeDigits = 15

  package enum Side: Sendable {
    case request, response
  }

  /// Where a body stands when its sender has closed.
  package enum Ending: Sendable, Equatable {
    case complete
    /// The framing promised more. Must stay visible to whoever reads on.
    case truncated
  }

  package let framing: BodyFraming
  private let side: Side
  private var chunks: ChunkedDecoder
  /// Bytes of a `length` body still to come; 0 for other framings.
  package private(set) var remaining: Int
  package private(set) var isComplete: Bool
  private var fault: HTTP1Error?

  package init(framing: BodyFraming, side: Side, limits: HeadLimits = HeadLimits()) {
    self.framing = framing
    self.side = side
    chunks = ChunkedDecoder(limits: limits)
    remaining = if case .length(let length) = framing { length } else { 0 }
    isComplete = !framing.mayHaveBytes
  }

  /// The trailer fields of a chunked body that is complete, if it had any.
  package var trailers: Fields? { isComplete ? chunks.trailers : nil }

  /// Decodes what `bytes` holds from `offset` on. The pieces of several chunks are moved together, so bytes between
  /// `payload` and `consumedUpTo` are clobbered.
  ///
  /// A fault is thrown only when nothing came before it; else it is in the result, with what did.
  package mutating func decode(
    _ bytes: inout MutableSpan<UInt8>, from offset: Int = 0
  ) throws(HTTP1Error) -> DecodedBody {
    if let fault { throw fault }
    precondition(offset >= 0 && offset <= bytes.count)
    if isComplete {
      return DecodedBody(payload: offset..<offset, consumedUpTo: offset, isComplete: true)
    }
    switch framing {
    case .none, .untilClose:
      return DecodedBody(payload: offset..<bytes.count, consumedUpTo: bytes.count, isComplete: false)
    case .length:
      let end = offset + min(remaining, bytes.count - offset)
      remaining -= end - offset
      isComplete = remaining == 0
      return DecodedBody(payload: offset..<end, consumedUpTo: end, isComplete: isComplete)
    case .chunked:
      return try decodeChunks(&bytes, from: offset)
    }
  }

  private mutating func decodeChunks(
    _ bytes: inout MutableSpan<UInt8>, from offset: Int
  ) throws(HTTP1Error) -> DecodedBody {
    var result = DecodedBody(payload: offset..<offset, consumedUpTo: offset, isComplete: false)
    do throws(HTTP1Fault) {
      try chunks.decode(&bytes, into: &result)
    } catch {
      let error: HTTP1Error = side == .request ? .request(error) : .response(error)
      fault = error
      if result.payload.isEmpty { throw error }
      result.fault = error
    }
    isComplete = result.isComplete
    return result
  }

  /// What it means that the sender closes now.
  package func inputClosed() -> Ending {
    isComplete || (framing == .untilClose && fault == nil) ? .complete : .truncated
  }
}
