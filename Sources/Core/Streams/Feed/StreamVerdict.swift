/// What the marks of a run's events say of its end, all together.
package struct StreamVerdict: Sendable {
  package private(set) var marks: EventMark = []
  private var errorIsLast = false

  package init() {}

  package mutating func add(_ mark: EventMark) {
    if mark.isEmpty { return }
    // A completion event behind an error means that the backend got over it; a bare `[DONE]` does not.
    if mark.contains(.error) { errorIsLast = true } else if mark.contains(.completion) { errorIsLast = false }
    marks.formUnion(mark)
  }

  package var hasTerminal: Bool { marks.contains(.terminal) }
  package var hasError: Bool { marks.contains(.error) }

  /// The outcome of a clean end.
  package var outcome: Outcome {
    if hasError, errorIsLast || !hasTerminal { return .upstreamError }
    return hasTerminal ? .completed : .incomplete
  }
}
