package import Streams

/// One cell of the matrix: `curl/legacy/h1/B01`.
package struct CellID: Hashable, Sendable, CustomStringConvertible {
  package let client: String
  package let mode: Mode
  package let transport: String
  package let behaviour: String

  package init(client: String, mode: Mode, transport: String, behaviour: String) {
    (self.client, self.mode, self.transport, self.behaviour) = (client, mode, transport, behaviour)
  }

  package init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 4, let mode = Mode(rawValue: parts[1]) else { return nil }
    self.init(client: parts[0], mode: mode, transport: parts[2], behaviour: parts[3])
  }

  package var description: String { "\(client)/\(mode.rawValue)/\(transport)/\(behaviour)" }
}
