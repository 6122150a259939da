/// What a stream asks of the network. Implement it to bring another HTTP client.
public protocol StreamTransport: Sendable {
  /// Sends a request and returns when the head of its response is there. Informational heads (1xx) are passed over.
  /// Cancelling the task ends the request.
  ///
  /// - Throws: `TransportError` if there is no response.
  func send(_ request: TransportRequest) async throws -> any TransportResponse
}

/// One request.
public struct TransportRequest: Sendable {
  /// In capital letters.
  public var method: String
  /// The whole address.
  public var url: String
  /// All fields that are to be sent.
  public var headers: [(name: String, value: String)]
  /// Nil for none.
  public var body: [UInt8]?

  /// A request.
  public init(method: String, url: String, headers: [(name: String, value: String)], body: [UInt8]? = nil) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
  }
}

/// A response whose body is still coming.
public protocol TransportResponse: Sendable {
  /// The HTTP status.
  var status: Int { get }
  /// All fields, as they came.
  var headers: [(name: String, value: String)] { get }

  /// The next piece of the body; nil when its framing is complete. Cancelling the task ends the wait.
  ///
  /// - Throws: `TransportError` if the body was cut.
  func next() async throws -> [UInt8]?

  /// Ends the request. What was received is dropped.
  func cancel()
}

/// There is no response, or its body was cut.
public struct TransportError: Error, Sendable {
  /// A sentence for people. Never an address: it may hold a token.
  public var message: String
  /// More was received than the transport may hold, because the consumer was too slow.
  public var isOverflow: Bool
  /// Asking again can't help: the address is none.
  public var isFinal: Bool

  /// An error.
  public init(_ message: String, isOverflow: Bool = false, isFinal: Bool = false) {
    self.message = message
    self.isOverflow = isOverflow
    self.isFinal = isFinal
  }
}
