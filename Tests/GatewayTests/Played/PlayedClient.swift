import Bytes
import Gateway
import HTTP
import Loop
import Streams
import Time

/// A client without a connection: keeps what it is sent, and takes as much as its test says.
final class PlayedClient: ClientStream {
  let forwarded = ForwardedClient(address: "127.0.0.1", isSecure: false, isTrusted: false)
  var wasServed = false
  private(set) var exchange: (any ClientExchange)?
  private(set) var status = 0
  private(set) var fields: [String: String] = [:]
  private(set) var body = ""
  /// How the body ended; `nil` while it has not.
  private(set) var ending: BodyEnd?
  /// Whether the answer was broken off, or the connection closed.
  private(set) var isAbandoned = false
  private(set) var isReading = true
  private(set) var continues = 0
  private(set) var closing: ClosingMachine?
  /// The client takes nothing, so that what it is sent waits.
  var isStuck = false
  private(set) var queuedBytes = 0
  private(set) var lowWater = 0

  var headIsSent: Bool { status != 0 }
  /// Whether nothing more comes.
  var isOver: Bool { ending != nil || isAbandoned }

  func begin(_ exchange: any ClientExchange) {
    self.exchange = exchange
    exchange.begin()
  }

  /// The client's connection is lost.
  func leave() {
    exchange?.clientGone()
    exchange = nil
  }

  /// The client takes what waits for it, down to `rest` bytes.
  func drain(to rest: Int = 0) {
    queuedBytes = min(queuedBytes, rest)
    if queuedBytes <= lowWater { exchange?.clientDrained() }
  }

  /// The events of the body, without comments.
  var events: [String] {
    let lines = body.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix(":") }
    return lines.joined(separator: "\n").split(separator: "\n\n").map(String.init)
  }

  /// The value of a member of `stream_end`; `nil` when there is none.
  func end(_ member: String) -> String? {
    guard let last = events.last(where: { $0.contains("event: stream_end") }),
      let range = last.firstRange(of: "\"\(member)\":")
    else { return nil }
    let value = last[range.upperBound...].drop { $0 == "\"" }
    return String(value.prefix { $0 != "\"" && $0 != "," && $0 != "}" })
  }

  /// A member of an answer in JSON; empty where it has none of that name.
  func member(_ name: String) -> String {
    guard let range = body.firstRange(of: "\"\(name)\":") else { return "" }
    return String(body[range.upperBound...].drop { $0 == "\"" }.prefix { $0 != "\"" && $0 != "," && $0 != "}" })
  }

  var stream: String { fields["x-stream-id"] ?? "" }
  /// The data of the backend's events.
  var data: [String] {
    body.split(separator: "\n").filter { $0.hasPrefix("data: ") && !$0.contains("\"type\"") }
      .map { String($0.dropFirst(6)) }
  }

  /// The code of a refusal, or of any answer that has one.
  var code: String? {
    guard let range = body.firstRange(of: "\"code\":\"") else { return nil }
    return String(body[range.upperBound...].prefix { $0 != "\"" })
  }

  // MARK: - ClientStream

  func sendContinue() { continues += 1 }
  func pauseReading() { isReading = false }
  func resumeReading() { isReading = true }

  func sendHead(_ draft: borrowing ResponseDraft, body: BodyPlan) { take(draft) }

  private func take(_ draft: borrowing ResponseDraft) {
    guard status == 0 else { return }
    status = draft.status
    draft.forEachField { name, value in
      fields[String(copying: name).lowercased()] = String(copying: value)
    }
  }

  private func take(_ bytes: Span<UInt8>) {
    guard !isOver else { return }
    body += String(copying: bytes)
    if isStuck { queuedBytes += bytes.count }
  }

  func send(_ input: InputBuffer, _ range: Range<Int>) { take(input.slice(range)) }

  func send(_ out: inout ByteBuffer) {
    take(out.span)
    out.removeAll()
  }

  func send(_ bytes: Span<UInt8>) { take(bytes) }

  func end(_ end: BodyEnd, _ rest: inout ByteBuffer, closing: (machine: ClosingMachine, label: CloseLabel)?) {
    take(rest.span)
    rest.removeAll()
    if ending == nil { ending = end }
    self.closing = closing?.machine
  }

  func answer(_ draft: borrowing ResponseDraft, _ body: Span<UInt8>) {
    take(draft)
    take(body)
    ending = .complete
  }

  func refuse(_ response: borrowing ErrorResponse) {
    take(response.draft)
    take(response.body.span)
    ending = .complete
  }

  func abandon() { isAbandoned = true }
  func close() { isAbandoned = true }
  func setLowWaterMark(_ bytes: Int) { lowWater = bytes }
  func measureProgress(with watch: inout SendWatch, _ now: MonotonicTime) {}
  func probe() {}
  func exchangeNeedsTime() {}
}
