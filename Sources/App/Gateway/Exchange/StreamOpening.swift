import Bytes
import Configuration
import FlagControl
import Flags
import HTTP
import SSE
import Streams
import Time

/// What is decided once, when an event stream opens: the client's capability, its mode, the head of its response.
///
/// An object, so that it goes once the stream is open.
final class StreamOpening {
  let capability: Capability
  let mode: Mode
  let decision: ModeDecision
  /// The revision of the flags that decided.
  private let flagVersion: String
  let prefersStreamEnd: Bool
  /// The backend's own id that the client goes on from; empty when it has none.
  private let backendID: [UInt8]

  init(request: borrowing RequestHead, route: Route, settings: LoopSettings, decider: ModeDecider) {
    let fields = request.fields
    let prefers = Self.prefers(fields)
    let header = route.capabilityHeader.flatMap { fields.truth(named: $0) }
    let query = Self.query(request)
    capability = settings.configuration.capability.detector.detect(prefers: prefers, header: header, query: query) {
      name in
      fields.string(named: name)
    }
    prefersStreamEnd = prefers == true
    flagVersion = decider.flagVersion
    decision = decider.decide(
      for: request, capability: capability, on: route.settings, settings.configuration.identity)
    mode = Mode.decide(understandsStreamEnd: capability.understandsStreamEnd, variant: decision.variant)
    let lastID = mode == .graceful ? RunRequest.lastEventID(of: request) : nil
    backendID = lastID.flatMap { EventID(parsing: $0.span) == nil ? $0 : nil } ?? []
  }

  /// The same for a client that reads a run by its id, whatever the flag says by now: in a mode without ids it would keep
  /// its old one, and get everything behind that again when it comes back.
  var stayingGraceful: StreamOpening {
    mode == .graceful ? self : StreamOpening(self, mode: .graceful)
  }

  private init(_ opening: StreamOpening, mode: Mode) {
    self.mode = mode
    capability = opening.capability
    decision = opening.decision
    flagVersion = opening.flagVersion
    prefersStreamEnd = opening.prefersStreamEnd
    backendID = opening.backendID
  }

  private static func prefers(_ fields: Fields) -> Bool? {
    guard let value = fields.first(.prefer) else { return nil }
    return CapabilityDetector.prefersStreamEnd(value)
  }

  private static func query(_ request: borrowing RequestHead) -> Bool? {
    guard let query = request.query, let value = QueryString.rawValue(of: "stream_end", in: query) else { return nil }
    return CapabilityDetector.truth(value)
  }

  /// Both halves of the stream `id`, whose events go straight from the backend to the client.
  ///
  /// - Parameter askedAt: when the backend was asked that answered.
  func makeStream(
    _ id: StreamID, to client: any ClientStream, openedAt: MonotonicTime, askedAt: MonotonicTime, route: Route,
    books: StreamBooks, context: LoopContext
  ) -> (feed: BackendFeed, delivery: ClientDelivery) {
    let settings = route.settings.stream
    var extras = GracefulExtras()
    extras.resumedAfterID = backendID
    extras.yieldsToBackendIDs = true
    let parser = EventFeed(
      id: id, classifier: route.classifier,
      eventLimit: mode == .legacy ? StreamSettings.shadowLimit : settings.eventLimit)
    let delivery = makeDelivery(
      of: id, to: client, parser: parser, numbersEvents: settings.numbersEvents, extras: extras, openedAt: openedAt,
      route: route, books: books, context: context)
    let feed = BackendFeed(parser, limits: settings.watchdogs.serving(mode), openedAt: openedAt, askedAt: askedAt)
    return (feed, delivery)
  }

  /// The client's half of the stream `id`: `parser` counts its events, or the log of a run that it reads.
  func makeDelivery(
    of id: StreamID, to client: any ClientStream, parser: EventFeed? = nil, numbersEvents: Bool, extras: GracefulExtras,
    openedAt: MonotonicTime, route: Route, books: StreamBooks, context: LoopContext
  ) -> ClientDelivery {
    let settings = route.settings.stream
    let reader: any Reader
    switch mode {
    case .legacy: reader = LegacyReader()
    case .shield: reader = ShieldReader(limit: settings.shieldLimit)
    case .graceful:
      reader = GracefulReader(
        stream: id, numbersEvents: numbersEvents, retryMilliseconds: settings.retry.map { Int($0.milliseconds) },
        extras: extras)
    }
    return ClientDelivery(
      of: id, to: client, parser: parser, reader: reader, limits: settings.watchdogs, capability: capability,
      decision: decision, flagVersion: flagVersion, openedAt: openedAt,
      keepsAlive: mode == .graceful || settings.keepaliveInLegacy, books: books, context: context)
  }

  /// Makes `draft` the head of the client's response. The route's rules hold what is the same for every stream of a mode.
  ///
  /// - Parameter resumePath: where streams can be resumed.
  func draftHead(
    _ head: borrowing ResponseHead, stream: ClientDelivery, run: Run?, resumePath: PathTemplate?,
    rules: borrowing ResponseRules, into draft: inout ResponseDraft
  ) {
    Forwarding.draftResponse(head, as: rules, into: &draft)
    // The fields of this one stream come last.
    draft.placeBodyFields()
    draft.append("X-Stream-Id") { stream.id.write(to: &$0) }
    if prefersStreamEnd, mode == .graceful { draft.append("Preference-Applied", "stream-end") }
    run?.appendResumeField(resumePath, to: &draft)
  }
}

/// The fields of an event stream's response that are the same for every stream of a mode.
struct StreamRules: Sendable {
  private let legacy: ResponseRules
  private let shield: ResponseRules
  private let graceful: ResponseRules

  init() {
    legacy = Self.rules(.legacy)
    shield = Self.rules(.shield)
    graceful = Self.rules(.graceful)
  }

  subscript(mode: Mode) -> ResponseRules {
    switch mode {
    case .legacy: legacy
    case .shield: shield
    case .graceful: graceful
    }
  }

  private static func rules(_ mode: Mode) -> ResponseRules {
    var fields = Fields()
    // Neither caches nor compressors on the way may hold an event back.
    fields.append(.cacheControl, literal: "no-cache, no-transform")
    fields.append(.xAccelBuffering, literal: "no")
    if mode == .graceful { fields.append(.contentType, literal: "text/event-stream; charset=utf-8") }
    switch mode {
    case .legacy: fields.append(.xStreamMode, literal: "legacy")
    case .shield: fields.append(.xStreamMode, literal: "shield")
    case .graceful: fields.append(.xStreamMode, literal: "graceful")
    }
    // What speaks of a whole body is not true of a stream whose bytes may change.
    return ResponseRules(
      dropped: [
        .xStreamID, .xRequestID, .xStreamResume, .preferenceApplied, .acceptRanges, .etag, .lastModified, .expires,
      ],
      overrides: fields)
  }
}

extension ResponseHead {
  /// Stands for a backend's head where none has come yet.
  static var eventStream: ResponseHead {
    var fields = Fields()
    fields.append(.contentType, literal: "text/event-stream; charset=utf-8")
    return ResponseHead(status: 200, fields: fields, framing: .chunked)
  }
}
