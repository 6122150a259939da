package import Time

/// When an upstream is left out for a while, and how it comes back.
package struct HealthPolicy: Equatable, Sendable {
  /// Failures in a row, or truncations in a row, that eject it; 0: never.
  package var failures = 5
  /// How long it is left out the first time; twice as long each time it fails again.
  package var ejection = Nanoseconds.seconds(10)
  /// The longest time it is left out, and the longest `Retry-After` that is honoured.
  package var ejectionMax = Nanoseconds.seconds(300)
  /// Over how long its share grows again when it is back; 0: at once.
  package var slowStart = Nanoseconds.zero
  /// Statuses that count as failures.
  package var failureStatuses: StatusSet = [500...599]
  /// Statuses whose `Retry-After` lets it cool down; then they are no failures.
  package var coolDownStatuses: StatusSet = [429...429, 503...503]
  /// Statuses that speak of the client, and not of the upstream, where the request carried the client's own
  /// credentials: another client with other credentials would have been served.
  package var clientStatuses: StatusSet = [401...401, 403...403, 429...429]
  /// Requests of our own that ask it how it is; `nil`: none.
  package var check: HealthCheckPolicy?

  package init() {}
}

extension HealthPolicy {
  /// What a status says of the upstream.
  package enum StatusMeaning: Equatable, Sendable {
    case nothing
    case failure
    /// It wants to be left alone for so long.
    case coolDown(Nanoseconds)
  }

  /// What a status says of the upstream that sent it.
  ///
  /// - Parameters:
  ///   - retryAfter: the response's `Retry-After`, from now.
  ///   - hasClientCredentials: whether the request carried credentials of the client's own and none of the operator's.
  package func meaning(of status: Int, retryAfter: Nanoseconds?, hasClientCredentials: Bool) -> StatusMeaning {
    if hasClientCredentials, clientStatuses.contains(status) { return .nothing }
    if let retryAfter, retryAfter > .zero, coolDownStatuses.contains(status) { return .coolDown(retryAfter) }
    return failureStatuses.contains(status) ? .failure : .nothing
  }
}

/// How an upstream is asked.
package struct HealthCheckPolicy: Equatable, Sendable {
  /// The target of the GET.
  package var path = "/"
  /// Between two checks.
  package var interval = Nanoseconds.seconds(5)
  /// How long an answer may take.
  package var timeout = Nanoseconds.seconds(2)
  /// Good answers in a row that bring it back.
  package var healthyAfter = 2
  /// Bad answers in a row that take it out.
  package var unhealthyAfter = 3
  /// The statuses of a good answer.
  package var status = 200...299

  package init() {}
}
