package import Loop
package import Time

/// What the handshakes of one loop may cost the streams beside them: so much time and so many steps in a turn of the
/// loop, after all that streams do in it, and so many handshakes at a time.
///
/// A step with a signature takes up to 2 ms; without this bound, thousands of clients that come back at once would stop
/// every stream of the loop. Confined to its loop.
package final class HandshakeBudget: TurnMember {
  /// Steps of handshakes in one turn of the loop.
  package static let stepsPerTurn = 8
  /// Once so long went into steps, no further step is begun in this turn. So a turn takes as much and one step.
  package static let timePerTurn = Nanoseconds.milliseconds(1)
  /// Handshakes under way at a time.
  package static let limit = 1024

  private let loop: EventLoop
  /// Those that can go on, the longest waiting first.
  private var waiting: [TLSHandshake] = []
  private var turn = Turn.none
  package private(set) var underWay = 0
  /// Called when there is room again after there was none.
  package var roomIsBack: () -> Void = {}

  package init(loop: EventLoop) {
    self.loop = loop
  }

  package var isFull: Bool { underWay >= Self.limit }

  func began() { underWay += 1 }

  func ended(_ handshake: TLSHandshake) {
    if handshake.waitsForStep { waiting.removeAll { $0 === handshake } }
    let wasFull = isFull
    underWay -= 1
    if wasFull, !isFull { roomIsBack() }
  }

  /// Lets `handshake` take its next step when the streams of this turn have done their work. If its turn doesn't come,
  /// this has to be called again in the next: it is, as long as its socket is watched for what it has got already.
  func wait(_ handshake: TLSHandshake) {
    if !handshake.waitsForStep { waiting.append(handshake) }
    handshake.waitsForStep = true
    guard turn == .none else { return }
    turn = .begun
    loop.callAfterThisCallback(self)
  }

  package func turnCame() {
    // All callbacks of the loop's turn are done. What they have put off to its end goes before handshakes too.
    guard turn == .last else {
      turn = .last
      return loop.callAfterThisCallback(self)
    }
    turn = .none
    let end = loop.readClock() + Self.timePerTurn
    var steps = 0
    while !waiting.isEmpty, steps < Self.stepsPerTurn, steps == 0 || loop.readClock() < end {
      let handshake = waiting.removeFirst()
      handshake.waitsForStep = false
      handshake.takeStep()
      steps += 1
    }
  }

  /// How far a turn with handshakes that can go on has come.
  private enum Turn {
    case none
    case begun
    case last
  }
}
