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
    // In front of the gateways: an owner that has come back by then has left another name there.
    store.values(of: unsure.map { store.keys.owner(of: $0.run) }) { [self] owners in
      guard case .success(let owners) = owners else { return }
      for (run, owner) in zip(unsure, owners) { run.ownerRead(owner) }
      lookForGateways(of: runs)
    }
  }

  private func lookForGateways(of runs: [FollowedRun]) {
    store.living(Array(Set(runs.compactMap(\.ownersPlace)))) { living in
      guard case .success(let living) = living else { return }
      for run in runs { run.ownerLooked(run.ownersPlace.map { living.contains($0) } ?? false) }
    }
  }
}
