/// How much of a peer's message framing is taken before it is refused. Counts are bytes unless they say otherwise.
package struct HeadLimits: Sendable, Equatable {
  /// The request line without its CRLF; beyond is 414.
  package var requestLine: Int
  /// The whole head, start line and closing CRLF included; beyond is 431.
  package var head: Int
  /// Number of field lines in a head or a trailer section; beyond is 431.
  package var fields: Int
  /// A whole trailer section.
  package var trailers: Int
  /// All chunk extensions of one body together.
  package var chunkExtensions: Int
  /// Number of 1xx heads before a final one.
  package var informationalResponses: Int

  package init(
    requestLine: Int = 16 * 1024, head: Int = 64 * 1024, fields: Int = 128, trailers: Int = 8 * 1024,
    chunkExtensions: Int = 4 * 1024, informationalResponses: Int = 8
  ) {
    self.requestLine = requestLine
    self.head = head
    self.fields = fields
    self.trailers = trailers
    self.chunkExtensions = chunkExtensions
    self.informationalResponses = informationalResponses
  }
}
