import Bytes

/// A request method (RFC 9110 9). Case-sensitive: `get` is an unknown method, not GET.
package enum Method: Sendable, Hashable {
  case get, head, post, put, delete, connect, options, trace, patch
  /// A token of at most ``maximumLength`` bytes that is none of the above.
  case other(String)

  package static let maximumLength = 32

  init(parsing bytes: Span<UInt8>) throws(HTTP1Fault) {
    if let known = Method(known: bytes) {
      self = known
      return
    }
    guard !bytes.isEmpty, ByteSet.token.containsAll(bytes) else { throw .invalidMethod }
    guard bytes.count <= Method.maximumLength else { throw .methodTooLong }
    self = .other(String(copying: bytes))
  }

  /// `nil` when `text` is not a token of at most ``maximumLength`` bytes.
  package init?(_ text: String) {
    guard let method = try? Method(parsing: text.utf8Span.span) else { return nil }
    self = method
  }

  private init?(known bytes: Span<UInt8>) {
    switch bytes.count {
    case 3 where bytes.equals("GET"): self = .get
    case 3 where bytes.equals("PUT"): self = .put
    case 4 where bytes.equals("POST"): self = .post
    case 4 where bytes.equals("HEAD"): self = .head
    case 5 where bytes.equals("PATCH"): self = .patch
    case 5 where bytes.equals("TRACE"): self = .trace
    case 6 where bytes.equals("DELETE"): self = .delete
    case 7 where bytes.equals("OPTIONS"): self = .options
    case 7 where bytes.equals("CONNECT"): self = .connect
    default: return nil
    }
  }

  package var name: String {
    switch self {
    case .get: "GET"
    case .head: "HEAD"
    case .post: "POST"
    case .put: "PUT"
    case .delete: "DELETE"
    case .connect: "CONNECT"
    case .options: "OPTIONS"
    case .trace: "TRACE"
    case .patch: "PATCH"
    case .other(let token): token
    }
  }

  /// Read-only by definition (RFC 9110 9.2.1).
  package var isSafe: Bool {
    switch self {
    case .get, .head, .options, .trace: true
    default: false
    }
  }

  /// May be sent again after a failure without a second effect (RFC 9110 9.2.2).
  package var isIdempotent: Bool {
    switch self {
    case .put, .delete: true
    default: isSafe
    }
  }
}
