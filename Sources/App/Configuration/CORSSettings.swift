import HTTP
import JSON
import Time

extension CORSPolicy {
  /// Reads `cors: { origins, methods, headers, exposed, credentials, maxAge }`; `false` switches an inherited one off.
  static func read(_ reader: JSONReader, default inherited: CORSPolicy?) -> CORSPolicy? {
    if reader.value("cors")?.bool == false { return nil }
    guard let reader = reader.nested("cors") else { return inherited }
    reader.require("origins")
    let origins =
      reader.elements("origins", expected: "\"*\", an origin such as \"https://app.example\", or \"https://*.example\"")
    {
      value, _ in value.string.flatMap(CORSOrigin.init)
    } ?? []
    var grants = Grants()
    grants.methods = reader.wildcardList("methods", expected: "a method") { HTTP.Method($0) }
    grants.headers = reader.wildcardList("headers", expected: "the name of a header") { FieldName($0) }
    grants.exposed =
      reader.elements("exposed", expected: "the name of a header") { value, _ in
        value.string.flatMap { $0 == "*" ? nil : FieldName($0) }
      } ?? []
    grants.allowsCredentials = reader.bool("credentials", default: false)
    let longest = Nanoseconds.seconds(86_400)
    grants.maxAge = reader.duration("maxAge", in: .zero...longest).map { Int($0.seconds) } ?? grants.maxAge
    guard !origins.isEmpty else {
      if reader.value("origins")?.array?.isEmpty == true { reader.fault("origins", "is empty") }
      return nil
    }
    guard let policy = CORSPolicy(origins: origins, grants: grants) else {
      reader.fault("credentials", "can't be given to every origin: name the origins instead of \"*\" or \"null\"")
      return nil
    }
    return policy
  }

  var document: JSONValue {
    [
      "origins": .array(origins.map { .string($0.description) }),
      "methods": .array(grants.methods.isEmpty ? ["*"] : grants.methods.map { .string($0.name) }),
      "headers": .array(grants.headers.isEmpty ? ["*"] : grants.headers.map { .string($0.string) }),
      "exposed": .array(grants.exposed.map { .string($0.string) }),
      "credentials": .bool(grants.allowsCredentials), "maxAge": .string("\(grants.maxAge)s"),
    ]
  }
}

extension JSONReader {
  /// A list whose one element `"*"` means the same as no list: everything.
  fileprivate func wildcardList<Element>(
    _ name: String, expected: String, _ convert: (String) -> Element?
  ) -> [Element] {
    if value(name) == ["*"] { return [] }
    return elements(name, expected: expected) { value, _ in
      value.string.flatMap { $0 == "*" ? nil : convert($0) }
    } ?? []
  }
}
