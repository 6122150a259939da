import Bytes
import Configuration
import Loop
import Sockets
import Streams
import Telemetry
import Time

/// What ended a tunnel.
enum TunnelEnding: String, MetricLabel, CaseIterable {
  /// The client has said all first. Then the backend has too, or was silent for `stream.linger`.
  case client
  /// The backend first.
  case backend
  /// Neither has said anything for `limits.tunnelIdle`.
  case idle
  case drain
  /// A side was reset, or is unreachable.
  case failed

  /// Who brought the end about; `nil` where that can't be told.
  var closer: RequestRecord.Closer? {
    switch self {
    case .client: .client
    case .backend: .backend
    case .idle, .drain: .gateway
    case .failed: nil
    }
  }
}

/// Who asked the backend for the tunnel, and keeps its connection open until the tunnel's end.
protocol TunnelOwner: AnyObject {
  /// The tunnel is over; with `failed`, because a side was reset.
  func tunnelEnded(failed: Bool)
}

/// The backend's end of a tunnel, and what is known of the request that it came from.
package final class TunnelEnd {
  let backend: any Connection
  /// What came right behind the backend's head.
  var first: [UInt8] = []
  let settings: StreamSettings
  let limits: LimitSettings
  let record: RequestRecord
  private var owner: (any TunnelOwner)?

  init(
    to backend: any Connection, of owner: any TunnelOwner, record: RequestRecord, settings: StreamSettings,
    limits: LimitSettings
  ) {
    self.backend = backend
    self.owner = owner
    self.record = record
    self.settings = settings
    self.limits = limits
  }

  /// Lets the backend go, and closes its connection.
  func close(_ ending: TunnelEnding) {
    owner.take()?.tunnelEnded(failed: ending == .failed)
  }
}
