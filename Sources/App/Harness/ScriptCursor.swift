package import Time

/// A place in a script that is being played. Pure: it says what comes next and someone else does it.
package struct ScriptCursor: Sendable {
  package enum Move: Sendable {
    case head(Script.Head)
    case body([UInt8])
    case raw([UInt8])
    case stamped(size: Int, count: Int)
    case wait(Nanoseconds)
    case stall
    case finish(Script.End)
  }

  /// Steps being played, with how often they are to be played still.
  private struct Frame {
    let steps: [Script.Step]
    var index = 0
    var rounds = 1
    var interval = Nanoseconds.zero
  }

  /// Pieces of a step that is more than one move.
  private enum Pieces {
    case none
    case flood(Int)
    case trickle([UInt8], offset: Int, piece: Int, interval: Nanoseconds, waits: Bool)
  }

  private static let filler = [UInt8](repeating: UInt8(ascii: "x"), count: 65_536)

  private var frames: [Frame]
  private var pieces = Pieces.none

  package init(_ script: Script) {
    frames = [Frame(steps: script.steps)]
  }

  /// The next move. A script without an end of its own ends cleanly.
  package mutating func next() -> Move {
    if let move = nextPiece() { return move }
    while let last = frames.indices.last {
      if frames[last].index < frames[last].steps.count {
        let step = frames[last].steps[frames[last].index]
        frames[last].index += 1
        if let move = take(step) { return move }
      } else {
        frames[last].rounds -= 1
        frames[last].index = 0
        let interval = frames[last].interval
        if frames[last].rounds <= 0 { frames.removeLast() }
        if interval > .zero { return .wait(interval) }
      }
    }
    return .finish(.clean)
  }

  /// The step's move, or `nil` when it only changed the place.
  private mutating func take(_ step: Script.Step) -> Move? {
    switch step {
    case .head(let head): return .head(head)
    case .body(let bytes): return .body(bytes)
    case .raw(let bytes): return .raw(bytes)
    case .pause(let time): return .wait(time)
    case .stamped(let size, let count): return .stamped(size: size, count: count)
    case .stall: return .stall
    case .finish(let end): return .finish(end)
    case .repeated(let count, let interval, let steps):
      if count > 0 { frames.append(Frame(steps: steps, rounds: count, interval: interval)) }
      return nil
    case .flood(let count):
      pieces = .flood(count)
      return nextPiece()
    case .trickle(let bytes, let piece, let interval):
      pieces = .trickle(bytes, offset: 0, piece: max(1, piece), interval: interval, waits: false)
      return nextPiece()
    }
  }

  private mutating func nextPiece() -> Move? {
    switch pieces {
    case .none:
      return nil
    case .flood(let rest):
      guard rest > 0 else { break }
      let count = min(rest, Self.filler.count)
      pieces = .flood(rest - count)
      return .body(count == Self.filler.count ? Self.filler : Array(Self.filler[..<count]))
    case .trickle(let bytes, let offset, let piece, let interval, true):
      pieces = .trickle(bytes, offset: offset, piece: piece, interval: interval, waits: false)
      return .wait(interval)
    case .trickle(let bytes, let offset, let piece, let interval, false):
      guard offset < bytes.count else { break }
      let end = min(bytes.count, offset + piece)
      pieces = .trickle(bytes, offset: end, piece: piece, interval: interval, waits: true)
      return .body(Array(bytes[offset..<end]))
    }
    pieces = .none
    return nil
  }
}
