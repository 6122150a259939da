import Bytes

/// Who may read a route's answers from a web page of another origin (Fetch, "HTTP-CORS protocol").
///
/// What a backend says about it itself is dropped where a route has a policy: two voices make browsers refuse.
///
/// An object, because every exchange of a route refers to it.
package final class CORSPolicy: Sendable, Equatable {
  /// What pages may do once their origin is allowed.
  package struct Grants: Sendable, Equatable {
    /// Empty: whatever is asked for.
    package var methods: [Method] = []
    /// Request headers. Empty: whatever is asked for.
    package var headers: [FieldName] = []
    /// Response headers that scripts may read besides ``CORSPolicy/alwaysExposed``.
    package var exposed: [FieldName] = []
    /// Whether cookies and `Authorization` of the browser's own may come along.
    package var allowsCredentials = false
    /// How long a browser may remember the answer to a preflight, in seconds.
    package var maxAge = 600

    package init() {}
  }

  package let origins: [CORSOrigin]
  package let grants: Grants
  private let exposedValue: FieldValue
  private let methodsValue: FieldValue?
  private let headersValue: FieldValue?

  /// What a stream's client needs to see, whatever a policy says.
  package static let alwaysExposed = [
    "X-Stream-Id", "X-Stream-Mode", "X-Stream-Outcome", "X-Stream-Resume", "X-Run-Id", "Preference-Applied",
    "Retry-After", "X-Request-Id",
  ]

  /// The fields that a backend no longer speaks for.
  package static let answered: KnownFieldSet = [
    .accessControlAllowCredentials, .accessControlAllowHeaders, .accessControlAllowMethods,
    .accessControlAllowOrigin, .accessControlExposeHeaders, .accessControlMaxAge,
  ]

  /// `nil` when credentials are allowed to every origin or to `null`: every site could then act as its visitor.
  package init?(origins: [CORSOrigin], grants: Grants = Grants()) {
    if grants.allowsCredentials, origins.contains(where: \.isAnonymous) { return nil }
    self.origins = origins
    self.grants = grants
    let others = grants.exposed.filter { name in
      !CORSPolicy.alwaysExposed.contains { FieldName($0) == name }
    }
    exposedValue = CORSPolicy.list(CORSPolicy.alwaysExposed + others.map(\.string))
    methodsValue = grants.methods.isEmpty ? nil : CORSPolicy.list(grants.methods.map(\.name))
    headersValue = grants.headers.isEmpty ? nil : CORSPolicy.list(grants.headers.map(\.string))
  }

  // The values follow from these two.
  package static func == (one: CORSPolicy, other: CORSPolicy) -> Bool {
    one.origins == other.origins && one.grants == other.grants
  }

  /// The elements are tokens, so the list is a value.
  private static func list(_ elements: [String]) -> FieldValue {
    FieldValue(elements.joined(separator: ", ")) ?? FieldValue(literal: "")
  }

  /// Whether `request` asks what it may do, not for the thing itself (Fetch, "CORS-preflight request").
  package static func isPreflight(_ request: borrowing RequestHead) -> Bool {
    request.method == .options && request.fields.contains(.origin)
      && request.fields.contains(.accessControlRequestMethod)
  }

  /// The same, but that every method is granted which is asked for.
  package var grantingAllMethods: CORSPolicy {
    var grants = grants
    grants.methods = []
    return CORSPolicy(origins: origins, grants: grants) ?? self
  }

  /// Whether the page may use it that sent `request`, or asks what it may do.
  package func allows(_ request: borrowing RequestHead) -> Bool { allowedOrigin(of: request) != nil }

  /// The method that a preflight asks for.
  package static func methodAskedFor(by request: borrowing RequestHead) -> Method? {
    let fields = request.fields
    guard isPreflight(request), let asked = fields.first(.accessControlRequestMethod) else { return nil }
    return Method(String(copying: asked))
  }

  /// The fields of the answer (204, without a body) to a preflight; `nil` when `request` is none. An origin that is
  /// not allowed gets none of them but `Vary`, which makes the browser refuse.
  package func preflight(_ request: borrowing RequestHead) -> Fields? {
    guard CORSPolicy.isPreflight(request) else { return nil }
    var fields = Fields()
    fields.append(
      .vary, literal: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
    guard let origin = allowedOrigin(of: request) else { return fields }
    appendOrigin(origin, to: &fields)
    if let methodsValue {
      fields.append(.accessControlAllowMethods, methodsValue)
    } else if let asked = CORSPolicy.token(.accessControlRequestMethod, of: request) {
      fields.append(.accessControlAllowMethods, asked)
    }
    if let headersValue {
      fields.append(.accessControlAllowHeaders, headersValue)
    } else if let asked = CORSPolicy.tokens(.accessControlRequestHeaders, of: request) {
      fields.append(.accessControlAllowHeaders, asked)
    }
    fields.append(.accessControlMaxAge, decimal: grants.maxAge)
    return fields
  }

  /// Appends what an answer to `request` must carry, the gateway's own refusals included.
  ///
  /// - Parameter head: the backend's fields, whose `Vary` is kept in the one that is written.
  package func append(
    for request: borrowing RequestHead, over head: borrowing Fields = Fields(), to fields: inout Fields
  ) {
    if isPublic {
      fields.append(.accessControlAllowOrigin, literal: "*")
      fields.append(.accessControlExposeHeaders, exposedValue)
      return
    }
    // Caches must not give one origin's answer to another, not even one without these fields.
    if !head.containsToken(.vary, "origin") { fields.append(.vary, literal: "Origin") }
    head.forEachValue(of: .vary) { value in
      if let value = FieldValue(value) { fields.append(.vary, value) }
    }
    guard let origin = allowedOrigin(of: request) else { return }
    appendOrigin(origin, to: &fields)
    fields.append(.accessControlExposeHeaders, exposedValue)
  }

  /// `base` for the answer to one request: with the policy's fields, without the backend's.
  package func rules(
    _ base: ResponseRules, for request: borrowing RequestHead, over head: borrowing Fields
  ) -> ResponseRules {
    var rules = base
    rules.dropped = base.dropped.union(CORSPolicy.answered)
    append(for: request, over: head, to: &rules.overrides)
    return rules
  }

  /// Whether every origin gets the same answer.
  private var isPublic: Bool { origins.contains(.any) }

  private func appendOrigin(_ origin: FieldValue, to fields: inout Fields) {
    if isPublic {
      fields.append(.accessControlAllowOrigin, literal: "*")
    } else {
      fields.append(.accessControlAllowOrigin, origin)
    }
    if grants.allowsCredentials { fields.append(.accessControlAllowCredentials, literal: "true") }
  }

  private func allowedOrigin(of request: borrowing RequestHead) -> FieldValue? {
    let fields = request.fields
    guard fields.count(of: .origin) == 1, let index = fields.firstIndex(of: .origin) else { return nil }
    let value = fields.value(at: index)
    for origin in origins where origin.matches(value) { return FieldValue(value) }
    return nil
  }

  private static func token(_ field: KnownField, of request: borrowing RequestHead) -> FieldValue? {
    let fields = request.fields
    guard let index = fields.firstIndex(of: field) else { return nil }
    let value = fields.value(at: index)
    return !value.isEmpty && ByteSet.token.containsAll(value) ? FieldValue(value) : nil
  }

  private static func tokens(_ field: KnownField, of request: borrowing RequestHead) -> FieldValue? {
    let fields = request.fields
    guard let index = fields.firstIndex(of: field) else { return nil }
    let value = fields.value(at: index)
    var (elements, count) = (ListElements(value), 0)
    while let element = elements.next() {
      guard ByteSet.token.containsAll(element) else { return nil }
      count += 1
    }
    return count > 0 ? FieldValue(value) : nil
  }
}
