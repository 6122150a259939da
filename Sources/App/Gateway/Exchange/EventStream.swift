import Bytes
import SSE
import Streams
import Time

/// An event stream that is open towards a client: its run, its reader, its clock and its close.
final class EventStream {
  let run: Run
  let reader: any Reader
  var clock: StreamClock
  var closing = ClosingMachine()
  let capability: Capability
  /// The cohort that the guard counts it in.
  let cohort: Cohort
  /// A hash of the client's identity, if it has one.
  let clientKey: Int?
  /// The revision of the flag file that decided the mode.
  let flagVersion: String
  let openedAt: MonotonicTime
  /// Whether comment lines may be sent on it.
  let keepsAlive: Bool
  private(set) var hasFirstEvent = false
  private var hasContent = false
  var bodyBytes: UInt64 = 0
  /// The trace that the request belongs to, for log lines.
  let trace: String?

  init(
    run: Run, reader: any Reader, clock: StreamClock, capability: Capability, decision: ModeDecision,
    flagVersion: String, openedAt: MonotonicTime, keepsAlive: Bool, trace: String?
  ) {
    self.run = run
    self.reader = reader
    self.clock = clock
    self.capability = capability
    cohort = Cohort(decision.variant)
    clientKey = decision.clientKey
    self.flagVersion = flagVersion
    self.openedAt = openedAt
    self.keepsAlive = keepsAlive
    self.trace = trace
  }

  var mode: Mode { reader.mode }
  var closeLabel: CloseLabel { CloseLabel(mode: mode, cohort: cohort) }
  var id: StreamID { run.id }

  /// What came with a piece of the backend's body.
  struct Arrival {
    /// How the piece goes to the client.
    let delivery: Delivery
    var isFirstEvent = false
    /// The first event that bears content in the dialect's eyes.
    var isFirstContent = false
  }

  /// Takes in the next piece of the backend's body.
  func receive(_ bytes: Span<UInt8>, at now: MonotonicTime, into out: inout ByteBuffer) -> Arrival {
    clock.backendSent(at: now)
    var arrival = Arrival(delivery: run.receive(bytes, for: reader, into: &out))
    // Shield holds it back: what the client was not sent it can't have taken for the end.
    if run.hasTerminal, reader.mode != .shield { closing.terminalWasSent() }
    if hasContent { return arrival }
    if run.hasContent {
      hasContent = true
      arrival.isFirstContent = true
    }
    if !hasFirstEvent, run.events > 0 {
      hasFirstEvent = true
      arrival.isFirstEvent = true
      clock.firstTokenCame()
    }
    return arrival
  }

  /// Whether a comment line may be put in now: between events only.
  var mayKeepAlive: Bool {
    // Graceful and shield send whole events, so they are always between two of them.
    !reader.isVerbatim || run.isBetweenEvents
  }
}
