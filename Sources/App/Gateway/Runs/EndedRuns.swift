import Bytes
import SSE
import Streams

/// The runs of one loop that are over, in the order of their ends: all of them, and those of each principal. Some may be
/// forgotten already.
struct EndedRuns {
  private var all = Queue<StreamID>()
  /// Without copies of runs that live elsewhere.
  private var ofPrincipals: [Digest: Queue<StreamID>] = [:]

  /// - Parameter principal: `nil` for all runs.
  func count(of principal: Digest?) -> Int {
    guard let principal else { return all.count }
    return ofPrincipals[principal]?.count ?? 0
  }

  mutating func popFirst(of principal: Digest?) -> StreamID? {
    guard let principal else { return all.popFirst() }
    return ofPrincipals[principal]?.popFirst()
  }

  /// Puts one back that was popped.
  mutating func append(_ stream: StreamID, of principal: Digest?) {
    if let principal { ofPrincipals[principal, default: Queue()].append(stream) } else { all.append(stream) }
  }

  /// A run has ended.
  ///
  /// - Parameters:
  ///   - principal: `nil` for a copy.
  ///   - count: how many runs there are.
  ///   - isKept: whether a run is not forgotten.
  mutating func append(
    _ stream: StreamID, of principal: Digest?, among count: Int, isKept: (StreamID) -> Bool
  ) {
    while let oldest = all.first, !isKept(oldest) { _ = all.popFirst() }
    // Routes keep runs for different times.
    if all.count > 2 * count + 64 {
      // A copy that comes again and again is in it once.
      var seen: Set<StreamID> = []
      all.keep { isKept($0) && seen.insert($0).inserted }
    }
    all.append(stream)
    guard let principal else { return }
    var queue = ofPrincipals.removeValue(forKey: principal) ?? Queue()
    // Looked through each time that it has doubled.
    if queue.count >= 64, queue.count.nonzeroBitCount == 1 { queue.keep(where: isKept) }
    queue.append(stream)
    ofPrincipals[principal] = queue
  }

  /// One of its runs was forgotten.
  mutating func removeForgotten(of principal: Digest, isKept: (StreamID) -> Bool) {
    guard var queue = ofPrincipals.removeValue(forKey: principal) else { return }
    while let oldest = queue.first, !isKept(oldest) { _ = queue.popFirst() }
    if !queue.isEmpty { ofPrincipals[principal] = queue }
  }
}
