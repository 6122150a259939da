import HTTP
import Telemetry

extension ClientAddressUse {
  /// What the log says of who sent a request: the peer, or whom a trusted proxy names last.
  func text(for client: ForwardedClient, _ fields: borrowing Fields) -> String {
    guard client.isTrusted, let list = fields.string(.xForwardedFor),
      let last = list.split(separator: ",").last?.split(separator: " ").first
    else { return client.logged }
    return text(of: String(last))
  }
}
