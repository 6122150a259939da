internal import JSON

/// What is wrong with one of the matrix's files, and where.
package struct MatrixFileError: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}

/// An object of which every member must be known.
final class StrictObject {
  let place: String
  private let object: JSONObject
  private var asked: Set<String> = []

  private init(_ object: JSONObject, place: String) {
    (self.object, self.place) = (object, place)
  }

  /// The objects of an array in JSON5.
  static func rows(of text: String) throws(MatrixFileError) -> [StrictObject] {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: text, dialect: .json5)
    } catch {
      throw MatrixFileError("\(error)")
    }
    guard let rows = value.array else { throw MatrixFileError("expected an array, found \(value.kindName)") }
    var result: [StrictObject] = []
    for (index, row) in rows.enumerated() {
      guard let object = row.object else {
        throw MatrixFileError("[\(index)]: expected an object, found \(row.kindName)")
      }
      result.append(StrictObject(object, place: "[\(index)]"))
    }
    return result
  }

  private func value(_ name: String) -> JSONValue? {
    asked.insert(name)
    return object[name]
  }

  private func wrong(_ name: String, _ what: String) -> MatrixFileError {
    MatrixFileError("\(place).\(name): expected \(what)")
  }

  func text(_ name: String) throws(MatrixFileError) -> String {
    guard let text = value(name)?.string else { throw wrong(name, "a string") }
    return text
  }

  func optionalText(_ name: String) throws(MatrixFileError) -> String? {
    guard let value = value(name) else { return nil }
    guard let text = value.string else { throw wrong(name, "a string") }
    return text
  }

  func texts(_ name: String) throws(MatrixFileError) -> [String] {
    guard let values = value(name)?.array else { throw wrong(name, "an array of strings") }
    let texts = values.compactMap(\.string)
    guard texts.count == values.count else { throw wrong(name, "an array of strings") }
    return texts
  }

  func flag(_ name: String) throws(MatrixFileError) -> Bool? {
    guard let value = value(name) else { return nil }
    guard let flag = value.bool else { throw wrong(name, "true or false") }
    return flag
  }

  func choice<Choice: RawRepresentable>(
    _ name: String
  ) throws(MatrixFileError) -> Choice? where Choice.RawValue == String {
    guard let value = value(name) else { return nil }
    guard let choice = value.string.flatMap(Choice.init(rawValue:)) else {
      throw wrong(name, "a known word, found \(value.text())")
    }
    return choice
  }

  func choices<Choice: RawRepresentable>(
    _ name: String
  ) throws(MatrixFileError) -> [Choice]? where Choice.RawValue == String {
    guard value(name) != nil else { return nil }
    var choices: [Choice] = []
    for word in try texts(name) {
      guard let choice = Choice(rawValue: word) else { throw wrong(name, "known words, found \"\(word)\"") }
      choices.append(choice)
    }
    return choices
  }

  /// - Throws: the first member that nobody has asked for.
  func end() throws(MatrixFileError) {
    for name in object.names where !asked.contains(name) {
      throw MatrixFileError("\(place).\(name): unknown name")
    }
  }
}
