package import JSON

/// A flag file, read whole, checked and compiled: one immutable snapshot that every worker shares.
package final class FlagSet: Sendable {
  /// How much is refused.
  package enum Strictness: Sendable {
    /// Everything that the published schema forbids.
    case schema
    /// Only what the Go daemon refuses.
    case daemon
  }

  /// Lower-case hexadecimal SHA-256 of the file's bytes: what tells two files apart.
  package let hash: String
  /// `metadata.version`, "" when the file has none.
  package let version: String
  /// What people, log lines and metrics call this file: its version, or its short hash when it has none. At most 128
  /// bytes, all of them printable ASCII.
  package let name: String
  /// `metadata.flagSetId`, "" when the file has none.
  package let identifier: String
  package let generation: FractionalGeneration
  /// What the linter had to say about a file that is good enough.
  package let warnings: [FlagFault]
  /// The file as JSON.
  package let document: JSONValue
  /// In the order of the file.
  package let flags: [FlagDefinition]
  private let positions: [String: Int]

  /// - Parameters:
  ///   - required: flags that the file must have; without any of them it does not take effect.
  ///   - strictness: what counts as an error.
  /// - Throws: every fault of a file that has an error.
  package convenience init(
    parsing text: [UInt8], requiring required: [FlagKey] = [], strictness: Strictness = .schema
  ) throws(FlagFileError) {
    let parsed: JSONDocument
    do {
      parsed = try JSONDocument(parsing: text, limits: .flagFile)
    } catch {
      var fault = FlagFault(JSONPointer(), error.message)
      fault.position = error.position
      throw FlagFileError(faults: [fault])
    }
    var faults = strictness == .schema ? FlagFileSchema.faults(in: parsed.value) : []
    var flags: [FlagDefinition] = []
    if !faults.contains(where: { $0.severity == .error }) {
      do {
        flags = try FlagFile.definitions(in: parsed.value)
      } catch {
        faults.append(error)
      }
      faults += Self.faults(of: required, among: flags)
    }
    faults = FlagFile.placed(faults, in: parsed)
    guard !faults.contains(where: { $0.severity == .error }) else { throw FlagFileError(faults: faults) }
    self.init(flags, document: parsed.value, hash: SHA256.hexadecimal(text), warnings: faults)
  }

  private init(_ flags: [FlagDefinition], document: JSONValue, hash: String, warnings: [FlagFault]) {
    let metadata = document["metadata"]
    self.hash = hash
    self.version = metadata?["version"]?.string ?? ""
    self.name = Self.name(version: self.version, hash: hash)
    self.identifier = metadata?["flagSetId"]?.string ?? ""
    self.generation = metadata?["fractional"]?.string.flatMap(FractionalGeneration.init) ?? .v2
    self.warnings = warnings
    self.document = document
    self.flags = flags
    self.positions = Dictionary(flags.enumerated().map { ($1.key, $0) }, uniquingKeysWith: { $1 })
  }

  /// What keeps a file from being used by a program that needs the flags `required`.
  private static func faults(of required: [FlagKey], among flags: [FlagDefinition]) -> [FlagFault] {
    required.flatMap { key -> [FlagFault] in
      guard let flag = flags.first(where: { $0.key == key.description }) else {
        return [FlagFault(JSONPointer(["flags"]), "the flag \"\(key)\" is missing")]
      }
      return key.strangeVariants(of: flag)
    }
  }

  /// The most bytes of a name.
  static let nameLimit = 128

  static func name(version: String, hash: String) -> String {
    if version.isEmpty { return hash.isEmpty ? "built-in" : String(hash.prefix(12)) }
    let shown = version.unicodeScalars.prefix(nameLimit).map { scalar in
      isPrintable(scalar) ? Character(scalar) : "?"
    }
    return String(shown)
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool { (0x20...0x7E).contains(scalar.value) }

  /// Whether the version is shown as it is.
  var hasPlainVersion: Bool {
    version.unicodeScalars.count <= Self.nameLimit && version.unicodeScalars.allSatisfy(Self.isPrintable)
  }

  /// What holds without a file: `stream-closing` is `legacy` for everybody.
  package static let builtIn = withoutFile(giving: "legacy")

  /// The same with another variant for everybody.
  package static func withoutFile(giving variant: String) -> FlagSet {
    let names = ["legacy", "shield", "graceful"]
    let variants = names.map { FlagDefinition.Variant(name: $0, value: .string($0)) }
    let flag = FlagDefinition(
      key: FlagKey.streamClosing.description, variants: variants, defaultIndex: names.firstIndex(of: variant) ?? 0)
    return FlagSet([flag], document: ["flags": [:]], hash: "", warnings: [])
  }

  package subscript(key: String) -> FlagDefinition? { positions[key].map { flags[$0] } }

  /// The answer of the flag `key` in `context`. Never fails: what goes wrong is the answer's `errorCode`.
  package func evaluate(_ key: FlagKey, _ context: EvaluationContext) -> Resolution {
    evaluate(key.description, context)
  }

  /// What a `fractional` without a bucketing value of its own goes by for this client: says in which share of any
  /// rollout it is, and not who it is. `nil` without a targeting key.
  package func clientHash(_ key: FlagKey, targetingKey: String) -> UInt32? {
    Fractional.hash(flagKey: key.description, targetingKey: targetingKey, generation)
  }

  package func evaluate(_ key: String, _ context: EvaluationContext) -> Resolution {
    guard let position = positions[key] else { return .failed(.flagNotFound) }
    return flags[position].evaluate(context, generation)
  }
}

/// The file's outermost structure.
enum FlagFile {
  /// The flags of `document`, compiled, whether they stand in an object or (the daemon alone takes that) a list.
  static func definitions(in document: JSONValue) throws(FlagFault) -> [FlagDefinition] {
    let top = JSONPointer()
    guard case .object(let root) = document else { throw FlagFault(top, "must be an object") }
    guard let flags = root["flags"] else { throw FlagFault(top, "\"flags\" is missing") }
    let metadata = root["metadata"]?.object ?? JSONObject()
    let evaluators = root["$evaluators"]?.object ?? JSONObject()
    var definitions: [FlagDefinition] = []
    for (key, flag, pointer) in try members(of: flags) {
      guard case .object(let source) = flag else { throw FlagFault(pointer, "must be an object") }
      definitions.append(
        try FlagDefinition(key: key, source, metadata: metadata, evaluators: evaluators, pointer: pointer))
    }
    return definitions
  }

  /// Keys, flags and their places.
  static func members(of flags: JSONValue) throws(FlagFault) -> [(key: String, flag: JSONValue, pointer: JSONPointer)] {
    let top = JSONPointer(["flags"])
    switch flags {
    case .null: return []
    case .object(let object): return object.members.map { ($0.name, $0.value, top.appending($0.name)) }
    case .array(let elements):
      var result: [(key: String, flag: JSONValue, pointer: JSONPointer)] = []
      for (index, flag) in elements.enumerated() {
        let pointer = top.appending(index)
        guard case .string(let key)? = flag["key"], !key.isEmpty else {
          throw FlagFault(pointer, "a flag in a list needs a \"key\"")
        }
        result.append((key, flag, pointer))
      }
      return result
    default: throw FlagFault(top, "must be an object")
    }
  }

  /// The faults with their places in the text, the first hundred of them.
  static func placed(_ faults: [FlagFault], in document: JSONDocument) -> [FlagFault] {
    faults.prefix(100).map { fault in
      var fault = fault
      fault.position = document.position(of: fault.pointer)
      return fault
    }
  }
}
