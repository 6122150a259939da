package import Bytes

/// Spans that wait for the collector, each as the JSON that it is sent as. Bounded: what finds no room is dropped.
package struct SpanQueue: Sendable {
  private let spanLimit: Int
  private let byteLimit: Int
  private var spans: [[UInt8]] = []
  private var bytes = 0

  /// - Parameters:
  ///   - spanLimit: spans that wait at most.
  ///   - byteLimit: bytes of all of them.
  package init(spanLimit: Int = 2048, byteLimit: Int = 1 << 20) {
    self.spanLimit = spanLimit
    self.byteLimit = byteLimit
  }

  package var count: Int { spans.count }

  /// - Returns: false where there is no room.
  package mutating func add(_ span: [UInt8]) -> Bool {
    guard spans.count < spanLimit, bytes + span.count <= byteLimit else { return false }
    spans.append(span)
    bytes += span.count
    return true
  }

  /// The oldest, at most `limit`.
  package mutating func take(atMost limit: Int) -> [[UInt8]] {
    let batch = Array(spans.prefix(limit))
    spans.removeFirst(batch.count)
    bytes -= batch.reduce(0) { $0 + $1.count }
    return batch
  }
}

/// The body of one request to a collector.
package enum SpanBatch {
  /// Appends OTLP's `ExportTraceServiceRequest` as JSON.
  ///
  /// - Parameter resource: what is true of all of them.
  package static func write(
    _ spans: [[UInt8]], of resource: [(name: String, value: SpanRecord.Value)], version: String,
    to out: inout ByteBuffer
  ) {
    out.append("{\"resourceSpans\":[{\"resource\":{\"attributes\":" as StaticString)
    SpanRecord.write(resource, to: &out)
    out.append("},\"scopeSpans\":[{\"scope\":{\"name\":\"fermata\",\"version\":" as StaticString)
    out.append(jsonString: version)
    out.append("},\"spans\":[" as StaticString)
    for (index, span) in spans.enumerated() {
      if index > 0 { out.append(UInt8(ascii: ",")) }
      out.append(span)
    }
    out.append("]}]}]}" as StaticString)
  }
}
