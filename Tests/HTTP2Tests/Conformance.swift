import HTTP2
import HTTP2Frames
import Testing

/// What a client sends, and what must become of it.
struct Conformance: Sendable, CustomTestStringConvertible {
  enum Outcome: Sendable, Equatable {
    /// GOAWAY with this code.
    case connectionError(HTTP2ErrorCode)
    /// RST_STREAM with this code; the connection goes on.
    case streamError(UInt32, HTTP2ErrorCode)
    /// Answers with this status on this stream.
    case answer(UInt32, Int)
    /// The PING behind it is answered: the connection goes on, whatever became of the input.
    case goesOn
    case badPreface
    /// Answers, and then has nothing left to do.
    case lastAnswer(UInt32, Int)
  }

  let name: String
  let input: [UInt8]
  let outcome: Outcome
  /// Whether it begins where a connection does.
  let isRaw: Bool

  init(_ name: String, _ input: [[UInt8]], _ outcome: Outcome, isRaw: Bool = false) {
    self.name = name
    self.input = input.flatMap(\.self)
    self.outcome = outcome
    self.isRaw = isRaw
  }

  var testDescription: String { name }

  /// Sends the input cut at `cuts`, then a PING.
  func run(cuts: [Int] = [], answers: Bool = true) throws -> Server {
    let server = try Server(started: !isRaw)
    server.answers = answers
    var offset = 0
    for cut in cuts + [input.count] {
      server.receive(Array(input[offset..<cut]), writing: answers)
      offset = cut
    }
    server.receive(Frames.ping([9, 9, 9, 9, 9, 9, 9, 9]))
    return server
  }

  func check(_ server: Server) {
    let goesOn = server.frames.contains { $0.type == 6 && $0.flags == 1 && $0.payload == [9, 9, 9, 9, 9, 9, 9, 9] }
    switch outcome {
    case .connectionError(let code):
      #expect(server.goAway.map(HTTP2ErrorCode.init(rawValue:)) == code)
      #expect(server.told.last == "over \(code)")
    case .streamError(let id, let code):
      #expect(server.reset(id).map(HTTP2ErrorCode.init(rawValue:)) == code)
      #expect(server.goAway == nil)
      #expect(goesOn)
    case .answer(let id, let status):
      #expect(server.status(id) == "\(status)")
      #expect(server.isEnded(id))
      #expect(server.goAway == nil)
      #expect(goesOn)
    case .goesOn:
      #expect(server.goAway == nil)
      #expect(goesOn)
    case .lastAnswer(let id, let status):
      #expect(server.status(id) == "\(status)")
      #expect(server.isEnded(id))
      #expect(server.told.last == "over no_error")
    case .badPreface: #expect(server.error == .badPreface)
    }
  }
}

/// The rules of RFC 9113 and RFC 7541, one client's fault or freedom at a time.
struct ConformanceTests {
  static let all =
    ConformanceCases.start + ConformanceCases.frames + ConformanceCases.states + ConformanceCases.control
    + ConformanceCases.windows + ConformanceCases.continuations + ConformanceCases.messages + ConformanceCases.sections
    + ConformanceCases.harmless

  @Test(arguments: all)
  func `a client gets what the rules say`(_ rule: Conformance) throws {
    rule.check(try rule.run())
  }

  @Test(arguments: all)
  func `byte by byte it is the same`(_ rule: Conformance) throws {
    guard rule.input.count < 2000 else { return }
    rule.check(try rule.run(cuts: Array(1..<max(1, rule.input.count))))
  }

  @Test(arguments: all.filter { $0.input.count < 2000 })
  func `events do not depend on where the input is cut`(_ rule: Conformance) throws {
    let whole = try rule.run(answers: false)
    for cut in 1..<max(1, rule.input.count) {
      let split = try rule.run(cuts: [cut], answers: false)
      #expect(split.lasting == whole.lasting, "cut at \(cut)")
      #expect(split.error == whole.error, "cut at \(cut)")
      #expect(split.goAway == whole.goAway, "cut at \(cut)")
    }
  }

  @Test func `there are as many cases as in the usual suite`() {
    #expect(Self.all.count >= 146)
    #expect(Set(Self.all.map(\.name)).count == Self.all.count)
  }
}

extension Server {
  /// What it was told, without streams that were reset: those are told of, or not, as the reads fall.
  var lasting: [String] {
    let reset = Set(told.filter { $0.hasPrefix("reset ") }.map { $0.split(separator: " ")[1] })
    return told.filter { line in
      let words = line.split(separator: " ")
      return words.count < 2 || !reset.contains(words[1])
    }
  }
}
