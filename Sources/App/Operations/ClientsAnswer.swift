import Configuration
import FlagControl
import Gateway
import JSON
import Loop
import Streams
import Time

// Who the clients are.
extension ControlRoom {
  /// Who the clients are, for `/clients`.
  var clientsDocument: JSONValue {
    gateway.censusKeeper.census.report(
      readsTails: gateway.settings.configuration.shadow.readsTails, at: loop.wallTime())
  }

  func appendClientSeries(_ write: (_ samples: [(labels: [(String, String)], value: Double)]) -> Void) {
    let samples = gateway.censusKeeper.series.counts.map { labels, count in
      (
        labels: [
          ("product", labels.product.name), ("version", labels.product.version), ("mode", labels.mode.rawValue),
        ], value: Double(count)
      )
    }
    write(samples.sorted { left, right in left.labels.map(\.1).lexicographicallyPrecedes(right.labels.map(\.1)) })
  }
}
