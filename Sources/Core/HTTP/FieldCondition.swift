import Bytes

/// What a request's field must be for something to apply to it.
package struct FieldCondition: Sendable, Equatable {
  package enum Test: Sendable, Equatable {
    case isPresent
    case equals(String)
    case hasPrefix(String)
  }

  package let name: FieldName
  package let test: Test

  package init(name: FieldName, test: Test) {
    self.name = name
    self.test = test
  }

  /// Whether one of the fields of that name passes. Values are compared byte by byte.
  package func holds(for fields: borrowing Fields) -> Bool {
    var next = index(in: fields, from: 0)
    while let index = next {
      if passes(fields.value(at: index)) { return true }
      next = self.index(in: fields, from: index + 1)
    }
    return false
  }

  private func index(in fields: borrowing Fields, from start: Int) -> Int? {
    if let known = name.known { return fields.firstIndex(of: known, from: start) }
    return fields.firstIndex(named: name.bytes.span, from: start)
  }

  private func passes(_ value: Span<UInt8>) -> Bool {
    switch test {
    case .isPresent: true
    case .equals(let text): value.equals(text.utf8Span.span)
    case .hasPrefix(let text): value.hasPrefix(text.utf8Span.span)
    }
  }
}
