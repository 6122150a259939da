import HTTP
import Loop

extension InputBuffer {
  /// Takes a body out of its framing, in place.
  func decode(from offset: Int, with decoder: inout BodyDecoder?) throws(HTTP1Error) -> DecodedBody {
    guard var running = decoder.take() else {
      return DecodedBody(payload: offset..<offset, consumedUpTo: offset, isComplete: true, fault: nil)
    }
    defer { decoder = running }
    return try withMutableBytes { bytes throws(HTTP1Error) in try running.decode(&bytes, from: offset) }
  }
}
