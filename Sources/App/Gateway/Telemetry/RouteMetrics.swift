package import Streams
package import Telemetry

/// Who answered a request.
package enum ResponseOrigin: String, MetricLabel, CaseIterable {
  case upstream
  case gateway
}

/// A status of an answer as a label: those that tell operators different things by themselves, the rest by class.
package enum StatusLabel: String, MetricLabel, CaseIterable {
  case ok = "200"
  case noContent = "204"
  case otherSuccess = "2xx"
  case redirection = "3xx"
  case badRequest = "400"
  case unauthorized = "401"
  case forbidden = "403"
  case notFound = "404"
  case timeout = "408"
  case conflict = "409"
  case tooLarge = "413"
  case tooMany = "429"
  case otherClientError = "4xx"
  /// The client left before there was an answer.
  case clientLeft = "499"
  case serverError = "500"
  case badGateway = "502"
  case unavailable = "503"
  case gatewayTimeout = "504"
  case otherServerError = "5xx"

  /// - Parameter origin: 499 is the gateway's own word for a client that left; of a backend it is any other 4xx.
  package init(_ status: Int, by origin: ResponseOrigin) {
    switch status {
    case 200: self = .ok
    case 204: self = .noContent
    case ..<300: self = .otherSuccess
    case ..<400: self = .redirection
    case 400: self = .badRequest
    case 401: self = .unauthorized
    case 403: self = .forbidden
    case 404: self = .notFound
    case 408: self = .timeout
    case 409: self = .conflict
    case 413: self = .tooLarge
    case 429: self = .tooMany
    case 499 where origin == .gateway: self = .clientLeft
    case ..<500: self = .otherClientError
    case 500: self = .serverError
    case 502: self = .badGateway
    case 503: self = .unavailable
    case 504: self = .gatewayTimeout
    default: self = .otherServerError
    }
  }
}

/// A time limit as a label: what was waited for, whichever setting said how long.
package enum LimitLabel: String, MetricLabel, CaseIterable {
  case total
  case idle
  case firstToken = "first_token"
  case head
  case connect
  case answer
  case budget
  case clientStall = "client_stall"

  /// `nil` for limits that end no request, and for that of bodies, which statuses and attempts' results tell.
  package init?(_ limit: TimeLimit) {
    switch limit {
    case .total: self = .total
    case .idle: self = .idle
    case .firstEvent, .firstToken, .streamFirstToken: self = .firstToken
    case .requestHead, .head: self = .head
    case .connect: self = .connect
    case .answer: self = .answer
    case .budget, .answerBudget: self = .budget
    case .clientStall, .clientStallInAnswer: self = .clientStall
    case .body, .nextRequest, .linger, .storeConnect, .storeCommand, .storePatience, .storeLease, .guardConnect,
      .guardCommand:
      return nil
    }
  }
}

/// What is counted of each route, by its name.
package struct RouteMetrics: Sendable {
  let responses: OpenFamily<Counter, ResponseOrigin, StatusLabel>
  let outcomes: OpenFamily<Counter, Outcome>
  let limits: OpenFamily<Counter, LimitLabel>
  let failovers: OpenFamily<Counter>
  let open: OpenFamily<Gauge>
  let waiting: OpenFamily<Gauge>
  let paused: OpenFamily<Gauge>
  let queued: OpenFamily<Gauge>
  let silence: OpenFamily<Gauge>
  let firstEvent: OpenFamily<Histogram>
  let duration: OpenFamily<Histogram>

  package init(_ define: inout RegistryBuilder) {
    responses = define.counters(
      "fermata_responses_total", "Answers to requests, by who gave them and their status.", open: "route", by: "origin",
      "code")
    define.leaveOut(.upstream, .clientLeft, of: responses)
    outcomes = define.counters(
      "fermata_route_outcomes_total", "How event streams ended.", open: "route", by: "outcome")
    limits = define.counters(
      "fermata_stream_limits_total", "Time limits that ended an attempt, a stream or an answer.", open: "route",
      by: "limit")
    failovers = define.counters(
      "fermata_failovers_total", "Requests that an upstream of a later tier than the first answered.", open: "route")
    open = define.gauges("fermata_streams_open", "Event streams open towards clients.", open: "route")
    waiting = define.gauges("fermata_streams_waiting", "Requests that have no answer yet.", open: "route")
    paused = define.gauges(
      "fermata_streams_paused", "Open streams whose backend is not read because their client is behind.", open: "route")
    queued = define.gauges("fermata_stream_queued_bytes", "Bytes of open streams that wait for clients.", open: "route")
    silence = define.gauges(
      "fermata_stream_silence_seconds_max", "The longest time that an open stream has had nothing from its backend.",
      open: "route", merge: .maximum)
    firstEvent = define.histograms(
      "fermata_stream_first_event_seconds", "From the request to the first event that bears data.", open: "route",
      bounds: RouteTally.bounds.map { $0 / 1000 })
    duration = define.histograms(
      "fermata_stream_duration_seconds", "From the request to the end of the stream.", open: "route",
      bounds: [1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200])
  }
}
