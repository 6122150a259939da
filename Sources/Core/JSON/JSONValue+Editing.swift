extension JSONValue {
  /// The value at `path` through members and list positions. Setting makes the objects that are missing on the
  /// way, and removes the member when it is `nil`; a path that runs into a scalar or outside a list changes nothing.
  package subscript(path path: [String]) -> JSONValue? {
    get {
      var value: JSONValue? = self
      for step in path {
        switch value {
        case .object(let object)?: value = object[step]
        case .array(let elements)?: value = Int(step).flatMap { elements.indices.contains($0) ? elements[$0] : nil }
        default: return nil
        }
      }
      return value
    }
    set { self = setting(path[...], to: newValue) }
  }

  private func setting(_ path: ArraySlice<String>, to value: JSONValue?) -> JSONValue {
    guard let step = path.first else { return value ?? self }
    let rest = path.dropFirst()
    switch self {
    case .object(var object):
      if rest.isEmpty {
        object[step] = value
      } else if let member = object[step] ?? (value == nil ? nil : .object(JSONObject())) {
        object[step] = member.setting(rest, to: value)
      }
      return .object(object)
    case .array(var elements):
      guard let index = Int(step), elements.indices.contains(index), let value else { return self }
      elements[index] = rest.isEmpty ? value : elements[index].setting(rest, to: value)
      return .array(elements)
    default: return self
    }
  }
}

/// The difference of two documents as operations of RFC 6902.
package enum JSONPatch {
  /// Lists are replaced whole: their elements have no identity of their own.
  package static func difference(from old: JSONValue, to new: JSONValue) -> [JSONValue] {
    difference(from: old, to: new, at: JSONPointer())
  }

  private static func difference(from old: JSONValue, to new: JSONValue, at pointer: JSONPointer) -> [JSONValue] {
    guard old != new else { return [] }
    guard case (.object(let before), .object(let after)) = (old, new) else {
      return [["op": "replace", "path": .string(pointer.description), "value": new]]
    }
    var operations: [JSONValue] = []
    for member in before.members {
      let place = pointer.appending(member.name)
      if let value = after[member.name] {
        operations += difference(from: member.value, to: value, at: place)
      } else {
        operations.append(["op": "remove", "path": .string(place.description)])
      }
    }
    for member in after.members where before[member.name] == nil {
      let place = pointer.appending(member.name)
      operations.append(["op": "add", "path": .string(place.description), "value": member.value])
    }
    return operations
  }
}
