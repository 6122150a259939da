import Streams
import Telemetry

/// The runs of a loop, as one of them sees them: where it is entered, and who keeps the books.
protocol RunHost: AnyObject {
  var context: LoopContext { get }
  var process: ProcessRuns { get }

  func add(_ run: Run)
  /// The run is forgotten.
  func remove(_ run: Run)
  /// The run has come to its end.
  func ended(_ run: Run, _ end: EndRecord)
  /// The run's end is where it belongs.
  func runLeft()
  /// Forgets runs that are over until there is room for `memory`'s principal.
  func makeRoom(for memory: PrincipalMemory)
  /// The run's events can't be stored or read.
  func noteStoreLoss(of run: Run)
  func noteStoreRecovery(of run: Run)
}
