import Bytes

/// Why a request does not open a WebSocket (RFC 6455, 4.2.1).
package enum WebSocketFault: Error, Equatable, Sendable {
  case method, version, body, connection, upgrade, key
  /// Another version of the protocol than 13.
  case protocolVersion

  package var description: String {
    switch self {
    case .method: "a WebSocket is opened with GET"
    case .version: "a WebSocket is opened with HTTP/1.1"
    case .body: "the request that opens a WebSocket has no body"
    case .connection: "Connection must name upgrade"
    case .upgrade: "Upgrade must be exactly websocket"
    case .key: "Sec-WebSocket-Key must be 16 bytes in base64, once"
    case .protocolVersion: "Sec-WebSocket-Version must be 13"
    }
  }
}

/// A request that opens a WebSocket, and how its answer is recognised (RFC 6455, section 4).
package struct WebSocketOpening: Sendable {
  private static let suffix = Array("258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)

  private let accept: [UInt8]

  /// Whether `request` is meant to open one, well or not.
  package static func isWanted(by request: borrowing RequestHead) -> Bool {
    let fields = request.fields
    return fields.contains(.upgrade) && fields.containsElement(.upgrade, named: "websocket")
  }

  /// - Throws: what is wrong with `request`, which wants to open one.
  package init(_ request: borrowing RequestHead) throws(WebSocketFault) {
    let fields = request.fields
    guard request.method == .get else { throw .method }
    guard request.version == .http11 else { throw .version }
    guard !request.framing.mayHaveBytes else { throw .body }
    guard fields.containsToken(.connection, "upgrade") else { throw .connection }
    guard fields.count(of: .upgrade) == 1, fields.isWebSocketUpgrade else { throw .upgrade }
    guard let key = Self.only("sec-websocket-key", in: fields), Self.isKey(key) else { throw .key }
    guard Self.only("sec-websocket-version", in: fields) == Array("13".utf8) else { throw .protocolVersion }
    accept = Array(Base64.encoded(SHA1.digest(key + Self.suffix)).utf8)
  }

  /// Whether the backend has opened it. A status alone is not enough: the answer must be one to this request.
  package func isAccepted(by response: borrowing ResponseHead) -> Bool {
    let fields = response.fields
    guard response.status == 101, fields.containsToken(.connection, "upgrade"), fields.count(of: .upgrade) == 1,
      fields.isWebSocketUpgrade
    else { return false }
    return Self.only("sec-websocket-accept", in: fields) == accept
  }

  private static func only(_ name: String, in fields: borrowing Fields) -> [UInt8]? {
    var values: [[UInt8]] = []
    fields.forEachValue(named: name) { values.append([UInt8](copying: $0.trimmed)) }
    return values.count == 1 ? values[0] : nil
  }

  /// 16 bytes in base64: 22 characters, the last of which has four bits of zero, and two of padding.
  private static func isKey(_ key: [UInt8]) -> Bool {
    key.count == 24 && key.suffix(2) == [0x3D, 0x3D] && key.prefix(22).allSatisfy(isDigit)
      && [0x41, 0x51, 0x67, 0x77].contains(key[21])
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x2B
      || byte == 0x2F
  }
}

extension Fields {
  /// Whether the first `Upgrade` is `websocket` and nothing else.
  fileprivate var isWebSocketUpgrade: Bool {
    guard let index = firstIndex(of: .upgrade) else { return false }
    return value(at: index).equalsIgnoringASCIICase("websocket")
  }
}

extension RequestHead {
  /// Whether a page may open a WebSocket by this request. Browsers let every page do so, and leave it to the server to look
  /// at `Origin` (RFC 6455, 10.2).
  ///
  /// - Parameters:
  ///   - policy: which pages may; without one, those of the host itself may. Who sends no `Origin` is no browser.
  ///   - isSecure: whether the client came over TLS: then a page that did not is another's, whatever its host.
  package func mayOpenWebSocket(by policy: CORSPolicy?, isSecure: Bool) -> Bool {
    let fields = fields
    guard fields.contains(.origin) else { return true }
    if let policy { return policy.allows(self) }
    guard fields.count(of: .origin) == 1, let origin = fields.first(.origin), let host = fields.first(.host),
      let colon = origin.firstIndex(of: UInt8(ascii: ":")), colon + 3 <= origin.count
    else { return false }
    if isSecure, !origin.extracting(first: colon).equalsIgnoringASCIICase("https") { return false }
    let authority = origin.extracting(droppingFirst: colon)
    return authority.hasPrefix("://") && authority.extracting(droppingFirst: 3).equalsIgnoringASCIICase(host)
  }
}
