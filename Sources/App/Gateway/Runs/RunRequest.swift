import Bytes
import Configuration
import HTTP
import Runs
import SSE
import Streams

/// What a request says about runs.
struct RunRequest {
  let principal: Digest
  /// Whether it has no credentials. What such a client names itself could be guessed by any other, so its names count for
  /// nothing: it finds a run by the stream's id alone, which nobody can guess.
  let isAnonymous: Bool
  private(set) var wish = RunWish()
  /// The stream that `Last-Event-ID` names, if it is an id of the gateway's.
  private(set) var lastStream: StreamID?
  let idempotencyKey: Digest?
  /// Whether it asks for a stream by its id alone (`runs.streamPath`), as only a client does that has had it.
  var isByStream = false
  /// The name that the route's path gives the run.
  let name: Digest?
  /// The run of a worker that the route's path names.
  let workerRun: String?

  init(
    _ request: borrowing RequestHead, captures: PathCaptures, settings: RunSettings, common: CommonRunSettings
  ) {
    let fields = request.fields
    let credentials = common.principalRules.credentials(of: request)
    let principal = Digest.principal(credentials: credentials)
    let isAnonymous = credentials.isEmpty
    self.principal = principal
    self.isAnonymous = isAnonymous
    func ownName(_ header: String) -> [UInt8]? { isAnonymous ? nil : Self.bytes(of: header, in: fields) }
    idempotencyKey = ownName("idempotency-key").map { .idempotency(key: $0, of: principal) }
    name = isAnonymous ? nil : settings.name.flatMap { captures[$0] }.map { Self.name($0, of: principal) }
    workerRun = settings.source == .upstream ? nil : captures[settings.workerCapture]
    let lastID = Self.lastEventID(of: request)
    lastStream = lastID.flatMap { EventID(parsing: $0.span)?.stream }
    wish.lastID = lastID
    if settings.clientMayChoose, let text = fields.first(named: "x-on-disconnect") {
      wish.policy = DisconnectPolicy(parsing: text)
    }
    wish.clientStream = ownName(settings.clientStreamHeader).map { name in
      Digest([Array("client stream".utf8), Array(principal.description.utf8), name])
    }
    wish.clientMessage = Self.bytes(of: settings.clientMessageHeader, in: fields)
  }

  /// The value of a header; `nil` when it is absent or empty.
  private static func bytes(of name: String, in fields: Fields) -> [UInt8]? {
    guard let value = fields.first(named: name)?.trimmed, !value.isEmpty else { return nil }
    return [UInt8](copying: value)
  }

  /// The last event that the client says it has; `nil` when it says nothing.
  static func lastEventID(of request: borrowing RequestHead) -> [UInt8]? {
    if request.fields.contains(.lastEventID) { return bytes(of: "last-event-id", in: request.fields) }
    guard let query = request.query, let value = QueryString.value(of: "last_event_id", in: query), !value.isEmpty
    else { return nil }
    return value
  }

  /// A name that the client may have given a run; `nil` where names count for nothing.
  func name(_ name: String) -> Digest? { isAnonymous ? nil : Self.name(name, of: principal) }

  /// A run's own name, which means something to its principal alone.
  private static func name(_ name: String, of principal: Digest) -> Digest {
    Digest([Array("name".utf8), Array(principal.description.utf8), Array(name.utf8)])
  }

  /// What decides which run it means.
  var forAdmission: AdmissionRequest {
    var request = AdmissionRequest(principal: principal)
    request.idempotencyKey = idempotencyKey
    request.name = name
    request.clientStream = wish.clientStream
    request.workerRun = workerRun
    request.hasLastID = wish.lastID != nil
    request.lastStream = lastStream
    return request
  }

  /// Whether another request may mean the same run, so that its body has to be compared.
  var comparesBodies: Bool { idempotencyKey != nil || wish.clientStream != nil }

  /// All names that a run of this request has beside its stream's id.
  var aliases: [Digest] { [idempotencyKey, name, wish.clientStream].compactMap { $0 } }

  /// Under which there is but one run, on all replicas: the client's own key, or the name in the route's path.
  var key: Digest? { idempotencyKey ?? name }

  /// What a run of this key must have been asked for with: a name alone does not say.
  func digest(ofKeyed request: Digest?) -> Digest? { idempotencyKey == nil ? Self.anyRequest : request }

  private static let anyRequest = Digest([Array("any request".utf8)])

  /// The run is read from its beginning.
  mutating func ignoreLastID() {
    wish.lastID = nil
    lastStream = nil
  }

  mutating func isForeign() { wish.isForeign = true }
}
