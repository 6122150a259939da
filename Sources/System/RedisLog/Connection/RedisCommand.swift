package import Bytes

/// The arguments of one command while it is put together, framed as they go onto the wire. Used again for every command.
///
/// Framed here because hiredis prints each argument's length with `printf`, one at a time: a third of all instructions
/// that an event in Redis cost.
package final class RedisCommand {
  private var text = ByteBuffer(headroom: 24)
  private var count = 0
  /// An argument whose length is not known before it is written.
  private var part = ByteBuffer()
  /// Whether the whole command was appended as it goes onto the wire.
  private var isFramed = false
  /// Whether its slot is wanted: only a cluster asks for it.
  private let notesSlot: Bool
  /// What it asks, from its name.
  private(set) var kind = RedisCommandKind.control
  /// In which slot of a cluster its first key lies.
  private(set) var slot: Int?
  /// The channel on which it tells what it stores.
  private(set) var channel: String?

  init(notesSlot: Bool = false) { self.notesSlot = notesSlot }

  package func append(_ argument: Span<UInt8>) {
    begin(argument.count)
    text.append(argument)
    text.append("\r\n")
  }

  package func append(_ argument: StaticString) {
    if count == 0 { kind = RedisCommandKind(of: argument.description) }
    begin(argument.utf8CodeUnitCount)
    text.append(argument)
    text.append("\r\n")
  }

  package func append(_ argument: String) {
    if count == 0 { kind = RedisCommandKind(of: argument) }
    begin(argument.utf8.count)
    text.append(argument)
    text.append("\r\n")
  }

  /// Appends an argument that is a key. Of several all lie in the same slot.
  package func append(key: String) {
    if notesSlot, slot == nil { slot = RedisSlot.of(key.utf8Span.span) }
    append(key)
  }

  /// Appends the channel on which a script tells what it stores.
  func append(channel: String) {
    if notesSlot { self.channel = channel }
    append(channel)
  }

  /// Appends a complete command, which must be the only thing that is appended.
  func append(framed: [UInt8], _ kind: RedisCommandKind) {
    self.kind = kind
    text.append(framed.span)
    isFramed = true
  }

  package func append(_ argument: [UInt8]) {
    append(argument.span)
  }

  package func append(_ number: Int) {
    append { $0.append(decimal: number) }
  }

  /// An argument of several parts, which `write` appends.
  package func append(_ write: (inout ByteBuffer) -> Void) {
    part.removeAll()
    write(&part)
    part.withSpan { append($0) }
  }

  private func begin(_ length: Int) {
    count += 1
    text.append(UInt8(ascii: "$"))
    text.append(decimal: length)
    text.append("\r\n")
  }

  /// Completes the command as it goes onto the wire.
  ///
  /// - Returns: how many bytes that are.
  func finish() -> Int {
    if isFramed { return text.count }
    var head = ByteBuffer()
    head.append(UInt8(ascii: "*"))
    head.append(decimal: count)
    head.append("\r\n")
    text.prepend(head.span)
    return text.count
  }

  /// Completes the command, and makes this ready for the next one.
  func takeBytes() -> [UInt8] {
    defer { clear() }
    _ = finish()
    return text.toArray()
  }

  /// Lends the complete command.
  func withText(_ body: (Span<UInt8>) -> Void) { text.withSpan(body) }

  /// Makes it ready for the next one.
  func clear() {
    count = 0
    isFramed = false
    slot = nil
    channel = nil
    if text.allocated > 1 << 20 { text.release() } else { text.removeAll() }
  }
}
