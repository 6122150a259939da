import HTTP
import Loop

extension InputBuffer {
  /// Takes a body out of its framing, in place.
  func decode(from offset: Int, with decoder: inout BodyDecoder) throws(HTTP1Error) -> DecodedBody {
    try withMutableBytes { bytes throws(HTTP1Error) in try decoder.decode(&bytes, from: offset) }
  }
}
