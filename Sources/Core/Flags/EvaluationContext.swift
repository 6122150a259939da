package import JSON

/// What is known about the client whose flag is evaluated: a few well-known slots that rules reach without any
/// search, and whatever else a caller has as `attributes`.
///
/// A slot that is `nil` does not exist for a rule unless `attributes` has a member of that name.
package struct EvaluationContext: Sendable {
  /// A stable identity of the client; without one no fraction is decided.
  package var targetingKey: String?
  /// Product name.
  package var client: String?
  /// The product's version.
  package var version: String?
  /// How the client takes the end of a stream.
  package var capability: String?
  package var route: String?
  package var tenant: String?
  /// The variable `internal`: a client of the operator's own.
  package var isInternal: Bool?
  /// The request headers that the configuration lets rules see: the variable `headers.<name>`.
  package var headers: [Header]
  /// Everything else.
  package var attributes: JSONObject
  /// `$flagd.timestamp`: seconds since 1970.
  package var timestamp: Int

  package struct Header: Sendable {
    /// Lower case.
    package var name: String
    package var value: String

    package init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  package init(
    targetingKey: String? = nil, client: String? = nil, version: String? = nil, capability: String? = nil,
    route: String? = nil, tenant: String? = nil, isInternal: Bool? = nil, headers: [Header] = [],
    attributes: JSONObject = JSONObject(), timestamp: Int = 0
  ) {
    self.targetingKey = targetingKey
    self.client = client
    self.version = version
    self.capability = capability
    self.route = route
    self.tenant = tenant
    self.isInternal = isInternal
    self.headers = headers
    self.attributes = attributes
    self.timestamp = timestamp
  }
}

extension EvaluationContext {
  /// A variable that is found without a search by name.
  enum Slot: String, CaseIterable, Sendable {
    case targetingKey, client, version, capability, route, tenant
    case isInternal = "internal"
  }

  /// The slot's value, else the attribute of that name.
  func value(of slot: Slot) -> JSONValue? {
    let text: String?
    switch slot {
    case .targetingKey: text = targetingKey
    case .client: text = client
    case .version: text = version
    case .capability: text = capability
    case .route: text = route
    case .tenant: text = tenant
    case .isInternal: return isInternal.map(JSONValue.bool) ?? attributes[slot.rawValue]
    }
    return text.map(JSONValue.string) ?? attributes[slot.rawValue]
  }

  /// The value of the header `name` (lower case).
  func header(_ name: String) -> JSONValue? {
    for header in headers where header.name.sameBytes(as: name) { return .string(header.value) }
    return attributes["headers"]?[name]
  }

  /// The member `name` of the whole data, as a path meets it first.
  func member(_ name: String, flagKey: String) -> JSONValue? {
    if let slot = Slot(rawValue: name) { return value(of: slot) }
    switch name {
    case "$flagd": return flagdProperties(flagKey: flagKey)
    case "headers" where !headers.isEmpty: return headersObject
    default: return attributes[name]
    }
  }

  /// All data as one value, for rules that take it whole.
  func wholeData(flagKey: String) -> JSONValue {
    var object = attributes
    for slot in Slot.allCases {
      if let value = value(of: slot) { object[slot.rawValue] = value }
    }
    if !headers.isEmpty { object["headers"] = headersObject }
    object["$flagd"] = flagdProperties(flagKey: flagKey)
    return .object(object)
  }

  private func flagdProperties(flagKey: String) -> JSONValue {
    ["flagKey": .string(flagKey), "timestamp": JSONValue(timestamp)]
  }

  private var headersObject: JSONValue {
    var object = attributes["headers"]?.object ?? JSONObject()
    for header in headers.reversed() { object[header.name] = .string(header.value) }
    return .object(object)
  }
}
