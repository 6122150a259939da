import Bytes
import JSON
import Telemetry

extension LogEvent.Form {
  /// Whether a line is as the form says: its level, and its fields with their order. For debug builds.
  ///
  /// - Parameter start: where the line begins in `lines`; it is the last one there.
  func fits(_ lines: borrowing ByteBuffer, from start: Int, _ level: LogLevel) -> Bool {
    let text = lines.withSpan { [UInt8](copying: $0.extracting(start...)) }
    let line = Array(text.drop { $0 != UInt8(ascii: "{") })
    guard levels.contains(level), let object = (try? JSONValue(parsing: line))?.object else { return false }
    var rest = fieldNames[...]
    for name in object.names.dropFirst(Self.common.count) {
      guard let place = rest.firstIndex(of: name) else { return false }
      rest = rest[(place + 1)...]
    }
    return object.names.prefix(Self.common.count) == Self.common[...] && object["event"]?.string == name.description
  }

  /// What every line begins with.
  package static let common = ["time", "level", "event"]

  /// The names in ``fields``.
  package var fieldNames: [String] { fields.description.split(separator: " ").map(String.init) }
}
