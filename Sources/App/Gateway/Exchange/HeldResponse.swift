import Bytes
import HTTP
import Loop
import Streams
import Upstreams

/// A response of which nobody knows yet: its gate holds its body until it is good.
///
/// A separate object, so that its memory is freed while the request lives on.
final class HeldResponse {
  let head: ResponseHead
  let framing: BodyFraming
  var gate: Gate

  init(head: ResponseHead, framing: BodyFraming, gate: consuming Gate) {
    self.head = head
    self.framing = framing
    self.gate = gate
  }

  /// Hands what was held to `owner`, as it came.
  func replay(to owner: any ResponseSink, through input: InputBuffer) {
    gate.withHeld { bytes in
      var offset = 0
      while offset < bytes.count {
        let piece = min(InputBuffer.capacity, bytes.count - offset)
        input.fill(bytes.extracting(offset..<offset + piece))
        owner.received(input, 0..<piece)
        offset += piece
      }
    }
  }
}
