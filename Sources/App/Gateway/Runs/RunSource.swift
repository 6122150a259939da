import HTTP
import Runs
import Streams
import Time

/// What feeds a run: the response of a backend, the run's owner on another loop, or a store that others write to.
///
/// Lives on its run's loop. Tells its run what comes (`opened`, `keep`, `readersAdvance`, `end`, `failed`), and nothing
/// any more after `stop`.
protocol RunSource: AnyObject {
  /// Whether the run's end and its readers' policy are decided here. If not, this is a copy of a run that lives
  /// elsewhere, and goes with its last reader.
  var isOwner: Bool { get }
  /// Who writes the run.
  var home: RunHome { get }
  /// Whether the dialect's terminal came: readers that leave then have what they wanted.
  var hasTerminal: Bool { get }
  /// Backends asked so far.
  var attempts: Int { get }

  func begin(feeding run: Run)

  /// The run ends for another reason than the source's: what is unfinished is kept.
  ///
  /// - Returns: the run's counts.
  func conclude() -> (events: UInt64, bytes: UInt64)

  /// Nobody wants more of it.
  func stop(_ result: AttemptResult)

  /// Sends nothing until `goOn`: the memory for runs is used up by what readers have yet to get.
  ///
  /// - Returns: false when it can't wait.
  func holdUp() -> Bool
  func goOn()

  /// Has whoever decides end the run. For copies.
  func cancel()

  /// Whether it reads from the store by that way.
  func uses(_ store: any RunStore) -> Bool

  /// A client of the run says what is to become of it when nobody reads it. For copies.
  func readerWishes(_ policy: DisconnectPolicy)

  /// A client of the run is gone.
  func readerLeft(_ reader: any RunClient)

  /// Looks at the clocks.
  ///
  /// - Returns: when to look again.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime
}

extension RunSource {
  var home: RunHome { isOwner ? .thisLoop : .anotherLoop }
  var hasTerminal: Bool { false }
  func readerWishes(_ policy: DisconnectPolicy) {}
  func readerLeft(_ reader: any RunClient) {}
  func holdUp() -> Bool { false }
  func goOn() {}
  func uses(_ store: any RunStore) -> Bool { false }
}
