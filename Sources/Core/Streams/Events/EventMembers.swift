import Bytes
import SSE
import Time

// The members of the gateway's own events; `EventWriter.event` begins and ends the object that they are in. Parts of their
// callers, so that the names are stored by instructions: every graceful stream ends with eleven of them.
extension ByteBuffer {
  @inline(__always)
  mutating func append(member name: StaticString, _ stream: StreamID) {
    appendWord(name) { stream.write(to: &$0) }
  }

  @inline(__always)
  mutating func append(member name: StaticString, _ id: EventID) {
    appendWord(name) { id.write(to: &$0) }
  }

  @inline(__always)
  mutating func append(member name: StaticString, _ time: WallTime) {
    let characters = time.rfc3339Characters
    appendWord(name) { $0.append(characters.span) }
  }

  /// - Parameter word: a text of the program's own, which needs no escaping.
  @inline(__always)
  mutating func append(member name: StaticString, word: String) {
    appendWord(name) { $0.append(word) }
  }

  /// A text from anywhere, of which at most `limit` bytes are taken.
  @inline(__always)
  mutating func append(member name: StaticString, text: Span<UInt8>, limit: Int) {
    begin(member: name)
    append(jsonString: text, limit: limit)
  }

  @inline(__always)
  mutating func append(member name: StaticString, text: String, limit: Int) {
    begin(member: name)
    append(jsonString: text, limit: limit)
  }

  @inline(__always)
  mutating func append(member name: StaticString, _ number: some FixedWidthInteger) {
    begin(member: name)
    append(decimal: number)
  }

  @inline(__always)
  mutating func append(member name: StaticString, _ flag: Bool) {
    begin(member: name)
    append(flag ? "true" : "false")
  }

  @inline(__always)
  private mutating func appendWord(_ name: StaticString, _ write: (inout ByteBuffer) -> Void) {
    begin(member: name)
    append(UInt8(ascii: "\""))
    write(&self)
    append(UInt8(ascii: "\""))
  }

  @inline(__always)
  private mutating func begin(member name: StaticString) {
    append(",\"")
    append(name)
    append("\":")
  }
}
