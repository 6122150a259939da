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

  static let eventSize = 120

  var defaultStreams: Int {
    switch self {
    case .paced, .https: 500
    case .burst, .churn: 50
    case .idle: 8000
    }
  }

  var defaultSeconds: Int {
    switch self {
    case .paced, .idle, .https: 10
    case .burst, .churn: 5
    }
  }

  /// Whether `subject` takes part: clients of the bench speak no TLS themselves.
  func includes(_ subject: BenchSubject) -> Bool { self != .https || subject != .direct }

  /// What the processor time is divided by.
  var unit: String { self == .churn ? "stream" : "event" }

  var shape: LoadPlan.Shape {
    switch self {
    case .paced, .idle, .https: .steady
    case .burst, .churn: .cycling
    }
  }

  /// Events of a complete stream. Steady streams outlast every run.
  var eventsPerStream: Int {
    switch self {
    case .paced, .idle, .https: 100_000_000
    case .burst: 2000
    case .churn: 10
    }
  }

  /// The backend's script, as its query. An idle stream says something once while it is measured.
  func target(seconds: Int) -> String {
    let events = "/script?events=\(eventsPerStream)&size=\(Self.eventSize)&complete=complete"
    return switch self {
    case .paced, .https: events + "&interval=20"
    case .idle: events + "&interval=\(seconds * 1000)"
    case .burst, .churn: events + "&burst=1"
    }
  }

  /// The memory for runs that are kept. Streams that end one after the other fill it before they are measured, as they
  /// would in service: each new run takes the oldest one's place. Those that never end must not be cut short.
  var runMemory: String { shape == .cycling ? "256MB" : "4GB" }

  /// Over how long the streams of a steady load are opened: over whole intervals of its events, so that these come evenly.
  func ramp(seconds: Int) -> Nanoseconds {
    switch self {
    case .paced, .https: .seconds(1)
    case .idle: .seconds(seconds)
    case .burst, .churn: .zero
    }
  }

  func title(streams: Int, seconds: Int) -> String {
    switch self {
    case .paced: "paced: \(streams) streams x 50 events/s of \(Self.eventSize) bytes, \(seconds) s"
    case .https: "https: the same as paced from a backend over TLS, \(streams) streams, \(seconds) s"
    case .burst: "burst: \(streams) streams at a time, 2000 events of \(Self.eventSize) bytes in one go, \(seconds) s"
    case .churn: "churn: \(streams) streams at a time, 10 events each, a connection for each, \(seconds) s"
    case .idle: "idle: \(streams) streams, an event each in \(seconds) s"
    }
  }
}
