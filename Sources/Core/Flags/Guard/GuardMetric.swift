/// What the guard compares between the two arms of a rollout. Each metric is a ratio of two sums.
package enum GuardMetric: String, CaseIterable, Sendable {
  /// Streams ended by a fault while the client was there, of streams judged.
  case truncation
  /// Streams whose client left before the terminal, of streams judged.
  case clientAborts = "client_aborts"
  /// Closes neither confirmed nor acknowledged, of closes measured.
  case unconfirmedCloses = "unconfirmed_closes"
  /// Clients back on the same route within 5 s of a stream that ended badly or that they left early, of streams judged.
  case retries
  /// The mean of the natural logarithm of the milliseconds until the first event.
  case timeToFirstToken = "time_to_first_token"

  /// Whether numerator and denominator are counts, so that the ratio is between 0 and 1.
  package var isRate: Bool { self != .timeToFirstToken }

  /// How much worse the new variant may be: a difference of rates, for the time a part of the old variant's.
  package var standardMargin: Double {
    switch self {
    case .truncation: 0.005
    case .clientAborts, .retries: 0.01
    case .unconfirmedCloses: 0.02
    case .timeToFirstToken: 0.1
    }
  }

  /// The rate of the new variant that is too much even without proof of a difference. `.infinity`: there is none.
  package var standardAbsolute: Double {
    switch self {
    case .truncation: 0.25
    case .clientAborts, .unconfirmedCloses: 0.5
    case .retries, .timeToFirstToken: .infinity
    }
  }

  var position: Int {
    switch self {
    case .truncation: 0
    case .clientAborts: 1
    case .unconfirmedCloses: 2
    case .retries: 3
    case .timeToFirstToken: 4
    }
  }
}
