/// A client's connection, as its roster sees it: whatever carries requests, and however many at a time.
///
/// Called on its loop.
protocol Client: IdleClient {
  /// Its place in the roster; -1 when it is in none.
  var rosterIndex: Int { get set }
  /// Begins to read.
  func start()
  /// Calls `body` with each request that is being served, and its way back to the client.
  func forEachExchange(_ body: (any ClientExchange, any ClientStream) -> Void)
  /// The loop drains: closes when nothing is being served and the client has had what it came for. One that has just
  /// connected is still answered.
  func retire()
  /// Breaks the connection.
  func abandon()
}
