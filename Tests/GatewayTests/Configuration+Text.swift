import Configuration
import JSON

extension Configuration {
  /// - Parameter text: a whole configuration file.
  init(_ text: String) throws {
    try self.init(decoding: JSONValue(parsing: text, dialect: .json5))
  }
}
