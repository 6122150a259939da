import Runs

/// Finds out for all runs that a loop follows together whether the gateways that own them are still there.
///
/// Which gateway has a run is read once; after that, few keys tell it for however many runs.
final class OwnerWatch {
  private let store: RunRecords
  private var runs: [FollowedRun] = []

  init(store: RunRecords) { self.store = store }

  /// Has the run's owner looked for with the next `look`.
  func add(_ run: FollowedRun) { runs.append(run) }

  func look() {
    guard !runs.isEmpty else { return }
    let runs = runs
    self.runs = []
    let unsure = runs.filter(\.isUnsureOfOwner)
    let sure = runs.filter { !$0.isUnsureOfOwner }
    // In front of the gateways: an owner that has come back by then has left another name there.
    store.values(of: unsure.map { store.keys.owner(of: $0.run) }) { [self] owners in
      var known = sure
      for case (let run, .success(let owner)) in zip(unsure, owners) {
        run.ownerRead(owner)
        known.append(run)
      }
      lookForGateways(of: known)
    }
  }

  /// A run of which Redis says nothing now is looked at with the next `look` that it asks for.
  private func lookForGateways(of runs: [FollowedRun]) {
    store.living(Array(Set(runs.compactMap(\.ownersPlace)))) { living in
      for run in runs {
        guard let place = run.ownersPlace else {
          run.ownerLooked(false)
          continue
        }
        if let isThere = living[place] { run.ownerLooked(isThere) }
      }
    }
  }
}
