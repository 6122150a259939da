import HTTP
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

  static func fraction(_ name: String, _ place: any Place<Double>, in range: ClosedRange<Double>) -> Setting {
    Setting(name, .fraction(range), place, read: { $0.double(name, in: range) }, document: { .number($0) })
  }

  static func text(_ name: String, _ place: any Place<String>) -> Setting {
    Setting(name, .text, place, read: { $0.string(name) }, document: { .string($0) })
  }

  /// One that may be absent; the summary says `null` then.
  static func text(_ name: String, _ place: any Place<String?>) -> Setting {
    Setting(name, .text, place, read: { $0.string(name).map(Optional.some) }, document: Self.orNull)
  }

  /// A text of a form of its own.
  ///
  /// - Parameter expected: what it is, as a fault says it.
  static func text<Value>(
    _ name: String, _ place: any Place<Value>, expected: String, parse: @escaping @Sendable (String) -> Value?,
    text: @escaping @Sendable (Value) -> String
  ) -> Setting {
    Setting(
      name, .text, place, read: { $0.read(name, expected: expected) { $0.string.flatMap(parse) } },
      document: { .string(text($0)) })
  }

  /// A header's name, which is kept in lower case.
  static func headerName(_ name: String, _ place: any Place<String>) -> Setting {
    Setting(name, .headerName, place, read: { $0.fieldName(name) }, document: { .string($0) })
  }

  /// One that may be absent; the summary says `null` then.
  static func headerName(_ name: String, _ place: any Place<String?>) -> Setting {
    Setting(name, .headerName, place, read: { $0.fieldName(name).map(Optional.some) }, document: Self.orNull)
  }

  /// Which name of a client's certificate is meant, or `none`.
  static func certificateName(_ name: String, _ place: any Place<CertificateName?>) -> Setting {
    Setting(
      name, .choice(CertificateName.allCases.map(\.rawValue) + ["none"]), place,
      read: { $0.certificateName(name).map(Optional.some) }, document: { .string($0?.rawValue ?? "none") })
  }

  private static func orNull(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }

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
  case fraction(ClosedRange<Double>)
  case text
  case headerName
  case value(String)

  /// Whether it is a text, whatever it looks like: a file may have the name `1`, the mode of a socket be `0660`.
  var isText: Bool {
    switch self {
    case .text, .headerName, .choice: true
    case .switched, .number, .bytes, .time, .fraction, .value: false
    }
  }

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
  ///
  /// - Parameter place: `nil` at the top of the configuration.
  func paths<Owner>(in place: String?) -> [SettingPath] where Element == Setting<Owner> {
    map { setting in
      SettingPath(place.map { "\($0).\(setting.name)" } ?? setting.name, isText: setting.kind.isText)
    }
  }
}

/// Where a single value stands in the configuration.
package struct SettingPath: Sendable {
  package let path: String
  /// Whether what a variable or the command line gives is a text, even if it looks like a number or a switch.
  let isText: Bool

  init(_ path: String, isText: Bool) {
    self.path = path
    self.isText = isText
  }
}
