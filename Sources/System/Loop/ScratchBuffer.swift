package import Bytes

/// A loop's one buffer for building output within one turn. Empty it before use and don't keep bytes in it across
/// turns.
package final class ScratchBuffer {
  package var buffer = ByteBuffer(headroom: 16)

  package init() {}
}
