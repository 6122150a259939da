import HTTP
import JSON
package import Time

/// Where spans go, and of which requests there are any.
package struct TracingSettings: Sendable {
  /// The collector that they are sent to, at `/v1/traces` below its URL; `nil`: there are none.
  package var collector: UpstreamSettings?
  /// Sent with them.
  package var headers: [HeaderSetting] = []
  package var serviceName = "fermata"
  /// What else is true of this process, by the names of OpenTelemetry.
  package var resource: [(name: String, value: String)] = []
  /// The share of the traces that begin here that are recorded.
  package var sample = 0.01
  /// Whether a request without a trace begins one though there is no collector, so that the logs of both sides join.
  package var generates = false
  /// An open stream leaves a span each such time.
  package var progress = Nanoseconds.seconds(60)

  package init() {}

  init(_ reader: JSONReader?, secrets: SecretSource) {
    guard let reader else { return }
    collector = reader.string("endpoint").flatMap { text in
      UpstreamSettings(url: text, fault: { reader.fault("endpoint", $0) })
    }
    headers = HeaderSetting.read(reader, from: secrets)
    Self.settings.read(reader, into: &self)
    if let inner = reader.nested("resource") {
      resource = inner.names.compactMap { name in inner.string(name).map { (name, $0) } }
    }
  }

  package static let settings: [Setting<TracingSettings>] = [
    .text("serviceName", \.serviceName),
    .fraction("sample", \.sample, in: 0...1),
    .switched("generate", \.generates),
    .time("progress", \.progress, in: .seconds(1)...Nanoseconds.seconds(86_400)),
  ]

  var document: JSONValue {
    let headers = headers.map { JSONObject.Member(name: $0.name.string, value: .string($0.origin)) }
    let resource = resource.map { JSONObject.Member(name: $0.name, value: .string($0.value)) }
    var object: JSONObject = [
      "endpoint": collector.map { .string($0.url.description) } ?? .null, "headers": .object(JSONObject(headers)),
      "resource": .object(JSONObject(resource)),
    ]
    for member in Self.settings.members(of: self) { object[member.name] = member.value }
    return .object(object)
  }
}

/// The variables of OpenTelemetry that say the same as settings of `tracing`.
enum TracingVariables {
  /// Each with the setting's path and its value. `k=v,k=v` becomes an object.
  static func overrides(_ environment: [String: String]) -> [(path: [String], value: JSONValue, origin: String)] {
    var found: [(path: [String], value: JSONValue, origin: String)] = []
    func take(_ variable: String, _ name: String, _ read: (String) -> JSONValue) {
      guard let text = environment[variable], !text.isEmpty else { return }
      found.append((path: ["tracing", name], value: read(text), origin: variable))
    }
    take("OTEL_EXPORTER_OTLP_ENDPOINT", "endpoint") { .string($0) }
    take("OTEL_SERVICE_NAME", "serviceName") { .string($0) }
    take("OTEL_EXPORTER_OTLP_HEADERS", "headers") { .object(pairs($0)) }
    take("OTEL_RESOURCE_ATTRIBUTES", "resource") { .object(pairs($0)) }
    return found
  }

  private static func pairs(_ text: String) -> JSONObject {
    var object = JSONObject()
    for pair in text.split(separator: ",") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { object[trimmed(parts[0])] = .string(decoded(trimmed(parts[1]))) }
    }
    return object
  }

  private static func trimmed(_ text: Substring) -> String {
    var rest = text
    while rest.first == " " { rest.removeFirst() }
    while rest.last == " " { rest.removeLast() }
    return String(rest)
  }

  /// Without its percent-encoding, if that is in order.
  private static func decoded(_ text: String) -> String {
    let bytes = text.utf8Span.span
    guard let decoded = PercentEncoding.decoded(bytes, plusIsSpace: false) else { return text }
    return String(validating: decoded, as: UTF8.self) ?? text
  }
}
