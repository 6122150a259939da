package import Bytes
import CHiredis

/// The arguments of one command while it is put together. Used again for every command.
@safe
package final class RedisCommand {
  private var text = ByteBuffer()
  /// Where each argument ends.
  private var ends: [Int] = []

  package func append(_ argument: Span<UInt8>) {
    text.append(argument)
    ends.append(text.count)
  }

  package func append(_ argument: StaticString) {
    text.append(argument)
    ends.append(text.count)
  }

  package func append(_ argument: String) {
    text.append(argument)
    ends.append(text.count)
  }

  package func append(_ argument: [UInt8]) {
    append(argument.span)
  }

  package func append(_ number: Int) {
    text.append(decimal: number)
    ends.append(text.count)
  }

  /// An argument of several parts, which `write` appends.
  package func append(_ write: (inout ByteBuffer) -> Void) {
    write(&text)
    ends.append(text.count)
  }

  /// Appends the command as it goes onto the wire, and forgets it.
  ///
  /// - Returns: how many bytes that was; 0 when there is no memory.
  func move(to out: inout ByteBuffer) -> Int {
    defer {
      ends.removeAll(keepingCapacity: true)
      if text.allocated > 1 << 16 { text.release() } else { text.removeAll() }
    }
    let before = out.count
    text.withSpan { Self.write($0, ends: ends, to: &out) }
    return out.count - before
  }

  private static func write(_ text: Span<UInt8>, ends: [Int], to out: inout ByteBuffer) {
    unsafe text.withUnsafeBytes { bytes in
      let base = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
      unsafe withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: ends.count) { pointers in
        unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: ends.count) { lengths in
          var start = 0
          for (index, end) in ends.enumerated() {
            unsafe pointers.initializeElement(at: index, to: base.map { unsafe $0 + start })
            unsafe lengths.initializeElement(at: index, to: end - start)
            start = end
          }
          unsafe format(pointers, lengths, to: &out)
        }
      }
    }
  }

  @unsafe
  private static func format(
    _ pointers: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>, _ lengths: UnsafeMutableBufferPointer<Int>,
    to out: inout ByteBuffer
  ) {
    var formatted: UnsafeMutablePointer<CChar>?
    let length = unsafe redisFormatCommandArgv(
      &formatted, Int32(pointers.count), pointers.baseAddress, lengths.baseAddress)
    guard length > 0, let formatted = unsafe formatted else { return }
    let bytes = unsafe UnsafeBufferPointer(
      start: UnsafeRawPointer(formatted).assumingMemoryBound(to: UInt8.self), count: Int(length))
    unsafe out.append(Span(_unsafeElements: bytes))
    unsafe redisFreeCommand(formatted)
  }
}
