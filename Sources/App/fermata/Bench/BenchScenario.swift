import Harness
import Time

/// What is measured: a kind of traffic, and what one unit of it is.
enum BenchScenario: String, CaseIterable {
  /// Many streams with an event now and then: the daily work.
  case paced
  /// Long answers that come in one go.
  case burst
  /// Short streams, each on a connection of its own.
  case churn
  /// Many streams that say nothing.
  case idle
  /// Like `paced`, from a backend over https.
  case https
  /// Like `paced`, with clients over TLS.
  case httpsClient = "https-client"
  /// Like `paced`, with clients over HTTP/2 and TLS: a connection for each stream, for ten, for a hundred.
  case h2
  case h2By10 = "h2-10"
  case h2By100 = "h2-100"
  /// Like `idle`, with clients over TLS.
  case httpsIdle = "https-idle"
  /// Like `idle`, with clients over HTTP/2 and TLS: ten streams on a connection.
  case h2Idle = "h2-idle"

  /// What carries the streams to clients.
  var carrier: BenchCarrier {
    switch self {
    case .paced, .burst, .churn, .idle, .https: .plain
    case .httpsClient, .httpsIdle: .secure
    case .h2: .http2(streamsPerConnection: 1)
    case .h2By10, .h2Idle: .http2(streamsPerConnection: 10)
    case .h2By100: .http2(streamsPerConnection: 100)
    }
  }

  private var isPaced: Bool {
    switch self {
    case .paced, .https, .httpsClient, .h2, .h2By10, .h2By100: true
    case .burst, .churn, .idle, .httpsIdle, .h2Idle: false
    }
  }

  /// Whether what is looked at is memory.
  var isIdle: Bool { self == .idle || self == .httpsIdle || self == .h2Idle }

  static let eventSize = 120

  var defaultStreams: Int { isPaced ? 500 : isIdle ? 8000 : 50 }
  var defaultSeconds: Int { isPaced || isIdle ? 10 : 5 }

  /// Whether `subject` takes part: the backend of the bench speaks neither TLS nor HTTP/2 with its clients, and the floor
  /// passes on what it speaks.
  func includes(_ subject: BenchSubject) -> Bool {
    (subject != .direct && subject != .floor) || (self != .https && carrier == .plain)
  }

  /// What the processor time is divided by.
  var unit: String { self == .churn ? "stream" : "event" }

  var shape: LoadPlan.Shape { isPaced || isIdle ? .steady : .cycling }

  /// Events of a complete stream. Steady streams outlast every run.
  var eventsPerStream: Int {
    if shape == .steady { return 100_000_000 }
    return self == .burst ? 2000 : 10
  }

  /// The backend's script, as its query. An idle stream says something once while it is measured.
  func target(seconds: Int) -> String {
    let events = "/script?events=\(eventsPerStream)&size=\(Self.eventSize)&complete=complete"
    if isPaced { return events + "&interval=20" }
    return events + (isIdle ? "&interval=\(seconds * 1000)" : "&burst=1")
  }

  /// The memory for runs that are kept. Streams that end one after the other fill it before they are measured, as they
  /// would in service: each new run takes the oldest one's place. Those that never end must not be cut short.
  var runMemory: String { shape == .cycling ? "256MB" : "4GB" }

  /// Over how long the streams of a steady load are opened: over whole intervals of its events, so that these come evenly.
  func ramp(seconds: Int) -> Nanoseconds {
    if isPaced { return .seconds(1) }
    return isIdle ? .seconds(seconds) : .zero
  }

  func title(streams: Int, seconds: Int) -> String {
    let paced = "\(streams) streams x 50 events/s of \(Self.eventSize) bytes"
    let idle = "\(streams) streams, an event each in \(seconds) s"
    return switch self {
    case .paced: "paced: \(paced), \(seconds) s"
    case .https: "https: the same as paced from a backend over TLS, \(streams) streams, \(seconds) s"
    case .burst: "burst: \(streams) streams at a time, 2000 events of \(Self.eventSize) bytes in one go, \(seconds) s"
    case .churn: "churn: \(streams) streams at a time, 10 events each, a connection for each, \(seconds) s"
    case .idle: "idle: \(idle)"
    case .httpsClient: "https-client: clients over TLS, \(paced), \(seconds) s"
    case .h2, .h2By10, .h2By100: "\(rawValue): clients over HTTP/2 (TLS), \(carrier.sharing), \(paced), \(seconds) s"
    case .httpsIdle: "https-idle: clients over TLS, \(idle)"
    case .h2Idle: "h2-idle: clients over HTTP/2 (TLS), \(carrier.sharing), \(idle)"
    }
  }
}
