package import Telemetry

/// What the log tells of, one line each. docs/operations.md has the same table, with what each event means.
package enum LogEvent: CaseIterable, Sendable {
  // The process.
  case started, fewDescriptors, logLinesLost, draining, stopped
  case configurationReloaded, configurationReloadFailed
  case certificatesLoaded, certificatesRefused, certificateExpires
  case adminWaiting, adminStarted
  // Clients and their requests.
  case proxyHeaderRefused, tlsHandshakeFailed, http2Ended
  case requestDone, requestAbandoned, upgradeRefused, limitPassed
  case streamOpened, streamProgress, streamStopped
  // Backends.
  case attemptFailed, upstreamState, streamEncoded
  // Runs and their store.
  case runEnded, runStoreLost, runStoreRecovered, redisConnected, redisLost
  case redisConnectionLost, redisConnectionBack
  // Flags, the guard, the census.
  case flagsLoaded, flagsRefused
  case killed, killStays, killRestored, killLifted
  case guardVerdict, guardTripped, guardAdopted, guardReleased, guardRestored
  case guardStateUnreadable, guardStateNotSaved, guardRedisConnected, guardRedisLost
  case clientsNotRestored, clientsNotSaved

  /// What the lines of an event look like.
  package struct Form: Sendable {
    /// The value of the field `event`.
    package let name: StaticString
    /// The levels that its lines may have.
    package let levels: LogLevels
    /// The names of its fields in their order, with spaces between them. A line leaves out those it has no value for.
    package let fields: StaticString

    fileprivate init(_ name: StaticString, _ levels: LogLevels, _ fields: StaticString) {
      (self.name, self.levels, self.fields) = (name, levels, fields)
    }
  }

  package var form: Form {
    switch self {
    case .started: Form("started", .info, "listen listeners admin workers flags version commit libevent")
    case .fewDescriptors: Form("few_descriptors", .warning, "reason")
    case .logLinesLost: Form("log_lines_lost", .warning, "lines")
    case .draining: Form("draining", .info, "seconds delaySeconds")
    case .stopped: Form("stopped", .info, "")
    case .configurationReloaded: Form("configuration_reloaded", .info, "restartNeeded")
    case .configurationReloadFailed: Form("configuration_reload_failed", .error, "reason")
    case .certificatesLoaded: Form("certificates_loaded", .info, "files")
    case .certificatesRefused: Form("certificates_refused", .error, "reason")
    case .certificateExpires: Form("certificate_expires", .warning, "reason")
    case .adminWaiting: Form("admin_waiting", .warning, "admin reason")
    case .adminStarted: Form("admin_started", .info, "admin")

    case .proxyHeaderRefused: Form("proxy_header_refused", .info, "client reason")
    case .tlsHandshakeFailed: Form("tls_handshake_failed", .debug, "reason")
    case .http2Ended: Form("http2_ended", .info, "reason budget")
    case .requestDone:
      Form(
        "request_done", [.info, .warning],
        """
        requestId traceId spanId client tls cipher alpn route method path status origin code upstream tier attempts \
        bytesIn streamId runId resumedFrom mode capability flags flagReason outcome closer limit operator reason \
        events bytes lastEventMs pausedMs queuedMax milliseconds headMs firstEventMs backendRequestId
        """)
    case .requestAbandoned: Form("request_abandoned", .debug, "route milliseconds")
    case .upgradeRefused: Form("upgrade_refused", .info, "protocol route")
    case .limitPassed: Form("limit_passed", [.info, .warning], "limit route")
    case .streamOpened:
      Form(
        "stream_opened", .info,
        "streamId route method path mode capability flags flagReason clientHash traceId")
    case .streamProgress:
      Form(
        "stream_progress", .info,
        """
        requestId streamId traceId route upstream mode events bytes lastEventMs pausedMs queuedMax queued milliseconds
        """)
    case .streamStopped: Form("stream_stopped", .info, "streamId closer operator")

    case .attemptFailed:
      Form(
        "attempt_failed", .warning,
        "route upstream requestId traceId phase reason limit detail status milliseconds suppressed")
    case .upstreamState: Form("upstream_state", [.info, .warning], "upstream from to")
    case .streamEncoded: Form("stream_encoded", .warning, "route reason")

    case .runEnded: Form("run_ended", .info, "streamId route outcome reason events bytes milliseconds")
    case .runStoreLost: Form("run_store_lost", .warning, "streamId route reason")
    case .runStoreRecovered: Form("run_store_recovered", .info, "streamId route")
    case .redisConnected: Form("redis_connected", .info, "worker")
    case .redisLost: Form("redis_lost", .error, "worker reason")
    case .redisConnectionLost:
      Form("redis_connection_lost", .warning, "worker server connection reason waitedFor")
    case .redisConnectionBack: Form("redis_connection_back", .info, "worker server connection")

    case .flagsLoaded: Form("flags_loaded", .info, "version hash warnings")
    case .flagsRefused: Form("flags_refused", .error, "file reason inForce")
    case .killed: Form("killed", .error, "actor reason effect byAnotherGateway")
    case .killStays: Form("kill_stays", .error, "actor reason effect")
    case .killRestored: Form("kill_restored", .error, "actor reason effect")
    case .killLifted: Form("kill_lifted", .warning, "actor reason byAnotherGateway")
    case .guardVerdict: Form("guard_verdict", .info, "verdict")
    case .guardTripped: Form("guard_tripped", .error, "effect revision reason")
    case .guardAdopted: Form("guard_adopted", .error, "effect revision reason")
    case .guardReleased: Form("guard_released", .info, "revision")
    case .guardRestored: Form("guard_restored", .error, "effect revision reason")
    case .guardStateUnreadable: Form("guard_state_unreadable", .error, "file")
    case .guardStateNotSaved: Form("guard_state_not_saved", .error, "file reason")
    case .guardRedisConnected: Form("guard_redis_connected", .info, "redis")
    case .guardRedisLost: Form("guard_redis_lost", .error, "redis reason")
    case .clientsNotRestored: Form("clients_not_restored", .warning, "file reason")
    case .clientsNotSaved: Form("clients_not_saved", .error, "file reason")
    }
  }
}

/// A set of levels.
package struct LogLevels: OptionSet, Sendable {
  package let rawValue: Int

  package init(rawValue: Int) { self.rawValue = rawValue }

  private init(_ level: LogLevel) { rawValue = 1 << level.rawValue }

  static let debug = LogLevels(.debug)
  static let info = LogLevels(.info)
  static let warning = LogLevels(.warning)
  static let error = LogLevels(.error)

  package func contains(_ level: LogLevel) -> Bool { contains(LogLevels(level)) }

  /// The levels, the least first.
  package var all: [LogLevel] { LogLevel.allCases.filter(contains) }
}
