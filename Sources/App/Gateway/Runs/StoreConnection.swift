/// One loop's connection with one server of the store.
struct StoreConnection: Hashable, Comparable, Sendable {
  let server: String
  /// What it is for.
  let use: String
  let loop: Int

  static func < (first: StoreConnection, second: StoreConnection) -> Bool {
    (first.server, first.use, first.loop) < (second.server, second.use, second.loop)
  }
}
