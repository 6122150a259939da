import Loop
import Synchronization

/// How the loops of the process reach each other: one member for each loop, which others run closures with.
package final class LoopPeers<Member: AnyObject>: Sendable {
  private struct Peer {
    let mailbox: Mailbox
    let member: LoopBound<Member>
  }

  package init() {}

  private let peers = Mutex<[Int: Peer]>([:])

  /// Makes `member` known as that of the loop `index`. Called on that loop.
  func join(_ member: Member, of index: Int, on loop: EventLoop) {
    let peer = Peer(mailbox: loop.mailbox, member: LoopBound(member, loop: loop))
    peers.withLock { $0[index] = peer }
  }

  func leave(_ index: Int) {
    _ = peers.withLock { $0.removeValue(forKey: index) }
  }

  /// Runs `body` on the loop `index`, after what was asked of it before.
  ///
  /// - Returns: false when that loop is gone.
  @discardableResult
  func ask(_ index: Int, _ body: @escaping @Sendable (Member) -> Void) -> Bool {
    guard let peer = peers.withLock({ $0[index] }) else { return false }
    return peer.mailbox.post { body(peer.member.value) }
  }

  /// Runs `body` on every loop.
  ///
  /// - Returns: on how many it will run.
  func askAll(_ body: @escaping @Sendable (Member) -> Void) -> Int {
    peers.withLock { Array($0.keys) }.count { ask($0, body) }
  }

  /// Runs `body` on every loop but `index`.
  func askOthers(than index: Int, _ body: @escaping @Sendable (Member) -> Void) {
    for other in peers.withLock({ Array($0.keys) }) where other != index { ask(other, body) }
  }
}
