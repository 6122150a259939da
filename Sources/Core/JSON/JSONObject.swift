/// The members of a JSON object, in the order of the text. Names are unique.
package struct JSONObject: Equatable, Sendable {
  package struct Member: Equatable, Sendable {
    package var name: String
    package var value: JSONValue

    package init(name: String, value: JSONValue) {
      self.name = name
      self.value = value
    }
  }

  package private(set) var members: [Member]
  /// Positions by name; kept only for objects too large to be searched from the front.
  private var positions: [String: Int]?

  /// Objects of at most this many members are searched from the front.
  private static let searchLimit = 12

  package init() {
    self.members = []
  }

  /// Of members with the same name the last wins, at the place of the first.
  package init(_ members: [Member]) {
    self.members = []
    self.members.reserveCapacity(members.count)
    for member in members { self[member.name] = member.value }
  }

  package var isEmpty: Bool { members.isEmpty }
  package var count: Int { members.count }
  package var names: [String] { members.map(\.name) }

  /// Setting `nil` removes the member; setting a new name appends it.
  package subscript(name: String) -> JSONValue? {
    get { position(of: name).map { members[$0].value } }
    set {
      switch (position(of: name), newValue) {
      case (let position?, let value?): members[position].value = value
      case (let position?, nil):
        members.remove(at: position)
        reindex()
      case (nil, let value?):
        members.append(Member(name: name, value: value))
        if positions == nil, members.count > Self.searchLimit {
          reindex()
        } else {
          positions?[name] = members.count - 1
        }
      case (nil, nil): break
      }
    }
  }

  private func position(of name: String) -> Int? {
    if let positions { return positions[name] }
    return members.firstIndex { $0.name.sameBytes(as: name) }
  }

  private mutating func reindex() {
    guard members.count > Self.searchLimit else {
      positions = nil
      return
    }
    positions = Dictionary(members.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { $1 })
  }

  /// Equal members in any order, as JSON has it.
  package static func == (left: Self, right: Self) -> Bool {
    left.count == right.count && left.members.allSatisfy { right[$0.name] == $0.value }
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self.init(elements.map { Member(name: $0.0, value: $0.1) })
  }
}
