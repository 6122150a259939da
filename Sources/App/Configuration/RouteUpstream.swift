import JSON

/// One upstream of a route, and its place in the order of trying.
package struct RouteUpstream: Sendable, Equatable {
  package var name: String
  /// Lower ones are tried first.
  package var tier: Int
  /// Its share within the tier; `nil`: the upstream's own.
  package var weight: Int?

  package static let weights = 1...1000
}

/// Reads `upstreams` of a route: a name, or an array with one element per tier. An element is a name,
/// `{ name, weight }`, or an array of those.
struct RouteUpstreamReader {
  private let reader: JSONReader
  private let known: Set<String>
  private var found: [RouteUpstream] = []
  private static let expected = "the name of an upstream, { name, weight }, or an array of those"

  private init(_ reader: JSONReader, known: Set<String>) {
    self.reader = reader
    self.known = known
  }

  /// - Parameter isOptional: whether the route can do without.
  static func read(_ reader: JSONReader, known: Set<String>, isOptional: Bool) -> [RouteUpstream] {
    let path = reader.path(of: "upstreams")
    var all = RouteUpstreamReader(reader, known: known)
    switch reader.value("upstreams") {
    case .array(let tiers):
      if tiers.isEmpty { reader.fault("upstreams", "is empty") }
      for (tier, value) in tiers.enumerated() { all.readTier(value, tier, path: "\(path)[\(tier)]") }
    case .string(let name)?: all.add(name, tier: 0, weight: nil, path: path)
    case let other?: reader.fault("upstreams", "expected an array, found \(other.kindName)")
    case nil where isOptional: break
    case nil: reader.fault("upstreams", "is missing; only routes whose \"runs.source\" is a worker need none")
    }
    return all.found
  }

  private mutating func readTier(_ value: JSONValue, _ tier: Int, path: String) {
    guard case .array(let members) = value else { return readMember(value, tier, path: path) }
    if members.isEmpty { reader.fault(at: path, "is empty") }
    for (index, member) in members.enumerated() { readMember(member, tier, path: "\(path)[\(index)]") }
  }

  private mutating func readMember(_ value: JSONValue, _ tier: Int, path: String) {
    switch value {
    case .string(let name): add(name, tier: tier, weight: nil, path: path)
    case .object(let object):
      let inner = reader.child(object, path: path)
      inner.require("name")
      let weight = inner.int("weight", in: RouteUpstream.weights)
      if let name = inner.string("name") { add(name, tier: tier, weight: weight, path: inner.path(of: "name")) }
    default: reader.fault(at: path, "expected \(Self.expected), found \(value.kindName)")
    }
  }

  private mutating func add(_ name: String, tier: Int, weight: Int?, path: String) {
    guard known.contains(name) else {
      let names = known.sorted().joined(separator: ", ")
      return reader.fault(at: path, "there is no upstream \"\(name)\"; known: \(names.isEmpty ? "none" : names)")
    }
    guard !found.contains(where: { $0.name == name }) else {
      return reader.fault(at: path, "\"\(name)\" is in the list already")
    }
    found.append(RouteUpstream(name: name, tier: tier, weight: weight))
  }
}

extension [RouteUpstream] {
  /// As the configuration writes it: an array of tiers.
  var document: JSONValue {
    var tiers: [[JSONValue]] = []
    for upstream in self {
      while tiers.count <= upstream.tier { tiers.append([]) }
      let name = JSONValue.string(upstream.name)
      tiers[upstream.tier].append(upstream.weight.map { ["name": name, "weight": JSONValue($0)] } ?? name)
    }
    return .array(tiers.map { $0.count == 1 ? $0[0] : .array($0) })
  }
}
