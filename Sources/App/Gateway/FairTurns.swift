import Bytes
package import Loop

/// Work of a loop that is too long for one turn: each waits in line for a share, and between the shares the loop looks
/// after its other connections.
///
/// `EventLoop.callAfterThisCallback` would not do: what it calls comes before the loop asks its sockets again.
package final class FairTurns {
  private unowned let loop: EventLoop
  private var waiting = Queue<any TurnMember>()
  private var isPosted = false

  /// Members that are called in one turn of the loop.
  private static let share = 4

  package init(loop: EventLoop) {
    self.loop = loop
  }

  /// Calls `member` when all that came before it have had their turn. Retains it until then.
  package func append(_ member: any TurnMember) {
    waiting.append(member)
    post()
  }

  private func post() {
    guard !isPosted else { return }
    let bound = LoopBound(self, loop: loop)
    isPosted = loop.mailbox.post { bound.value.turn() }
  }

  private func turn() {
    isPosted = false
    for _ in 0..<Self.share {
      guard let member = waiting.popFirst() else { return }
      member.turnCame()
    }
    if !waiting.isEmpty { post() }
  }
}
