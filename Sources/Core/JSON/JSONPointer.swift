/// The place of a value inside a document (RFC 6901).
package struct JSONPointer: Hashable, Sendable, CustomStringConvertible {
  /// Member names and array indices from the top, unescaped.
  package var steps: [String]

  package init(_ steps: [String] = []) {
    self.steps = steps
  }

  package func appending(_ step: String) -> Self { Self(steps + [step]) }
  package func appending(_ index: Int) -> Self { Self(steps + [String(index)]) }

  /// `""` for the whole document, else `/flags/a~1b/0`.
  package var description: String {
    steps.map { step in
      var escaped = "/"
      for character in step.unicodeScalars {
        switch character {
        case "~": escaped += "~0"
        case "/": escaped += "~1"
        default: escaped.unicodeScalars.append(character)
        }
      }
      return escaped
    }.joined()
  }
}
