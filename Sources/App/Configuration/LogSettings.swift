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
    format = reader.choice("format") ?? format
    clientAddress = reader.choice("clientAddress") ?? clientAddress
    redact = Set(reader.strings("redact") ?? [])
    progress = reader.duration("progress") ?? progress
  }

  var document: JSONValue {
    [
      "format": .string(format.rawValue), "clientAddress": .string(clientAddress.rawValue),
      "redact": .array(redact.sorted().map { .string($0) }), "progress": .string(progress.text),
    ]
  }
}
