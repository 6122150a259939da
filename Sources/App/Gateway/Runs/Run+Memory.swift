import Streams

extension Run {
  /// Gives back what the log has borrowed, as far as those who read along have had it. They are waited for, as the client of
  /// a stream that isn't kept is.
  func trimMemory() {
    guard memory.isOver || isHeldUp else { return }
    let waits = memory.trim(keeping: slowest)
    guard waits != isHeldUp else { return }
    // When the run is over nothing more comes.
    guard let source else { return }
    if !waits {
      isHeldUp = false
      source.goOn()
    } else if source.holdUp() {
      isHeldUp = true
    } else {
      memory.trim(keeping: memory.frontier)
    }
  }

  /// Who reads along has had everything in front of it.
  private var slowest: LogPosition {
    let places = readers.lazy.compactMap(\.place) + feeders.lazy.compactMap(\.place)
    return places.min() ?? memory.frontier
  }

  /// Whether it may be forgotten to make room.
  var isExpendable: Bool { isSettled && readers.isEmpty && feeders.isEmpty }
}
