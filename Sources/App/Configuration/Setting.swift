import JSON
package import Time

/// A setting that is a single value: its name, what the value may be, where it stands in the settings of its `Owner`. How it
/// is read, what the summary says of it, and the name of its variable follow from that.
package struct Setting<Owner>: Sendable {
  typealias Place<Value> = WritableKeyPath<Owner, Value> & Sendable

  package let name: String
  /// What the value is, and between which bounds.
  package let kind: SettingKind
  fileprivate let read: @Sendable (JSONReader, inout Owner) -> Void
  fileprivate let document: @Sendable (Owner) -> JSONValue?

  private init<Value>(
    _ name: String, _ kind: SettingKind, _ place: any Place<Value>,
    read: @escaping @Sendable (JSONReader) -> Value?, document: @escaping @Sendable (Value) -> JSONValue?
  ) {
    self.name = name
    self.kind = kind
    self.read = { reader, owner in
      if let value = read(reader) { owner[keyPath: place] = value }
    }
    self.document = { document($0[keyPath: place]) }
  }

  // MARK: - Kinds of values

  static func switched(_ name: String, _ place: any Place<Bool>) -> Setting {
    Setting(name, .switched, place, read: { $0.bool(name) }, document: { .bool($0) })
  }

  static func number(_ name: String, _ place: any Place<Int>, in range: ClosedRange<Int>) -> Setting {
    Setting(name, .number(range), place, read: { $0.int(name, in: range) }, document: { JSONValue($0) })
  }

  static func bytes(_ name: String, _ place: any Place<Int>, in range: ClosedRange<Int>) -> Setting {
    Setting(name, .bytes(range), place, read: { $0.byteSize(name, in: range) }, document: { JSONValue($0) })
  }

  static func time(
    _ name: String, _ place: any Place<Nanoseconds>, in range: ClosedRange<Nanoseconds> = SettingKind.usualTimes
  ) -> Setting {
    Setting(name, .time(range), place, read: { $0.duration(name, in: range) }, document: { .string($0.text) })
  }

  /// One that may be absent.
  ///
  /// - Parameter absent: what the summary says then; `nil`: nothing.
  static func time(
    _ name: String, _ place: any Place<Nanoseconds?>, in range: ClosedRange<Nanoseconds> = SettingKind.usualTimes,
    absent: JSONValue? = nil
  ) -> Setting {
    Setting(
      name, .time(range), place, read: { $0.duration(name, in: range).map(Optional.some) },
      document: { time in time.map { .string($0.text) } ?? absent })
  }

  static func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
    _ name: String, _ place: any Place<Choice>
  ) -> Setting where Choice.RawValue == String {
    Setting(
      name, .choice(Choice.allCases.map(\.rawValue)), place, read: { $0.choice(name) },
      document: { .string($0.rawValue) })
  }

  /// Anything else.
  ///
  /// - Parameter expected: what the value is, as a fault says it.
  static func value<Value>(
    _ name: String, _ place: any Place<Value>, expected: String, _ convert: @escaping @Sendable (JSONValue) -> Value?,
    document: @escaping @Sendable (Value) -> JSONValue
  ) -> Setting {
    Setting(
      name, .value(expected), place, read: { $0.read(name, expected: expected, convert) }, document: document)
  }
}

/// What a setting's value is, and between which bounds.
package enum SettingKind: Sendable {
  case switched
  case number(ClosedRange<Int>)
  case bytes(ClosedRange<Int>)
  case time(ClosedRange<Nanoseconds>)
  case choice([String])
  case value(String)

  /// Up to a year.
  static let usualTimes = Nanoseconds.zero...Nanoseconds.seconds(366 * 86_400)
}

extension Array {
  /// Reads what `reader` has of these; what it lacks, or has wrong, stays as it is.
  func read<Owner>(_ reader: JSONReader, into owner: inout Owner) where Element == Setting<Owner> {
    for setting in self { setting.read(reader, &owner) }
  }

  /// What the summary says of them.
  func members<Owner>(of owner: Owner) -> [JSONObject.Member] where Element == Setting<Owner> {
    compactMap { setting in setting.document(owner).map { JSONObject.Member(name: setting.name, value: $0) } }
  }

  func document<Owner>(of owner: Owner) -> JSONValue where Element == Setting<Owner> {
    .object(JSONObject(members(of: owner)))
  }

  /// Their paths in the configuration, which variables may name.
  func paths<Owner>(in place: String) -> [String] where Element == Setting<Owner> { map { "\(place).\($0.name)" } }
}
