/// Elements in the order in which they came. Any of them may leave, in constant time.
// In this module for the reason that `Queue` is.
package struct Lineup<Element> {
  /// Where an element stands, until it leaves. Used once.
  package struct Place {
    fileprivate let slot: Int
  }

  private struct Node {
    var element: Element?
    var previous: Int
    var next: Int
  }

  /// `nodes[0]` closes the ring: its next is the first element, its previous the last.
  private var nodes: [Node] = [Node(element: nil, previous: 0, next: 0)]
  private var free: [Int] = []
  package private(set) var count = 0

  package init() {}

  package var isEmpty: Bool { count == 0 }
  /// The element that has been here longest.
  package var first: Element? { nodes[nodes[0].next].element }

  package mutating func append(_ element: Element) -> Place {
    let last = nodes[0].previous
    let node = Node(element: element, previous: last, next: 0)
    let slot: Int
    if let reused = free.popLast() {
      slot = reused
      nodes[slot] = node
    } else {
      slot = nodes.count
      nodes.append(node)
    }
    nodes[last].next = slot
    nodes[0].previous = slot
    count += 1
    return Place(slot: slot)
  }

  package mutating func remove(_ place: Place) {
    let node = nodes[place.slot]
    guard node.element != nil else { return }
    nodes[node.previous].next = node.next
    nodes[node.next].previous = node.previous
    nodes[place.slot].element = nil
    count -= 1
    // After a flood its memory is given back.
    if isEmpty, nodes.count > 1024 { self = Lineup() } else { free.append(place.slot) }
  }
}
