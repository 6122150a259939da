import Bytes
import SSE
import Time

// The members of the gateway's own events; `EventWriter.event` begins and ends the object that they are in.
extension ByteBuffer {
  mutating func append(member name: StaticString, _ stream: StreamID) {
    appendWord(name) { stream.write(to: &$0) }
  }

  mutating func append(member name: StaticString, _ id: EventID) {
    appendWord(name) { id.write(to: &$0) }
  }

  mutating func append(member name: StaticString, _ time: WallTime) {
    let characters = time.rfc3339Characters
    appendWord(name) { $0.append(characters.span) }
  }

  /// - Parameter word: a text of the program's own, which needs no escaping.
  mutating func append(member name: StaticString, word: String) {
    appendWord(name) { $0.append(word) }
  }

  /// A text from anywhere, of which at most `limit` bytes are taken.
  mutating func append(member name: StaticString, text: Span<UInt8>, limit: Int) {
    append(jsonMember: name)
    append(jsonString: text, limit: limit)
  }

  mutating func append(member name: StaticString, _ number: some FixedWidthInteger) {
    append(jsonMember: name)
    append(decimal: number)
  }

  mutating func append(member name: StaticString, _ flag: Bool) {
    append(jsonMember: name)
    append(flag ? "true" : "false")
  }

  private mutating func appendWord(_ name: StaticString, _ write: (inout ByteBuffer) -> Void) {
    append(jsonMember: name)
    append(UInt8(ascii: "\""))
    write(&self)
    append(UInt8(ascii: "\""))
  }
}
