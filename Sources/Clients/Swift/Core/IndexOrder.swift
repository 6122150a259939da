/// Puts events into the order of their `index`, where asked: holds back what came too early until the hole is filled,
/// or `release` is called.
struct IndexOrder {
  private static let mostHoles = 1024

  private var next: Int?
  private var held: [Int: ServerEvent] = [:]
  private var missed: Set<Int> = []
  private(set) var heldBytes = 0

  init(first: Int?) { next = first }

  var isWaiting: Bool { !held.isEmpty }

  /// Takes an event and returns those that may go out now.
  mutating func add(_ event: ServerEvent, _ index: Int) -> [ServerEvent] {
    let expected = next ?? index
    next = expected
    if index < expected { return missed.remove(index) == nil ? [] : [event] }
    guard held[index] == nil else { return [] }
    held[index] = event
    heldBytes += event.data.utf8.count
    var ready: [ServerEvent] = []
    while let at = next, let event = held.removeValue(forKey: at) {
      heldBytes -= event.data.utf8.count
      ready.append(event)
      next = at == .max ? at : at + 1
    }
    return ready
  }

  /// Everything that is held, in order: the holes stay.
  mutating func release() -> [ServerEvent] {
    let rest = held.sorted { $0.key < $1.key }
    held = [:]
    heldBytes = 0
    for (index, _) in rest {
      var hole = next ?? index
      while hole < index, missed.count < Self.mostHoles {
        missed.insert(hole)
        hole += 1
      }
      next = index == .max ? index : index + 1
    }
    return rest.map(\.value)
  }
}
