package import HTTP
package import JSON
package import Streams

/// Which requests go where, and how they are served.
package struct RouteSettings: Sendable {
  package var name: String
  /// `nil`: every path.
  package var path: PathTemplate?
  /// `nil`: every method.
  package var methods: [HTTP.Method]?
  /// All of them must hold.
  package var conditions: [FieldCondition] = []
  /// Empty where workers feed the runs and nothing else is served.
  package var upstreams: [RouteUpstream]
  package var waterfall: WaterfallPolicy
  /// Bytes of a request's body that are kept for another attempt; 0: none.
  package var replayLimit: Int
  package var cors: CORSPolicy?
  /// What the flag's rules are told besides what is known of the client.
  package var flagAttributes = JSONObject()
  /// The request header that says with `1` or `0` whether a client understands `stream_end`, lower case. `nil`: the
  /// common one.
  package var capabilityHeader: String?
  package var stream: StreamSettings
  /// Whether WebSockets may be opened.
  package var takesWebSockets = false
  /// `nil`: streams are passed on and not kept.
  package var runs: RunSettings?

  init(name: String, upstreams: [RouteUpstream], defaults: RouteDefaults, stream: StreamSettings) {
    self.name = name
    self.upstreams = upstreams
    waterfall = defaults.waterfall
    replayLimit = defaults.replayLimit
    cors = defaults.cors
    self.stream = stream
    updateTransparency()
  }

  init(_ reader: JSONReader, defaults: RouteDefaults, stream: StreamSettings, upstreams known: Set<String>) {
    reader.require("name")
    if reader.string("name")?.isEmpty == true { reader.fault("name", "is empty") }
    let path = reader.template("path")
    let runs = RunSettings(reader, path: path)
    let upstreams = RouteUpstreamReader.read(reader, known: known, isOptional: runs?.isFedByWorkers == true)
    self.init(
      name: reader.string("name", default: ""), upstreams: upstreams, defaults: defaults,
      stream: StreamSettings(reader.nested("stream"), defaults: stream))
    self.path = path
    methods = reader.elements("methods", expected: "a method") { value, _ in
      value.string.flatMap { HTTP.Method($0) }
    }
    if methods?.isEmpty == true { reader.fault("methods", "is empty") }
    conditions = FieldCondition.read(reader)
    waterfall.read(reader)
    replayLimit = reader.replayLimit(default: replayLimit)
    cors = CORSPolicy.read(reader, default: cors)
    flagAttributes = reader.flagAttributes("flagAttributes")
    capabilityHeader = reader.fieldName("capabilityHeader")
    takesWebSockets = reader.bool("websocket", default: false)
    if takesWebSockets, upstreams.isEmpty { reader.fault("websocket", "needs \"upstreams\"") }
    self.runs = runs
    if runs?.isFedByWorkers == true {
      self.stream.suitWorkers(asFarAs: reader.value("stream"))
      if upstreams.isEmpty { limitToReading(reader) }
    }
    updateTransparency()
  }

  /// There is nobody to pass another request to.
  private mutating func limitToReading(_ reader: JSONReader) {
    if let methods, methods != [.get] { reader.fault("methods", "only GET can be served without \"upstreams\"") }
    methods = [.get]
  }

  private mutating func updateTransparency() {
    waterfall.isTransparent = upstreams.count <= 1 && waterfall.gate == .head
  }
}

extension FieldCondition {
  /// The members of `headers`: a value, `true` for any, or `{ prefix: "…" }`.
  fileprivate static func read(_ reader: JSONReader) -> [FieldCondition] {
    guard let reader = reader.nested("headers") else { return [] }
    return reader.names.compactMap { text in
      let test = test(text, reader)
      guard let name = FieldName(text) else {
        reader.fault(text, "is no name of a header")
        return nil
      }
      return test.map { FieldCondition(name: name, test: $0) }
    }
  }

  private static func test(_ name: String, _ reader: JSONReader) -> Test? {
    switch reader.value(name) {
    case .string(let value): return .equals(value)
    case .bool(true): return .isPresent
    case .object:
      guard let inner = reader.nested(name) else { return nil }
      inner.require("prefix")
      return inner.string("prefix").map { .hasPrefix($0) }
    case let other?:
      reader.fault(name, "expected a value, true for any, or { prefix: \"…\" }, found \(other.kindName)")
      return nil
    case nil:
      reader.fault(name, "expected a value, true for any, or { prefix: \"…\" }, found null")
      return nil
    }
  }

  var document: JSONValue {
    switch test {
    case .isPresent: true
    case .equals(let value): .string(value)
    case .hasPrefix(let prefix): ["prefix": .string(prefix)]
    }
  }
}

extension JSONReader {
  func template(_ name: String) -> PathTemplate? {
    guard let text = string(name) else { return nil }
    do {
      return try PathTemplate(parsing: text)
    } catch {
      fault(name, "\(error), found \"\(text)\"")
      return nil
    }
  }

  /// Texts, numbers and switches by name.
  fileprivate func flagAttributes(_ name: String) -> JSONObject {
    guard let reader = nested(name) else { return JSONObject() }
    var attributes = JSONObject()
    for name in reader.names {
      // The flag's own variables are not for routes to set.
      if name == "headers" || name.hasPrefix("$") {
        reader.fault(name, "is not a name for an attribute")
      }
      switch reader.value(name) {
      case .string, .number, .bool: attributes[name] = reader.value(name)
      default: reader.fault(name, "expected a string, a number, true or false")
      }
    }
    return attributes
  }
}
