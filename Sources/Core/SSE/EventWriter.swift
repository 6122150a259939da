package import Bytes

/// Writes what the gateway itself adds to an event stream. Every block it writes has `data`: blocks without it make
/// some client libraries fail.
package enum EventWriter {
  /// A comment line without a blank line behind it: clients that dispatch on every blank line see nothing.
  package static func keepalive(to out: inout ByteBuffer) {
    out.append(":\n")
  }

  /// The comment that opens a stream, so that proxies and clients see its first byte at once.
  package static func opening(to out: inout ByteBuffer) {
    out.append(":ok\n")
  }

  /// - Parameter milliseconds: how long a client waits before it connects again.
  package static func retryLine(milliseconds: Int, to out: inout ByteBuffer) {
    out.append("retry: ")
    out.append(decimal: milliseconds)
    out.append(0x0A)
  }

  /// A whole event of the gateway's own, with one line of data: a JSON object that begins with its `type` and with
  /// `"source":"gateway"`, by which clients leave it out of their counts.
  ///
  /// - Parameter members: appends the other members, each with a comma in front (`append(jsonMember:)`) and none with a
  ///   line ending.
  package static func event(
    _ name: StaticString, type: StaticString, to out: inout ByteBuffer, members: (inout ByteBuffer) -> Void
  ) {
    out.append("event: ")
    out.append(name)
    out.append("\ndata: {\"type\":\"")
    out.append(type)
    out.append("\",\"source\":\"gateway\"")
    members(&out)
    out.append("}\n\n")
  }
}
