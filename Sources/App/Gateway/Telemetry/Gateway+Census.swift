import FlagControl

extension Gateway {
  /// Has the keeper take in what the workers have counted, then calls `completion`.
  package func gatherCensus(then completion: @escaping () -> Void) {
    gather(
      { $0.books.census.take() }, each: { [unowned self] in censusKeeper.take([$0]) },
      then: { _ in completion() })
  }
}
