package import JSON

/// One thing that is wrong, or unwise, in a flag file.
package struct FlagFault: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Severity: String, Sendable {
    case error, warning
  }

  package var severity: Severity
  package var pointer: JSONPointer
  /// Where the value stands; filled in when the file's text is at hand.
  package var position: JSONPosition
  package var message: String

  package init(_ pointer: JSONPointer, _ message: String, severity: Severity = .error) {
    self.severity = severity
    self.pointer = pointer
    self.position = JSONPosition(line: 1, column: 1)
    self.message = message
  }

  package var description: String {
    let place = "line \(position.line), column \(position.column)"
    let pointer = pointer.steps.isEmpty ? "" : "\(pointer): "
    return "\(place): \(severity.rawValue): \(pointer)\(message)"
  }
}

/// Why a flag file does not take effect: at least one error among its faults.
package struct FlagFileError: Error, Equatable, Sendable, CustomStringConvertible {
  package var faults: [FlagFault]

  /// The first error, which is what one log line has room for.
  package var first: FlagFault {
    faults.first { $0.severity == .error } ?? FlagFault(JSONPointer(), "unusable")
  }

  package var description: String { faults.map(\.description).joined(separator: "\n") }
}
