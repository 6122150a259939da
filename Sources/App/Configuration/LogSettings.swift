import JSON
package import Telemetry
package import Time

/// What is logged, and how.
package struct LogSettings: Sendable {
  /// From which level on.
  package var level = LogLevel.info
  package var format = LogFormat.auto
  package var clientAddress = ClientAddressUse.prefix
  /// Parameters of paths that no line holds, by name.
  package var redact: Set<String> = []
  /// How often an open stream leaves a line; zero for never.
  package var progress = Nanoseconds.seconds(300)

  package init() {}

  /// - Parameter reader: of the whole document.
  init(_ reader: JSONReader) {
    if let name = reader.string("logLevel") {
      if let level = LogLevel(name: name) {
        self.level = level
      } else {
        reader.fault("logLevel", "expected debug, info, warning or error, found \"\(name)\"")
      }
    }
    guard let reader = reader.nested("log") else { return }
    Self.settings.read(reader, into: &self)
    redact = Set(reader.strings("redact") ?? [])
  }

  package static let settings: [Setting<LogSettings>] = [
    .choice("format", \.format), .choice("clientAddress", \.clientAddress), .time("progress", \.progress),
  ]

  var document: JSONValue {
    var object = JSONObject(Self.settings.members(of: self))
    object["redact"] = .array(redact.sorted().map { .string($0) })
    return .object(object)
  }
}
