import Loop

/// A port of loopback for a server that can't choose one itself.
package enum FreePort {
  /// Below those that the system gives to outgoing connections, so that it is free again when the server is restarted.
  package static func pick() throws -> Int {
    for _ in 0..<100 {
      let port = UInt16.random(in: 20_000..<32_000)
      if (try? RawConnection(to: .loopback(port: port))) == nil { return Int(port) }
    }
    throw SupportError("no free port")
  }
}
