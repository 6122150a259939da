package import Loop

/// Why a connection could not be made.
package struct DialError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Reason: Hashable, Sendable {
    case resolve(ResolveError)
    /// The last address tried, and what it said. Addresses before it failed too.
    case connect(SocketAddress, SocketError)
    /// The time was over; while looking the name up if there is no address.
    case timeout(SocketAddress?)
  }

  package let host: String
  package let port: UInt16
  package let reason: Reason

  package init(host: String, port: UInt16, reason: Reason) {
    self.host = host
    self.port = port
    self.reason = reason
  }

  /// The reason without its values.
  package enum Phase: Sendable {
    case resolve, connect, timeout
  }

  package var phase: Phase {
    switch reason {
    case .resolve: .resolve
    case .connect: .connect
    case .timeout: .timeout
    }
  }

  package var description: String {
    switch reason {
    case .resolve(let error): "resolve: \(error)"
    case .connect(let address, let error): "connect to \(target(address)): \(error)"
    case .timeout(let address?): "connect to \(target(address)): no answer in time"
    case .timeout(nil): "resolve \(host): no answer in time"
    }
  }

  private func target(_ address: SocketAddress) -> String {
    address.host == host ? address.description : "\(host) (\(address))"
  }
}
