extension JSONDocument {
  /// The bytes of `new`, an edited form of this document. What the edit left alone keeps the bytes that it has here:
  /// the spelling of numbers and strings, blanks, and the order of members. New members take the layout of their
  /// neighbours.
  package func rewritten(as new: JSONValue) -> [UInt8] {
    guard let tokens = try? JSONScanner.tokens(of: text, dialect: dialect, limits: limits) else {
      return new.serialized(.pretty)
    }
    var places = JSONPlaces(tokens: tokens)
    let root = places.place(of: value)
    let bytes =
      text[..<root.range.lowerBound] + JSONRewriter(text: text).bytes(of: new, over: root)
      + text[root.range.upperBound...]
    // Whatever the text looked like, the meaning must be that of `new`.
    guard (try? JSONValue(parsing: Array(bytes), dialect: dialect, limits: limits)) == new else {
      return new.serialized(.pretty)
    }
    return Array(bytes)
  }
}

/// A value and where its text is.
private struct JSONPlace {
  struct Child {
    /// The member's name; "" in an array.
    var name: String
    /// Where the member's name, or the element, begins.
    var start: Int
    var place: JSONPlace
  }

  var value: JSONValue
  var range: Range<Int>
  var children: [Child]
}

/// Finds the places of a document's values: values and tokens come in the same order.
private struct JSONPlaces {
  let tokens: [JSONScanner.Token]
  private var index = 0

  init(tokens: [JSONScanner.Token]) { self.tokens = tokens }

  mutating func place(of value: JSONValue) -> JSONPlace {
    let start = tokens[index].start
    index += 1
    var children: [JSONPlace.Child] = []
    switch value {
    case .object(let object):
      for member in object.members {
        let nameStart = tokens[index].start
        index += 1
        children.append(JSONPlace.Child(name: member.name, start: nameStart, place: place(of: member.value)))
      }
      index += 1
    case .array(let elements):
      for element in elements {
        children.append(JSONPlace.Child(name: "", start: tokens[index].start, place: place(of: element)))
      }
      index += 1
    default: break
    }
    return JSONPlace(value: value, range: start..<tokens[index - 1].end, children: children)
  }
}

private struct JSONRewriter {
  let text: [UInt8]

  func bytes(of new: JSONValue, over old: JSONPlace) -> [UInt8] {
    if new == old.value { return Array(text[old.range]) }
    // A value that now stands inside of what took its place keeps its bytes there.
    guard !Self.contains(old.value, in: new), !old.children.isEmpty else { return written(new, over: old) }
    switch new {
    case .object(let object) where old.value.object != nil: return bytes(of: object, over: old)
    case .array(let elements) where old.children.count == elements.count && old.value.array != nil:
      return bytes(of: elements, over: old)
    default: return written(new, over: old)
    }
  }

  private func bytes(of object: JSONObject, over old: JSONPlace) -> [UInt8] {
    guard !object.isEmpty else { return [UInt8(ascii: "{"), UInt8(ascii: "}")] }
    let comma = UInt8(ascii: ",")
    let lead = text[old.range.lowerBound + 1..<old.children[0].start]
    let newLead = self.newLead(in: old)
    var out = [UInt8(ascii: "{")]
    for (position, member) in object.members.enumerated() {
      guard let index = old.children.firstIndex(where: { $0.name.sameBytes(as: member.name) }) else {
        if position > 0 { out.append(comma) }
        out += newLead
        out += JSONValue.string(member.name).serialized() + [UInt8(ascii: ":"), 0x20]
        out += written(member.value, after: newLead)
        continue
      }
      let child = old.children[index]
      if position == 0 {
        out += lead
      } else if index == 0 {
        out.append(comma)
        out += lead
      } else {
        out += text[old.children[index - 1].place.range.upperBound..<child.start]
      }
      out += text[child.start..<child.place.range.lowerBound] + bytes(of: member.value, over: child.place)
    }
    return out + text[old.children[old.children.count - 1].place.range.upperBound..<old.range.upperBound]
  }

  /// What comes before a new member: the same as before the last one.
  private func newLead(in old: JSONPlace) -> ArraySlice<UInt8> {
    guard let last = old.children.last else { return [] }
    guard old.children.count > 1 else { return text[old.range.lowerBound + 1..<last.start] }
    let gap = text[old.children[old.children.count - 2].place.range.upperBound..<last.start]
    return gap.drop { $0 != UInt8(ascii: ",") }.dropFirst()
  }

  private func bytes(of elements: [JSONValue], over old: JSONPlace) -> [UInt8] {
    var (out, end) = ([UInt8](), old.range.lowerBound)
    for (element, child) in zip(elements, old.children) {
      out += text[end..<child.start] + bytes(of: element, over: child.place)
      end = child.place.range.upperBound
    }
    return out + text[end..<old.range.upperBound]
  }

  /// A new value in place of an old one, which may be part of it.
  private func written(_ new: JSONValue, over old: JSONPlace) -> [UInt8] {
    let line = text[..<old.range.lowerBound].lastIndex(of: 0x0A).map { text[$0..<old.range.lowerBound] }
    // A file on one line stays on one.
    guard let line else { return new.serialized(.compact, indent: 0, keeping: old.value, as: text[old.range]) }
    let blanks = line.dropFirst().prefix { $0 == 0x20 || $0 == 0x09 }.count
    return new.serialized(.pretty, indent: blanks / 2, keeping: old.value, as: text[old.range])
  }

  private func written(_ new: JSONValue, after lead: ArraySlice<UInt8>) -> [UInt8] {
    guard let lineBreak = lead.lastIndex(of: 0x0A) else { return new.serialized(.compact) }
    return new.serialized(.pretty, indent: (lead.endIndex - lineBreak - 1) / 2)
  }

  /// Whether `part`, an object or array, is somewhere inside of `value`.
  private static func contains(_ part: JSONValue, in value: JSONValue) -> Bool {
    switch (part, value) {
    case (.object, .array(let elements)), (.array, .array(let elements)):
      return elements.contains { $0 == part || contains(part, in: $0) }
    case (.object, .object(let object)), (.array, .object(let object)):
      return object.members.contains { $0.value == part || contains(part, in: $0.value) }
    default: return false
    }
  }
}
