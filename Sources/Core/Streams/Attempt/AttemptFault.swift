package import Time

/// How far an attempt has come.
package enum AttemptPhase: String, CaseIterable, Comparable, Sendable {
  /// Waits for the connection. → tls, head
  case connect
  /// Waits for the TLS handshake. → head
  case tls
  /// The request is being sent, or was; waits for the response's head. → firstEvent, firstToken, streaming
  case head
  /// Waits for the first event. → firstToken, streaming
  case firstEvent = "first_event"
  /// Waits for the first event that bears content. → streaming
  case firstToken = "first_token"
  /// The response goes to the client.
  case streaming

  private var rank: Int {
    switch self {
    case .connect: 0
    case .tls: 1
    case .head: 2
    case .firstEvent: 3
    case .firstToken: 4
    case .streaming: 5
    }
  }

  package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// Why an attempt failed before its response went to the client.
package enum AttemptFault: Equatable, Sendable {
  /// No connection; the text says why.
  case connectFailed(String)
  /// No TLS; the text says why.
  case tlsFailed(String)
  /// One of the attempt's own limits has passed; its phase says which.
  case timedOut
  /// The time for all attempts together has passed.
  case budgetSpent
  /// A status that another upstream may do better than.
  case status(Int, retryAfter: Nanoseconds?)
  /// A response that is no event stream where one was asked for.
  case wrongContentType
  /// A whole response without a byte that means anything.
  case emptyBody
  /// A whole response whose events bear no content.
  case noContent
  /// The backend reported a failure in-band before any content.
  case errorEvent
  /// The connection ended before the response did.
  case cut
  /// Bytes that are no HTTP; the text says what is wrong with them.
  case malformed(String)

  /// Its kind; the raw value is the word that clients, log lines and metrics have for it.
  package enum Kind: String, CaseIterable, Sendable {
    case connectFailed = "connect_failed"
    case tlsFailed = "tls_failed"
    case timedOut = "timed_out"
    case budgetSpent = "budget_spent"
    case status
    case wrongContentType = "wrong_content_type"
    case emptyBody = "empty_body"
    case noContent = "no_content"
    case errorEvent = "error_event"
    case cut
    case malformed
  }

  package var kind: Kind {
    switch self {
    case .connectFailed: .connectFailed
    case .tlsFailed: .tlsFailed
    case .timedOut: .timedOut
    case .budgetSpent: .budgetSpent
    case .status: .status
    case .wrongContentType: .wrongContentType
    case .emptyBody: .emptyBody
    case .noContent: .noContent
    case .errorEvent: .errorEvent
    case .cut: .cut
    case .malformed: .malformed
    }
  }

  package var reason: String { kind.rawValue }

  package var status: Int? {
    if case .status(let status, _) = self { status } else { nil }
  }

  /// How long the upstream wants to be left alone.
  package var retryAfter: Nanoseconds? {
    if case .status(_, let retryAfter) = self { retryAfter } else { nil }
  }

  /// What is known beyond the word; for log lines.
  package var detail: String? {
    switch self {
    case .connectFailed(let text), .tlsFailed(let text), .malformed(let text): text
    default: nil
    }
  }

  /// Whether it speaks against the upstream's health. What a status says is the upstream's policy to decide
  /// (``HealthPolicy/meaning(of:retryAfter:hasClientCredentials:)``); a limit that others had used up says nothing.
  package var blamesUpstream: Bool {
    switch self {
    case .status, .budgetSpent: false
    default: true
    }
  }

  /// Whether it does not say what has become of the request.
  package var leavesEffectOpen: Bool {
    switch self {
    case .status, .budgetSpent, .connectFailed, .tlsFailed: false
    default: true
    }
  }
}

/// How an attempt ended.
package enum AttemptResult: CaseIterable, Sendable {
  /// Before its response went to the client.
  case failed(AttemptFault.Kind)
  /// A response that is no event stream was passed on.
  case relayed
  /// With its run.
  case ended(Outcome)

  package static let allCases = AttemptFault.Kind.allCases.map(failed) + [relayed] + Outcome.allCases.map(ended)

  /// The result in one word.
  package var word: String {
    switch self {
    case .failed(let fault): fault.rawValue
    case .relayed: "relayed"
    case .ended(let outcome): outcome.rawValue
    }
  }
}

/// What became of one attempt that failed.
package struct AttemptReport: Equatable, Sendable {
  /// The upstream's index.
  package var upstream: Int
  /// How far it had come.
  package var phase: AttemptPhase
  package var fault: AttemptFault
  /// From the attempt's start to its failure.
  package var milliseconds: Int
  /// The time limit that ended it, if one did.
  package var limit: TimeLimit?

  package init(
    upstream: Int, phase: AttemptPhase, fault: AttemptFault, milliseconds: Int, limit: TimeLimit? = nil
  ) {
    self.limit = limit
    self.upstream = upstream
    self.phase = phase
    self.fault = fault
    self.milliseconds = milliseconds
  }
}
