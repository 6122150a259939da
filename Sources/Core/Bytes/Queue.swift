/// First in, first out.
// In this module because its functions may be compiled for the element where they are used: generic ones of others look
// types up in every call.
package struct Queue<Element> {
  private var elements: [Element?] = []
  private var head = 0

  package init() {}

  package var count: Int { elements.count - head }
  package var isEmpty: Bool { count == 0 }
  package var first: Element? { isEmpty ? nil : elements[head] }

  package mutating func append(_ element: Element) {
    elements.append(element)
  }

  package mutating func popFirst() -> Element? {
    guard !isEmpty else { return nil }
    let element = elements[head]
    elements[head] = nil
    head += 1
    // What is popped is dropped for good when it is the larger part, so that an element moves once on average.
    if head == elements.count {
      elements.removeAll(keepingCapacity: elements.capacity <= 4096)
      head = 0
    } else if head > 1024, head > elements.count / 2 {
      elements.removeFirst(head)
      head = 0
    }
    return element
  }

  /// Keeps what `belongs` is true for.
  package mutating func keep(where belongs: (Element) -> Bool) {
    elements = elements[head...].filter { $0.map(belongs) ?? false }
    head = 0
  }
}
