/// The next request.
package struct RequestPlan {
  /// A number for this request and its response.
  package var exchange: Int
  package var attempt: Int
  /// The caller's method, address and body; otherwise a GET.
  package var isOriginal: Bool
  package var url: String
  /// The library's fields; they go with the caller's.
  package var headers: [(name: String, value: String)]
  var isAtStreamPath: Bool

  /// The field `Last-Event-ID`, if it goes with this request.
  package var lastEventID: String? { headers.first { $0.name == "Last-Event-ID" }?.value }

  /// The caller's fields and the library's. The caller's Accept and Accept-Encoding win.
  func merged(_ callers: [(name: String, value: String)]) -> [(name: String, value: String)] {
    var leftOut: Set = ["last-event-id"]
    if !isOriginal { leftOut.formUnion(["content-type", "content-length"]) }
    if isAtStreamPath { leftOut.insert("idempotency-key") }
    var fields = callers.filter { !leftOut.contains($0.name.lowercased()) }
    let given = Set(fields.map { $0.name.lowercased() })
    fields += headers.filter { !given.contains($0.name.lowercased()) || $0.name == "Prefer" }
    return fields
  }
}

/// Addresses, as text.
enum Addresses {
  /// The address with one more query parameter.
  static func with(_ url: String, _ name: String, _ value: String) -> String {
    let parts = url.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
    let fragment = parts.count > 1 ? "#" + parts[1] : ""
    return "\(parts[0])\(parts[0].contains("?") ? "&" : "?")\(name)=\(encoded(value))\(fragment)"
  }

  /// The scheme and the authority of an address.
  private static func origin(of url: String) -> Substring {
    guard let scheme = url.firstRange("://") else { return url[...] }
    return url[..<(url[scheme...].firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? url.endIndex)]
  }

  /// Where `X-Stream-Resume` leads: a path of the same origin, or nil.
  static func named(_ value: String?, from url: String) -> String? {
    guard let value, value.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
    if value.hasPrefix("/") { return value.hasPrefix("//") ? nil : origin(of: url) + value }
    return value.hasPrefix(origin(of: url) + "/") ? value : nil
  }

  /// The address of a path at the origin of another address.
  static func atOrigin(of url: String, _ template: String, _ id: String) -> String {
    let origin = origin(of: url)
    guard let hole = template.firstRange("{id}"), let begin = template.firstIndex(of: "{") else {
      return origin + template
    }
    return "\(origin)\(template[..<begin])\(encoded(id))\(template[hole...])"
  }

  /// Whether an id can be sent as a header field (RFC 9110, 5.5).
  static func fitsField(_ id: String) -> Bool {
    id.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } && id.utf8.first != 0x20 && id.utf8.last != 0x20
  }

  private static func encoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: bytes.append(byte)
      default: bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension String {
  /// The index after the first occurrence of `text`.
  fileprivate func firstRange(_ text: String) -> Index? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}

/// The head of a response.
package struct Head {
  package var status: Int
  private var fields: [String: String] = [:]

  package init(status: Int, fields: [(name: String, value: String)]) {
    self.status = status
    for (name, value) in fields where self.fields[name.lowercased()] == nil {
      self.fields[name.lowercased()] = String(value.trimmed)
    }
  }

  /// The first field of this name, which is lower case; nil if it is missing or empty.
  subscript(_ name: String) -> String? {
    guard let value = fields[name], !value.isEmpty else { return nil }
    return value
  }

  /// A 2xx answer of the right type.
  var isEventStream: Bool {
    // A field that came twice may stand there in one, by commas.
    let kind = (self["content-type"] ?? "").prefix { $0 != ";" && $0 != "," }
    return (200..<300).contains(status) && String(kind).trimmed.lowercased() == "text/event-stream"
  }

  /// Seconds to wait, from `Retry-After` (RFC 9110, 10.2.3: seconds or a date). `date` reads a date.
  package func retryAfter(_ date: (String) -> Double?, wallClock: Double) -> Double? {
    guard let value = self["retry-after"] else { return nil }
    if value.utf8.allSatisfy({ (0x30...0x39).contains($0) }) { return Double(value.prefix(12)) }
    return date(value).map { max(0, $0 - wallClock) }
  }
}

extension String {
  fileprivate var trimmed: Substring {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    let rest = drop(while: isSpace)
    return rest.lastIndex { !isSpace($0) }.map { rest[...$0] } ?? rest.prefix(0)
  }
}

/// What the body of a refusal says (problem+json, or `{"error": {"code": ...}}`).
struct Refusal {
  static let limit = 64 << 10

  var code: String?
  var message: String?
  var document: JSONValue?

  init(_ body: [UInt8]) {
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    let text = body.prefix(Self.limit).dropFirst(body.starts(with: mark) ? mark.count : 0)
    guard let members = JSONValue.object(in: String(decoding: text, as: UTF8.self)) else { return }
    document = .object(members)
    let inner = members["error"]?.object ?? [:]
    for candidate in [members["code"], inner["code"]] where code == nil {
      code = candidate?.string ?? candidate?.integer.map(String.init)
    }
    message =
      inner["message"]?.string ?? members["detail"]?.string ?? members["title"]?.string ?? members["error"]?.string
  }
}
