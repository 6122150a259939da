import Configuration
import FlagControl
import JSON
import Loop
import Streams
import Time

extension Gateway {
  /// Has the keeper take in what the workers have counted, then calls `completion`.
  func gatherCensus(then completion: @escaping () -> Void) {
    gather(
      { $0.books.census.take() }, each: { [unowned self] in censusKeeper.take([$0]) },
      then: { _ in completion() })
  }

  /// Who the clients are, for `/clients`.
  var clientsDocument: JSONValue {
    censusKeeper.census.report(readsTails: settings.configuration.shadow.readsTails, at: loop.wallTime())
  }

  func appendClientSeries(_ write: (_ samples: [(labels: [(String, String)], value: Double)]) -> Void) {
    let samples = censusKeeper.series.counts.map { labels, count in
      (
        labels: [
          ("product", labels.product.name), ("version", labels.product.version), ("mode", labels.mode.rawValue),
        ], value: Double(count)
      )
    }
    write(samples.sorted { left, right in left.labels.map(\.1).lexicographicallyPrecedes(right.labels.map(\.1)) })
  }
}
