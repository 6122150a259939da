import Bytes
import HTTP
import Testing

@Suite struct FieldsTests {
  @Test func `known fields are found by any case of their names`() throws {
    let head = try requestHead("GET / HTTP/1.1\r\nhOsT: a\r\nLAST-EVENT-ID: 7\r\nx-own: 1\r\nX-OWN: 2\r\n\r\n")
    let fields = head.fields
    #expect(fields.count == 4)
    #expect(fields.string(.lastEventID) == "7")
    #expect(fields.contains(.host) && !fields.contains(.accept))
    #expect(fields.string(named: "X-Own") == "1")
    #expect(fields.contains(named: "LAST-event-id"))
    #expect(fields.string(.accept) == nil && fields.string(named: "y") == nil)
    #expect(String(copying: fields.name(at: 0)) == "hOsT")
    #expect(fields.known(at: 0) == .host && fields.known(at: 2) == nil)
    let isFound = if let first = fields.first(.lastEventID) { first.equals("7") } else { false }
    #expect(isFound)
  }

  @Test func `all values of a field are walked in order`() throws {
    let head = try requestHead("GET / HTTP/1.1\r\nHost: a\r\nVia: 1\r\nX: y\r\nvia: 2\r\nVIA: 3\r\n\r\n")
    var values: [String] = []
    head.fields.forEachValue(of: .via) { values.append(String(copying: $0)) }
    #expect(values == ["1", "2", "3"])
    #expect(head.fields.count(of: .via) == 3)
    #expect(head.fields.firstIndex(of: .via, from: 2) == 3)
  }

  @Test func `tokens are found in lists`() throws {
    let text = "Connection: a, Keep-Alive ,,\tb\r\nConnection: Close\r\nAccept: text/html, text/event-stream;q=0.9\r\n"
    let fields = try requestHead("GET / HTTP/1.1\r\nHost: a\r\n\(text)\r\n").fields
    #expect(fields.containsToken(.connection, "keep-alive"))
    #expect(fields.containsToken(.connection, "close"))
    #expect(!fields.containsToken(.connection, "keep"))
    #expect(!fields.containsToken(.te, "trailers"))
    #expect(!fields.containsToken(.accept, "text/event-stream"))
    #expect(fields.containsElement(.accept, named: "text/event-stream"))
  }

  @Test(
    arguments: [
      ("stream-end", true), ("Stream-End", true), ("respond-async, stream-end", true), ("stream-end; v=1", true),
      ("stream-end=1", true), ("stream-end = \"x\"", true), ("x=\"a, stream-end\"", false), ("stream-ended", false),
      ("x=\"\\\", \", stream-end", true), ("", false), ("stream", false),
    ])
  func `a preference is found with its parameters left aside`(value: String, expected: Bool) throws {
    let fields = try requestHead("GET / HTTP/1.1\r\nHost: a\r\nPrefer: \(value)\r\n\r\n").fields
    #expect(fields.containsElement(.prefer, named: "stream-end") == expected)
  }

