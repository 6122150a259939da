/// Why there is nothing to read for those who wait for a run.
enum RunFailure {
  /// No backend gave a good response.
  case noResponse(UpstreamRequestFailure)
  /// The backend's response was no stream; it went to the client that had asked first.
  case noStream
  /// There is no such run any more.
  case gone
  /// It was stopped before there was anything to read.
  case stopped(reason: String)
  /// There is no memory for its request.
  case noRoom
}
