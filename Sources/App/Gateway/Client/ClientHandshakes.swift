import Bytes
import Configuration
import HTTP
import Logging
import Loop
import Sockets
import TLS
import Telemetry
import Time

/// How a handshake with a client went, as it is counted.
enum HandshakeResult: String, MetricLabel, CaseIterable {
  case done
  /// Clients with no certificate, or with one that is not good.
  case certificate
  /// The two could not agree: versions, ciphers, protocols or names.
  case refused
  /// The client ended it, for instance because it does not trust our certificate.
  case alert
  case plainHTTP = "plain_http"
  case timeout
  case closed

  init(_ error: TLSError) {
    switch error {
    case .certificate: self = .certificate
    case .alert: self = .alert
    case .plainRequest: self = .plainHTTP
    case .timeout: self = .timeout
    case .closed, .socket: self = .closed
    case .file, .setting, .handshake, .library: self = .refused
    }
  }
}

/// `none` where the handshake did not come to its end.
enum TLSVersionLabel: String, MetricLabel, CaseIterable {
  case none
  case version12 = "1.2"
  case version13 = "1.3"

  init(_ name: String) { self = name == "TLSv1.3" ? .version13 : name == "TLSv1.2" ? .version12 : .none }
}

/// Whether a session from before was taken up.
enum TLSResumption: String, MetricLabel, CaseIterable {
  case no
  case yes
}

/// The handshakes of one loop's clients, each until it is over. Confined to its loop.
final class ClientHandshakes {
  private let context: LoopContext
  private let budget: HandshakeBudget
  private let terms: TLSAcceptTerms
  private var underWay: [ObjectIdentifier: TLSHandshake] = [:]

  /// - Parameters:
  ///   - tickets: shared by all loops.
  ///   - plain: notes a request that came without TLS; its answer carries these fields.
  ///   - linger: closes a connection with care.
  init(
    context: LoopContext, tickets: TicketKeys, plain: @escaping (TCPConnection) -> Fields,
    linger: @escaping (TCPConnection) -> Void
  ) {
    self.context = context
    budget = HandshakeBudget(loop: context.loop)
    terms = TLSAcceptTerms(budget: budget, tickets: tickets) { connection in
      var answer = ByteBuffer()
      ErrorResponse(
        status: 400, code: "plain_http", message: "this port speaks TLS: the URL must begin with https://",
        fields: plain(connection)
      ).writeLast(into: &answer)
      connection.write(answer.span)
      // Closed at once it would reset the connection for what was not read, and the answer might be lost.
      linger(connection)
    }
  }

  var count: Int { underWay.count }
  /// Whether no more may begin now.
  private var isFull: Bool { budget.isFull }

  /// Called when more may begin again.
  var roomIsBack: () -> Void {
    get { budget.roomIsBack }
    set { budget.roomIsBack = newValue }
  }

  /// Called when no more may begin.
  var becameFull: () -> Void = {}

  /// - Parameter completion: gets the connection, or nothing; not called after `cancelAll()`.
  func begin(
    _ connection: TCPConnection, as tls: ListenerTLS, timeout: Nanoseconds,
    completion: @escaping (TLSConnection?) -> Void
  ) {
    let place = ObjectIdentifier(connection)
    underWay[place] = TLSConnection.accept(over: connection, context: tls.context, timeout: timeout, terms: terms) {
      // The plain connection is held until here, so that no other has its place.
      [unowned self, connection] outcome in
      _ = connection
      underWay[place] = nil
      count(outcome)
      completion(try? outcome.get())
    }
    if isFull { becameFull() }
  }

  func cancelAll() {
    for handshake in underWay.values { handshake.cancel() }
    underWay = [:]
  }

  private func count(_ outcome: Result<TLSConnection, TLSError>) {
    let handshakes = context.metrics.tlsHandshakes
    switch outcome {
    case .success(let connection):
      let isResumed: TLSResumption = connection.isResumed ? .yes : .no
      context.shard.increment(handshakes[.done, TLSVersionLabel(connection.version), isResumed])
    case .failure(let error):
      context.shard.increment(handshakes[HandshakeResult(error), .none, .no])
      context.log.write(.debug, .tlsHandshakeFailed, at: context.loop.wallTime()) { line in
        line.field("reason", error.description)
      }
    }
  }
}