  @Test func `fields are built, replaced and removed`() throws {
    var fields = Fields()
    fields.append(.server, literal: "fermata")
    fields.append(.retryAfter, decimal: 5)
    let name = try #require(FieldName("X-Own"))
    fields.append(name, try #require(FieldValue(" one ")))
    fields.append(name, try #require(FieldValue("two")))
    #expect(fields.lines == ["Server: fermata", "Retry-After: 5", "X-Own: one", "X-Own: two"])
    fields.set(.server, FieldValue(literal: "other"))
    fields.set(name, FieldValue(literal: "three"))
    #expect(fields.lines == ["Retry-After: 5", "Server: other", "X-Own: three"])
    fields.removeAll(.retryAfter)
    fields.removeAll(name)
    #expect(fields.lines == ["Server: other"])
    #expect(!fields.contains(.retryAfter))
    fields.removeAll(try #require(FieldName("server")))
    #expect(fields.isEmpty)
  }

  @Test func `a copy of a head's fields can be changed alone`() throws {
    let head = try requestHead("GET /p HTTP/1.1\r\nHost: a\r\n\r\n")
    var changed = head.fields
    changed.append(.origin, literal: "x")
    #expect(head.fields.lines == ["Host: a"])
    #expect(changed.lines == ["Host: a", "Origin: x"])
  }

  @Test func `fields are written with one space whatever they came with`() throws {
    let head = try requestHead("GET / HTTP/1.1\r\nHost:a\r\nX:  b \r\nY:\r\nZ: \r\nOk: c d\r\n\r\n")
    #expect(written { head.fields.write(into: &$0) } == "Host: a\r\nX: b\r\nY: \r\nZ: \r\nOk: c d\r\n")
  }

  @Test(arguments: ["", " ", "a b", "a:", "a\r\nb", "a\0", "caf\u{e9}", "(a)", String(repeating: "a", count: 1025)])
  func `a name that is not a token is no field name`(name: String) {
    #expect(FieldName(name) == nil)
  }

  @Test(arguments: ["a\r\nb", "a\nb", "a\rb", "\0", "a\u{7f}", "\u{1b}[0m", "a\r\n", "\n"])
  func `a value that could inject a line is no field value`(value: String) {
    #expect(FieldValue(value) == nil)
  }

  @Test func `a valid value keeps its bytes but not the whitespace around them`() {
    #expect(FieldValue("\t a\tb \u{e9} ")?.string == "a\tb \u{e9}")
    #expect(FieldValue("")?.string == "")
    #expect(FieldValue(decimal: -3).string == "-3")
    #expect(FieldName("content-type")?.known == .contentType)
    #expect(FieldName(.etag).string == "ETag")
    #expect(FieldName("X-A") == FieldName("x-a"))
  }
}

@Suite struct KnownFieldTests {
  @Test(arguments: KnownField.allCases)
  func `every case stands beside its name`(field: KnownField) {
    let spelled = "\(field.name)".split(separator: "-").joined().lowercased()
    #expect(spelled == "\(field)".lowercased())
  }

  @Test(arguments: KnownField.allCases)
  func `every name leads back to its case, and near misses to none`(field: KnownField) {
    let name = "\(field.name)"
    #expect(KnownField(name) == field)
    #expect(KnownField(name.lowercased()) == field)
    #expect(KnownField(name.uppercased()) == field)
    #expect(KnownField(name + "x") == nil)
    #expect(KnownField(String(name.dropLast())) == nil || name == "ETag" || name == "TE")
    #expect(KnownField("_" + name.dropFirst()) == nil)
  }

  @Test func `no other byte stands for one of a name, but a letter of the other case`() {
    for field in KnownField.allCases {
      let name = Array("\(field.name)".utf8)
      for index in name.indices {
        for byte in UInt8.min...UInt8.max {
          var other = name
          other[index] = byte
          let isSame = byte == name[index] || (byte ^ name[index] == 0x20 && Character(UnicodeScalar(byte)).isLetter)
          if (KnownField(other.span) == field) != isSame { Issue.record("\(field.name), \(index): \(byte)") }
        }
      }
    }
  }

  @Test func `a set holds what was put in`() {
    var set: KnownFieldSet = [.accept, .xStreamMode]
    #expect(set.contains(.accept) && set.contains(.xStreamMode) && !set.contains(.age))
    set.insert(.age)
    set.remove(.accept)
    #expect(set == [.age, .xStreamMode])
    #expect(set.union([.via]) == [.age, .via, .xStreamMode])
    #expect(KnownFieldSet().isEmpty)
  }

  @Test func `byte sets hold what their grammars say`() {
    let alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    let expected: [(ByteSet, String)] = [
      (.token, alphanumeric + "!#$%&'*+-.^_`|~"),
      (.registeredName, alphanumeric + "-._~!$&'()*+,;="),
      (.target, String(decoding: (0x21...0x7E).filter { $0 != 0x23 }, as: UTF8.self)),
      (.hexadecimal, "0123456789abcdefABCDEF"),
    ]
    for (set, members) in expected {
      let bytes = Set(members.utf8)
      for byte in UInt8.min...UInt8.max { #expect(set.contains(byte) == bytes.contains(byte)) }
    }
    for byte in UInt8.min...UInt8.max {
      let isDigit = ByteSet.hexadecimal.contains(byte)
      #expect((byte.hexadecimalValue != nil) == isDigit)
      if isDigit { #expect(byte.hexadecimalValue == Int(String(UnicodeScalar(byte)), radix: 16)) }
    }
  }
}
