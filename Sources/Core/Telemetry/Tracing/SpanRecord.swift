package import Bytes

/// A span that is over, as OpenTelemetry has it. It never holds a query, a header or a payload: whoever makes one puts
/// names, numbers and words into it.
package struct SpanRecord: Sendable {
  /// As OTLP numbers them.
  package enum Kind: Int, Sendable {
    case `internal` = 1
    case server = 2
    case client = 3
  }

  package enum Value: Sendable {
    case text(String)
    case number(Int)
  }

  package struct Event: Sendable {
    package let name: String
    /// Nanoseconds since 1970.
    package let time: UInt64

    package init(_ name: String, at time: UInt64) {
      self.name = name
      self.time = time
    }
  }

  package let name: String
  package let kind: Kind
  package let context: TraceContext
  /// The span that it is a part of; `nil` for a trace's first.
  package let parent: SpanID?
  /// Nanoseconds since 1970.
  package let start: UInt64
  package let end: UInt64
  package var attributes: [(name: String, value: Value)] = []
  package var events: [Event] = []
  package var droppedEvents = 0
  package var links: [TraceContext] = []
  /// What went wrong, if it was an error in the eyes of whoever asked: then its status is Error.
  package var error: String?

  package init(
    _ name: String, _ kind: Kind, _ context: TraceContext, parent: SpanID?, from start: UInt64, to end: UInt64
  ) {
    self.name = name
    self.kind = kind
    self.context = context
    self.parent = parent
    self.start = start
    // A clock that was set back meanwhile must not make it end before it began.
    self.end = max(start, end)
  }

  package mutating func set(_ name: String, _ value: String?) {
    if let value { attributes.append((name, .text(value))) }
  }

  package mutating func set(_ name: String, _ value: Int?) {
    if let value { attributes.append((name, .number(value))) }
  }

  // MARK: - OTLP

  /// Appends it as OTLP's JSON (opentelemetry-proto, "JSON Protobuf Encoding"): ids as hexadecimal digits, numbers of 64
  /// bits as text, enumerations as numbers.
  package func write(to out: inout ByteBuffer) {
    out.append("{\"traceId\":\"" as StaticString)
    context.trace.write(to: &out)
    out.append("\",\"spanId\":\"" as StaticString)
    context.span.write(to: &out)
    if let parent {
      out.append("\",\"parentSpanId\":\"" as StaticString)
      parent.write(to: &out)
    }
    out.append("\",\"name\":" as StaticString)
    out.append(jsonString: name, limit: Self.textLimit)
    out.append(jsonMember: "kind")
    out.append(decimal: kind.rawValue)
    out.append(jsonMember: "startTimeUnixNano")
    out.append(jsonNumberAsText: start)
    out.append(jsonMember: "endTimeUnixNano")
    out.append(jsonNumberAsText: end)
    out.append(jsonMember: "attributes")
    Self.write(attributes, to: &out)
    writeEvents(to: &out)
    writeLinks(to: &out)
    // 0 is Unset, 2 is Error.
    out.append(error == nil ? ",\"status\":{}}" : ",\"status\":{\"code\":2,\"message\":" as StaticString)
    guard let error else { return }
    out.append(jsonString: error, limit: Self.textLimit)
    out.append("}}" as StaticString)
  }

  /// The most bytes of a text.
  private static let textLimit = 1024

  private func writeEvents(to out: inout ByteBuffer) {
    guard !events.isEmpty else { return }
    out.append(jsonMember: "events")
    for (index, event) in events.enumerated() {
      out.append(index == 0 ? "[{\"timeUnixNano\":" : ",{\"timeUnixNano\":" as StaticString)
      out.append(jsonNumberAsText: event.time)
      out.append(jsonMember: "name")
      out.append(jsonString: event.name, limit: Self.textLimit)
      out.append(UInt8(ascii: "}"))
    }
    out.append(UInt8(ascii: "]"))
    guard droppedEvents > 0 else { return }
    out.append(jsonMember: "droppedEventsCount")
    out.append(decimal: droppedEvents)
  }

  private func writeLinks(to out: inout ByteBuffer) {
    guard !links.isEmpty else { return }
    out.append(jsonMember: "links")
    for (index, link) in links.enumerated() {
      out.append(index == 0 ? "[{\"traceId\":\"" : ",{\"traceId\":\"" as StaticString)
      link.trace.write(to: &out)
      out.append("\",\"spanId\":\"" as StaticString)
      link.span.write(to: &out)
      out.append("\"}" as StaticString)
    }
    out.append(UInt8(ascii: "]"))
  }

  /// Appends a list of OTLP's `KeyValue`.
  package static func write(_ attributes: [(name: String, value: Value)], to out: inout ByteBuffer) {
    out.append(UInt8(ascii: "["))
    for (index, attribute) in attributes.enumerated() {
      out.append(index == 0 ? "{\"key\":" : ",{\"key\":" as StaticString)
      out.append(jsonString: attribute.name, limit: textLimit)
      switch attribute.value {
      case .text(let text):
        out.append(",\"value\":{\"stringValue\":" as StaticString)
        out.append(jsonString: text, limit: textLimit)
      case .number(let number):
        out.append(",\"value\":{\"intValue\":\"" as StaticString)
        out.append(decimal: number)
        out.append(UInt8(ascii: "\""))
      }
      out.append("}}" as StaticString)
    }
    out.append(UInt8(ascii: "]"))
  }
}

extension ByteBuffer {
  fileprivate mutating func append(jsonNumberAsText number: UInt64) {
    append(UInt8(ascii: "\""))
    append(decimal: number)
    append(UInt8(ascii: "\""))
  }
}
