import Bytes
import RedisLog
import Testing

/// What a gateway has written to a run's stream, read as docs/protocol.md describes it: one for each block, whether it has
/// an entry of its own or shares one with others.
struct StoredBlock: Equatable, CustomStringConvertible {
  var id: String
  var text: String
  var kind = ""
  var mark = 0
  /// The record, when this is the run's end.
  var end: String?

  init(_ id: String, _ text: String, kind: String = "", mark: Int = 0) {
    self.id = id
    self.text = text
    self.kind = kind
    self.mark = mark
  }

  init(end: String, id: String) {
    self.init(id, "")
    self.end = end
  }

  var description: String { "\(id) \(kind) \(mark) \(end ?? text.debugDescription)" }

  /// - Parameter reply: of XRANGE.
  static func read(_ reply: RedisReply) throws -> [StoredBlock] {
    var blocks: [StoredBlock] = []
    for entry in reply.elements {
      let (id, list) = try #require(entry.firstTwo)
      var fields = list.elements
      var names: [String] = []
      var values: [RedisReply] = []
      while let name = fields.next(), let value = fields.next() {
        names.append(name.text)
        values.append(value)
      }
      if names == ["end"] {
        blocks.append(StoredBlock(end: values[0].text, id: id.text))
      } else if names.first == "a" {
        try blocks.append(contentsOf: readTogether(names, values, until: id.text))
      } else {
        let found = Dictionary(zip(names, values.map(\.text))) { first, _ in first }
        #expect(Set(names).isSubset(of: ["b", "k", "m"]) && found.count == names.count)
        blocks.append(
          StoredBlock(
            id.text, try #require(found["b"]), kind: found["k"] ?? "", mark: try #require(Int(found["m"] ?? "0"))))
      }
    }
    return blocks
  }

  private static func readTogether(_ names: [String], _ values: [RedisReply], until last: String) throws
    -> [StoredBlock]
  {
    let before = values[0].text.split(separator: "-").compactMap { Int($0) }
    try #require(before.count == 2 && (names.count - 1) % 3 == 0)
    var (number, low) = (before[0], before[1])
    var blocks: [StoredBlock] = []
    for place in stride(from: 1, to: names.count, by: 3) {
      #expect(names[place..<place + 3] == ["n", "b", "w"])
      let preceding = try #require(Int(values[place].text))
      let (bytes, words) = (values[place + 1].bytes, values[place + 2].bytes)
      #expect(words.count % 8 == 0)
      var offset = 0
      for word in stride(from: words.count - 8, through: 0, by: -8) {
        let bits = words[word..<word + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let (length, line) = (Int(bits & 0xFFFF_FFFF), Int(bits >> 48 & 0x3F))
        let (own, mark, kind) = (preceding + Int(bits >> 32 & 0xFFFF), Int(bits >> 54 & 0x1F), Int(bits >> 59))
        low = kind == 0 || kind == 2 ? 0 : own == number ? low + 1 : 1
        number = own
        let prefix = String(decoding: bytes[offset..<offset + line], as: UTF8.self)
        #expect(prefix.isEmpty || (prefix.hasPrefix("id: ") && prefix.hasSuffix(".\(number)\n")))
        let text = String(decoding: bytes[offset + line..<offset + length], as: UTF8.self)
        blocks.append(StoredBlock("\(number)-\(low)", text, kind: ["", "", "u", "p", "f"][kind], mark: mark))
        offset += length
      }
      #expect(offset == bytes.count)
    }
    #expect(blocks.count > 1 && blocks.last?.id == last)
    return blocks
  }
}
