import HTTP
import JSON

/// Which requests go where, and how their streams are treated.
package struct RouteSettings: Sendable {
  package var name: String
  /// A path, or the beginning of one with `*` at its end. `nil`: every path.
  package var path: String?
  /// `nil`: every method.
  package var methods: [String]?
  package var upstreams: [String]
  package var stream: StreamSettings

  init(name: String, upstreams: [String], stream: StreamSettings) {
    self.name = name
    self.upstreams = upstreams
    self.stream = stream
  }

  init(_ reader: JSONReader, defaults: StreamSettings, upstreams known: Set<String>) {
    reader.require("name")
    name = reader.string("name", default: "")
    path = reader.read("path", expected: "a path that starts with \"/\", with \"*\" only at its end") { value in
      guard let text = value.string, text.hasPrefix("/"), !text.dropLast().contains("*") else { return nil }
      return text
    }
    methods = reader.strings("methods")
    reader.require("upstreams")
    upstreams = reader.strings("upstreams") ?? []
    for (index, upstream) in upstreams.enumerated() where !known.contains(upstream) {
      reader.fault(
        "upstreams",
        "[\(index)]: there is no upstream \"\(upstream)\"; known: \(known.sorted().joined(separator: ", "))")
    }
    if reader.has("upstreams"), upstreams.isEmpty { reader.fault("upstreams", "is empty") }
    stream = StreamSettings(reader.nested("stream"), defaults: defaults)
  }
}
