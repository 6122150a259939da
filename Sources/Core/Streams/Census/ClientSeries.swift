/// The counters of `fermata_client_streams_total`: streams by product, version and mode for the largest clients, and
/// the rest by mode.
///
/// A series never goes down while it is there. A client that has none takes the place of the smallest series once it
/// has twice its streams, one at a time, so that the set of series changes slowly.
package struct ClientSeries: Sendable {
  package struct Labels: Hashable, Sendable {
    package let product: ClientProduct
    package let mode: Mode

    init(_ key: CensusKey) {
      product = key.product
      mode = key.mode
    }

    var isOther: Bool { product == .other }
  }

  package static let limit = 50
  package private(set) var counts: [Labels: Int] = [:]
  private var named = 0

  package init() {}

  /// - Parameters:
  ///   - new: what was counted since the last call.
  ///   - all: everything that is kept, with `new`.
  package mutating func count(_ new: Census, of all: Census) {
    var unnamed: Set<Labels> = []
    for row in new.rows + new.others.values {
      let labels = Labels(row.key)
      if counts[labels] == nil, !labels.isOther {
        if named < Self.limit {
          named += 1
          counts[labels] = 0
        } else {
          unnamed.insert(labels)
        }
      }
      let isNamed = counts[labels] != nil
      counts[isNamed ? labels : Labels(row.key.other), default: 0] += row.streams
    }
    if !unnamed.isEmpty { exchange(unnamed, all) }
  }

  private mutating func exchange(_ unnamed: Set<Labels>, _ all: Census) {
    var sizes: [Labels: Int] = [:]
    for row in all.rows { sizes[Labels(row.key), default: 0] += row.streams }
    func size(_ labels: Labels) -> Int { sizes[labels] ?? 0 }
    guard let largest = unnamed.max(by: { size($0) < size($1) }),
      let smallest = counts.keys.filter({ !$0.isOther }).min(by: { size($0) < size($1) }),
      size(largest) > 2 * size(smallest)
    else { return }
    counts[smallest] = nil
    counts[largest] = 0
  }
}
