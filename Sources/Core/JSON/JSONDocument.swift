internal import FoundationEssentials

/// A parsed JSON text that still knows where each value stands.
package struct JSONDocument: Sendable {
  package let value: JSONValue
  let text: [UInt8]
  let dialect: JSONDialect
  let limits: JSONLimits

  /// - Throws: the first place where `text` is not valid, is beyond the limits, or names a member twice.
  package init(
    parsing text: [UInt8], dialect: JSONDialect = .json, limits: JSONLimits = .standard
  ) throws(JSONError) {
    var assembly = try JSONAssembly(text: text, dialect: dialect, limits: limits)
    self.value = try assembly.document()
    self.text = text
    self.dialect = dialect
    self.limits = limits
  }

  /// Where the value at `pointer` begins, or the nearest enclosing value that exists.
  ///
  /// Scans the text again: places are asked for only when something is wrong.
  package func position(of pointer: JSONPointer) -> JSONPosition {
    guard let tokens = try? JSONScanner.tokens(of: text, dialect: dialect, limits: limits),
      let assembly = try? JSONAssembly(text: text, dialect: dialect, limits: limits)
    else { return JSONPosition(line: 1, column: 1) }
    var index = 0
    for step in pointer.steps {
      guard let next = assembly.child(step, of: index) else { break }
      index = next
    }
    return JSONPosition(of: tokens[index].start, in: text)
  }
}

extension JSONValue {
  /// - Throws: the first place where `text` is not valid, is beyond the limits, or names a member twice.
  package init(
    parsing text: [UInt8], dialect: JSONDialect = .json, limits: JSONLimits = .standard
  ) throws(JSONError) {
    self = try JSONDocument(parsing: text, dialect: dialect, limits: limits).value
  }

  package init(parsing text: String, dialect: JSONDialect = .json) throws(JSONError) {
    try self.init(parsing: [UInt8](text.utf8), dialect: dialect)
  }
}

/// Puts scanned tokens and decoded scalars together.
struct JSONAssembly {
  private let text: [UInt8]
  private let tokens: [JSONScanner.Token]
  /// What each token means; containers and literals stand for themselves.
  private let scalars: [JSONValue]
  private var index = 0

  init(text: [UInt8], dialect: JSONDialect, limits: JSONLimits) throws(JSONError) {
    self.text = text
    self.tokens = try JSONScanner.tokens(of: text, dialect: dialect, limits: limits)
    self.scalars = try ScalarBatch.decode(tokens, of: text, dialect: dialect)
  }

  mutating func document() throws(JSONError) -> JSONValue {
    let token = tokens[index]
    let scalar = scalars[index]
    index += 1
    switch token.kind {
    case .beginObject: return .object(try members())
    case .beginArray:
      var elements: [JSONValue] = []
      while tokens[index].kind != .endArray { elements.append(try document()) }
      index += 1
      return .array(elements)
    default: return scalar
    }
  }

  private mutating func members() throws(JSONError) -> JSONObject {
    var object: [JSONObject.Member] = []
    var seen = Set<String>()
    while tokens[index].kind != .endObject {
      let name = scalars[index].string ?? ""
      guard seen.insert(name).inserted else {
        let position = JSONPosition(of: tokens[index].start, in: text)
        throw JSONError(position: position, message: "the name \"\(name)\" stands here a second time")
      }
      index += 1
      object.append(JSONObject.Member(name: name, value: try document()))
    }
    index += 1
    return JSONObject(object)
  }

  /// The token that begins the child `step` of the container that begins at token `container`.
  func child(_ step: String, of container: Int) -> Int? {
    let isObject = tokens[container].kind == .beginObject
    guard isObject || tokens[container].kind == .beginArray else { return nil }
    var (current, position) = (container + 1, 0)
    while tokens[current].kind != .endObject, tokens[current].kind != .endArray {
      if isObject {
        if scalars[current].string == step { return current + 1 }
        current += 1
      } else if String(position) == step {
        return current
      }
      current = end(of: current)
      position += 1
    }
    return nil
  }

  /// The token behind the value that begins at token `start`.
  private func end(of start: Int) -> Int {
    var (depth, current) = (0, start)
    repeat {
      switch tokens[current].kind {
      case .beginObject, .beginArray: depth += 1
      case .endObject, .endArray: depth -= 1
      default: break
      }
      current += 1
    } while depth > 0
    return current
  }
}

/// All strings and numbers of a document, decoded by Foundation in one go.
private struct ScalarBatch: DecodableWithConfiguration {
  private struct Fault: Error { var index: Int }

  let values: [JSONValue]

  init(from decoder: any Decoder, configuration numbers: [Bool]) throws {
    var container = try decoder.unkeyedContainer()
    var values: [JSONValue] = []
    values.reserveCapacity(numbers.count)
    for (index, isNumber) in numbers.enumerated() {
      do {
        values.append(
          isNumber ? .number(try container.decode(Double.self)) : .string(try container.decode(String.self)))
      } catch {
        throw Fault(index: index)
      }
    }
    self.values = values
  }

  static func decode(
    _ tokens: [JSONScanner.Token], of text: [UInt8], dialect: JSONDialect
  ) throws(JSONError) -> [JSONValue] {
    var literals: [UInt8] = [UInt8(ascii: "[")]
    var batch: [Int] = []
    for (index, token) in tokens.enumerated() {
      switch token.kind {
      case .name, .string, .number:
        if !batch.isEmpty { literals.append(UInt8(ascii: ",")) }
        literals.append(contentsOf: text[token.start..<token.end])
        batch.append(index)
      default: continue
      }
    }
    literals.append(UInt8(ascii: "]"))
    var result = tokens.map { literal($0, in: text) }
    guard !batch.isEmpty else { return result }
    let decoded: [JSONValue]
    do {
      let decoder = JSONDecoder()
      decoder.allowsJSON5 = dialect == .json5
      let numbers = batch.map { tokens[$0].kind == .number }
      decoded = try decoder.decode(ScalarBatch.self, from: Data(literals), configuration: numbers).values
    } catch {
      let faulty = (error as? Fault).map { tokens[batch[$0.index]] } ?? tokens[batch[0]]
      let message = faulty.kind == .number ? "malformed number" : "malformed string"
      throw JSONError(position: JSONPosition(of: faulty.start, in: text), message: message)
    }
    for (index, value) in zip(batch, decoded) {
      if case .number(let number) = value, !number.isFinite {
        throw JSONError(position: JSONPosition(of: tokens[index].start, in: text), message: "the number is not finite")
      }
      result[index] = value
    }
    return result
  }

  private static func literal(_ token: JSONScanner.Token, in text: [UInt8]) -> JSONValue {
    switch token.kind {
    case .true: .bool(true)
    case .false: .bool(false)
    case .bareName: .string(String(decoding: text[token.start..<token.end], as: UTF8.self))
    default: .null
    }
  }
}
