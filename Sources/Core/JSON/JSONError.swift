/// A place in a text, counted from 1; columns count bytes.
package struct JSONPosition: Equatable, Sendable {
  package var line: Int
  package var column: Int

  package init(line: Int, column: Int) {
    self.line = line
    self.column = column
  }

  /// The place of the byte at `offset` in `text`.
  package init(of offset: Int, in text: [UInt8]) {
    var (line, lineStart) = (1, 0)
    for index in 0..<min(offset, text.count) where text[index] == UInt8(ascii: "\n") {
      line += 1
      lineStart = index + 1
    }
    self.init(line: line, column: min(offset, text.count) - lineStart + 1)
  }
}

/// Why a text is not the JSON it should be.
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  package var position: JSONPosition
  package var message: String

  package var line: Int { position.line }
  package var column: Int { position.column }
  package var description: String { "line \(line), column \(column): \(message)" }
}

/// What a JSON text may look like.
package enum JSONDialect: Sendable {
  /// RFC 8259 exactly.
  case json
  /// JSON5: comments, trailing commas, unquoted names, single quotes. Not taken from it: `NaN`, `Infinity` and
  /// line breaks inside strings, which are mistakes in a configuration.
  case json5
}

/// How much JSON is read before it is refused.
package struct JSONLimits: Sendable {
  /// Bytes of text.
  package var bytes: Int
  /// Arrays and objects inside one another.
  package var depth: Int
  /// Values and names altogether.
  package var tokens: Int

  package init(bytes: Int = 1 << 20, depth: Int = 64, tokens: Int = 250_000) {
    self.bytes = bytes
    self.depth = depth
    self.tokens = tokens
  }

  package static let standard = JSONLimits()
}
