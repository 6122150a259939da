package import Loop

/// What the handshakes of one loop may cost the streams beside them: so many steps in a turn of the loop, so many
/// handshakes at a time.
///
/// A step with a signature takes up to 2 ms; without this bound, thousands of clients that come back at once would stop
/// every stream of the loop. Confined to its loop.
package final class HandshakeBudget: TurnMember {
  /// Steps of handshakes in one turn of the loop.
  package static let stepsPerTurn = 8
  /// Handshakes under way at a time.
  package static let limit = 1024

  private let loop: EventLoop
  private var steps = HandshakeBudget.stepsPerTurn
  package private(set) var underWay = 0
  /// Called when there is room again after there was none.
  package var roomIsBack: () -> Void = {}

  package init(loop: EventLoop) {
    self.loop = loop
  }

  package var isFull: Bool { underWay >= Self.limit }

  func began() { underWay += 1 }

  func ended() {
    let wasFull = isFull
    underWay -= 1
    if wasFull, !isFull { roomIsBack() }
  }

  /// Takes one step. Without one left the handshake waits: what it is to read makes the loop say so again in its next
  /// turn.
  func takeStep() -> Bool {
    // The end of the turn is behind all callbacks that are due in it.
    if steps == Self.stepsPerTurn { loop.callAfterThisCallback(self) }
    guard steps > 0 else { return false }
    steps -= 1
    return true
  }

  package func turnCame() { steps = Self.stepsPerTurn }
}
