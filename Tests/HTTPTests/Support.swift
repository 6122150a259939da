import Bytes
import HTTP

/// What a parser made of an input, in a form that compares.
struct ParsedRequest: Equatable {
  var method: String
  var form: Target.Form
  var path: String
  var query: String?
  var version: HTTPVersion
  var fields: [String]
  var framing: BodyFraming
  var isKeepAlive: Bool
  var consumed: Int

  init(_ head: RequestHead, consumed: Int) {
    method = head.method.name
    form = head.target.form
    path = head.target.pathString
    query = head.target.queryString
    version = head.version
    fields = head.fields.lines
    framing = head.framing
    isKeepAlive = head.isKeepAlive
    self.consumed = consumed
  }
}

struct ParsedResponse: Equatable {
  var status: Int
  var reason: String
  var version: HTTPVersion
  var fields: [String]
  var framing: BodyFraming
  var isKeepAlive: Bool
  var consumed: Int

  init(_ head: ResponseHead, consumed: Int) {
    status = head.status
    reason = String(copying: head.reason)
    version = head.version
    fields = head.fields.lines
    framing = head.declaredFraming
    isKeepAlive = head.isKeepAlive
    self.consumed = consumed
  }
}

extension Fields {
  /// Each field as `name: value`.
  var lines: [String] {
    indices.map { "\(String(copying: name(at: $0))): \(String(copying: value(at: $0)))" }
  }
}

/// The result of feeding an input in pieces: a head, a fault, or neither yet.
enum Parsed<Head: Equatable>: Equatable {
  case head(Head)
  case fault(HTTP1Error)
  case needMore
}

/// Feeds `input` to a fresh parser in pieces that end at `cuts` (ascending).
func parseRequest(_ input: [UInt8], cuts: [Int] = [], limits: HeadLimits = HeadLimits()) -> Parsed<ParsedRequest> {
  var parser = RequestHeadParser()
  var offset = 0
  do {
    for cut in cuts + [input.count] {
      if case .complete(let head, let consumed) = try parser.parse(input.span.extracting(offset..<cut), limits: limits)
      {
        return .head(ParsedRequest(head, consumed: offset + consumed))
      }
      offset = cut
    }
    return .needMore
  } catch {
    return .fault(error)
  }
}

func parseResponse(_ input: [UInt8], cuts: [Int] = [], limits: HeadLimits = HeadLimits()) -> Parsed<ParsedResponse> {
  var parser = ResponseHeadParser()
  var offset = 0
  do {
    for cut in cuts + [input.count] {
      if case .complete(let head, let consumed) = try parser.parse(input.span.extracting(offset..<cut), limits: limits)
      {
        return .head(ParsedResponse(head, consumed: offset + consumed))
      }
      offset = cut
    }
    return .needMore
  } catch {
    return .fault(error)
  }
}

/// The head of a request that must be well-formed.
func requestHead(_ text: String) throws -> RequestHead {
  var parser = RequestHeadParser()
  let bytes = Array(text.utf8)
  guard case .complete(let head, _) = try parser.parse(bytes.span) else { throw IncompleteInput() }
  return head
}

func responseHead(_ text: String) throws -> ResponseHead {
  var parser = ResponseHeadParser()
  let bytes = Array(text.utf8)
  guard case .complete(let head, _) = try parser.parse(bytes.span) else { throw IncompleteInput() }
  return head
}

struct IncompleteInput: Error {}

/// What `write` appends, as text.
func written(_ write: (inout ByteBuffer) -> Void) -> String {
  var buffer = ByteBuffer()
  write(&buffer)
  return String(copying: buffer.span)
}

/// What a decoder made of a body fed in pieces.
struct DecodedPieces: Equatable {
  var payload: [UInt8] = []
  var consumed = 0
  var isComplete = false
  var fault: HTTP1Error?
}

/// Feeds `input` to a fresh decoder in pieces that end at `cuts` (ascending).
func decodeBody(
  _ input: [UInt8], _ framing: BodyFraming, cuts: [Int] = [], limits: HeadLimits = HeadLimits()
) -> DecodedPieces {
  var decoder = BodyDecoder(framing: framing, side: .response, limits: limits)
  var result = DecodedPieces()
  var offset = 0
  for cut in cuts + [input.count] where !result.isComplete && result.fault == nil {
    // Bytes in front that are not to be touched, as in a connection's read buffer.
    var piece: [UInt8] = [0xAA, 0xBB] + input[offset..<cut]
    do throws(HTTP1Error) {
      var span = piece.mutableSpan
      let decoded = try decoder.decode(&span, from: 2)
      result.payload += piece[decoded.payload]
      result.consumed = offset + decoded.consumedUpTo - 2
      result.isComplete = decoded.isComplete
      result.fault = decoded.fault
    } catch {
      result.fault = error
    }
    precondition(piece[0] == 0xAA && piece[1] == 0xBB)
    offset = cut
  }
  return result
}

/// A small repeatable source of numbers (SplitMix64), so that a failure can be run again.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

/// The bytes of `text`, where `⏎` stands for CRLF.
func wire(_ text: String) -> [UInt8] {
  text.utf8.reduce(into: []) { $0.append($1) }.replacingReturns()
}

extension [UInt8] {
  fileprivate func replacingReturns() -> [UInt8] {
    let mark = Array("⏎".utf8)
    var result: [UInt8] = []
    var index = 0
    while index < count {
      if self[index...].starts(with: mark) {
        result += [0x0D, 0x0A]
        index += mark.count
      } else {
        result.append(self[index])
        index += 1
      }
    }
    return result
  }
}
