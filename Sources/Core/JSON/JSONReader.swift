/// One mistake in a document, with the path of the value that is wrong: `routes[0].upstreams[1].url`.
package struct DecodingFault: Error, Equatable, Sendable, CustomStringConvertible {
  /// Empty for the document itself.
  package var path: String
  package var message: String

  package init(path: String, message: String) {
    self.path = path
    self.message = message
  }

  package var description: String { path.isEmpty ? message : "\(path): \(message)" }
}

/// All mistakes of one document, in the order they were met. Never empty.
package struct DecodingFaults: Error, Equatable, Sendable, CustomStringConvertible {
  package var faults: [DecodingFault]

  package var description: String { faults.map(\.description).joined(separator: "\n") }
}

/// Reads an object strictly: every getter notes the name it was asked for, checks type and range, and collects
/// mistakes instead of stopping at the first; names nobody asked for are mistakes too.
///
/// Getters return `nil` for an absent member and for a wrong one; the `default:` forms hide the difference, since a
/// document with a mistake is refused as a whole.
package final class JSONReader {
  /// The path of the object, for messages.
  package let path: String
  private let object: JSONObject
  private let collector: FaultCollector
  private var asked: [String] = []
  private var children: [JSONReader] = []

  private init(_ object: JSONObject, path: String, collector: FaultCollector) {
    self.object = object
    self.path = path
    self.collector = collector
  }

  /// Runs `body` over the object `value`.
  /// - Throws: every mistake that the getters met, and every name they did not ask for.
  package static func decode<Result>(
    _ value: JSONValue, path: String = "", _ body: (JSONReader) -> Result
  ) throws(DecodingFaults) -> Result {
    let collector = FaultCollector()
    guard case .object(let object) = value else {
      throw DecodingFaults(faults: [DecodingFault(path: path, message: "expected an object, found \(value.kindName)")])
    }
    let reader = JSONReader(object, path: path, collector: collector)
    let result = body(reader)
    reader.reportUnknown()
    guard collector.faults.isEmpty else { throw DecodingFaults(faults: collector.faults) }
    return result
  }

  /// Every name that `body` asks for in `value`, with its path: what such a document may hold, as far as it goes
  /// down into objects that this one has.
  package static func survey(_ value: JSONValue, _ body: (JSONReader) -> Void) -> [SurveyedName] {
    guard case .object(let object) = value else { return [] }
    let collector = FaultCollector()
    collector.surveyed = []
    body(JSONReader(object, path: "", collector: collector))
    return collector.surveyed ?? []
  }

  /// The names of the object in the order of the text.
  package var names: [String] { object.names }

  package func has(_ name: String) -> Bool { object[name] != nil }

  /// Notes a mistake of the member `name`, or of the object itself.
  package func fault(_ name: String? = nil, _ message: String) {
    collector.add(name.map(path(of:)) ?? path, message)
  }

  /// Notes a mistake of a value somewhere inside a member, whose whole path is `path`.
  package func fault(at path: String, _ message: String) {
    collector.add(path, message)
  }

  /// The path of the member `name`.
  package func path(of name: String) -> String {
    let plain = name.utf8.allSatisfy { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "[") } && !name.isEmpty
    let step = plain ? name : "[\"\(name)\"]"
    return path.isEmpty || !plain ? path + step : "\(path).\(step)"
  }

  /// The member `name` as it is; `nil` when it is absent or null.
  package func value(_ name: String) -> JSONValue? {
    asked.append(name)
    collector.surveyed?.append(SurveyedName(path: path(of: name), isPresent: object[name] != nil))
    guard let value = object[name], !value.isNull else { return nil }
    return value
  }

  /// Notes a mistake when the member `name` is absent.
  package func require(_ name: String) {
    if object[name] == nil { fault(name, "is missing") }
  }

  /// Checks and converts the member `name`; `convert` returns `nil` for a value that is not `expected`.
  package func read<Result>(_ name: String, expected: String, _ convert: (JSONValue) -> Result?) -> Result? {
    guard let value = value(name) else { return nil }
    if let result = convert(value) { return result }
    fault(name, "expected \(expected), found \(Self.excerpt(value))")
    return nil
  }

  /// The reader of the object `name`; `nil` when absent.
  package func nested(_ name: String) -> JSONReader? {
    read(name, expected: "an object") { value in value.object.map { self.child($0, path: self.path(of: name)) } }
  }

  /// A reader for each object in the array `name`; empty when absent.
  package func nestedArray(_ name: String) -> [JSONReader] {
    elements(name) { value, path in value.object.map { self.child($0, path: path) } } ?? []
  }

  /// A reader for each member of the object `name`, whose members are all objects.
  package func nestedMembers(_ name: String) -> [(name: String, reader: JSONReader)] {
    guard let outer = nested(name) else { return [] }
    return outer.names.compactMap { inner in outer.nested(inner).map { (inner, $0) } }
  }

  /// The array `name`, each element converted with its path.
  package func elements<Result>(
    _ name: String, expected: String = "an object", _ convert: (JSONValue, String) -> Result?
  ) -> [Result]? {
    guard let array = read(name, expected: "an array", \.array) else { return nil }
    return array.enumerated().compactMap { index, value in
      let path = "\(self.path(of: name))[\(index)]"
      let result = convert(value, path)
      if result == nil { collector.add(path, "expected \(expected), found \(Self.excerpt(value))") }
      return result
    }
  }

  /// A reader for an object inside a member whose values are of several kinds; `path` is its whole path.
  package func child(_ object: JSONObject, path: String) -> JSONReader {
    let reader = JSONReader(object, path: path, collector: collector)
    children.append(reader)
    return reader
  }

  private func reportUnknown() {
    for name in object.names where !asked.contains(name) {
      let hint = Spelling.nearest(to: name, among: asked).map { "; did you mean \"\($0)\"?" } ?? ""
      fault(name, "unknown name\(hint)")
    }
    for reader in children { reader.reportUnknown() }
  }

  private static func excerpt(_ value: JSONValue) -> String {
    switch value {
    case .array, .object: return value.kindName
    default:
      let text = value.text()
      return text.utf8.count <= 60 ? text : value.kindName
    }
  }
}

/// A name that was asked for.
package struct SurveyedName: Equatable, Sendable {
  package let path: String
  /// Whether the document has it.
  package let isPresent: Bool
}

private final class FaultCollector {
  private(set) var faults: [DecodingFault] = []
  /// `nil`: nobody wants to know.
  var surveyed: [SurveyedName]?

  func add(_ path: String, _ message: String) {
    faults.append(DecodingFault(path: path, message: message))
  }
}
