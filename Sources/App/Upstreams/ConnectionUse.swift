/// What an open connection to an upstream does.
package enum ConnectionUse: String, CaseIterable, Sendable {
  /// It carries a request and its answer.
  case busy
  /// It is kept for the next request.
  case idle
}
