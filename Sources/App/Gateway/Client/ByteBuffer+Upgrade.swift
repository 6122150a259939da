import Bytes

extension ByteBuffer {
  /// Adds to a head that is complete what makes it one of a WebSocket's opening (RFC 6455, 4.1 and 4.2.2).
  mutating func addUpgrade() {
    truncate(to: count - 2)
    append("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" as StaticString)
  }
}
