/// Why the matrix can't be played; says what to do.
struct MatrixFailure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// What has to be installed for some cells; says what.
struct MatrixMissing: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
