package import JSON

/// What the gateway's configuration gives to rules, so that a rule can be found that looks at what is never there.
package struct RuleSurroundings: Sendable {
  /// Request headers that rules may look at, lower case.
  package var headers: Set<String>
  package var hasTenant: Bool
  package var hasInternal: Bool
  /// Whether a certificate's name, a header, a cookie or a query parameter is named that tells clients apart.
  package var hasIdentity: Bool
  /// What one route at least sets by `flagAttributes`.
  package var attributes: Set<String>

  package init(
    headers: Set<String>, hasTenant: Bool, hasInternal: Bool, hasIdentity: Bool, attributes: Set<String> = []
  ) {
    (self.headers, self.hasTenant, self.hasInternal, self.hasIdentity) = (headers, hasTenant, hasInternal, hasIdentity)
    self.attributes = attributes
  }

  /// Reads them from the configuration as `fermata check` prints it and `/config` answers it.
  package init(configuration: JSONValue) {
    let identity = configuration["identity"]
    func isSet(_ name: String) -> Bool { identity?[name]?.string != nil }
    let hasCertificate = isSet("certificate") && identity?["certificate"] != "none"
    let attributes = (configuration["routes"]?.array ?? []).flatMap { route in
      route["flagAttributes"]?.object?.members.map(\.name) ?? []
    }
    self.init(
      headers: Set((identity?["headers"]?.array ?? []).compactMap(\.string)), hasTenant: isSet("tenantHeader"),
      hasInternal: isSet("internalHeader"),
      hasIdentity: hasCertificate || isSet("header") || isSet("cookie") || isSet("query"),
      attributes: Set(attributes))
  }

  /// Always there, or decided by the client alone.
  private static let given: Set<String> = ["client", "version", "capability", "route", "targetingKey", ""]

  /// What the rules of `set` look at in vain.
  package func warnings(of set: FlagSet) -> [String] {
    var warnings: [String] = []
    for flag in set.flags {
      var found = Found()
      found.collectVariables(of: flag.targeting)
      for variable in found.variables.sorted() {
        if let why = fault(of: variable, hasDefault: found.defaulted.contains(variable)) {
          warnings.append("\(flag.key): the rule looks at \"\(variable)\", \(why)")
        }
      }
      if found.needsIdentity, !hasIdentity {
        warnings.append(
          "\(flag.key): the rule needs to tell clients apart, and the configuration names no identity.certificate, "
            + "identity.header, identity.cookie or identity.query: only clients with Authorization or an API key have "
            + "an identity")
      }
    }
    return warnings
  }

  private func fault(of variable: String, hasDefault: Bool) -> String? {
    if Self.given.contains(variable) || variable.hasPrefix("$flagd.") { return nil }
    if attributes.contains(variable) { return nil }
    if variable.hasPrefix("headers.") {
      let name = String(variable.dropFirst("headers.".count))
      return headers.contains(name) ? nil : "which is never there: add \"\(name)\" to identity.headers"
    }
    switch variable {
    case "headers": return headers.isEmpty ? "which is empty: name the headers in identity.headers" : nil
    case "tenant": return hasTenant ? nil : "which is never there: set identity.tenantHeader"
    // A rule that gives a default, as a rollout's does, can do without.
    case "internal": return hasInternal || hasDefault ? nil : "which is never there: set identity.internalHeader"
    default:
      return "which no route sets by flagAttributes: there are client, version, capability, route, tenant, internal, "
        + (["headers"] + attributes.subtracting(Self.given).subtracting(["tenant", "internal"]).sorted()).joined(
          separator: ", ")
    }
  }

  /// The variables of a rule.
  private struct Found {
    var variables: Set<String> = []
    var defaulted: Set<String> = []
    var needsIdentity = false

    mutating func collectVariables(of rule: JSONValue?) {
      switch rule {
      case .array(let elements)?: for element in elements { collectVariables(of: element) }
      case .object(let object)?:
        for member in object.members {
          if member.name == "var" { variable(member.value) }
          if member.name == "fractional" { needsIdentity = true }
          collectVariables(of: member.value)
        }
      default: break
      }
    }

    private mutating func variable(_ argument: JSONValue) {
      let arguments = argument.array ?? [argument]
      guard let name = arguments.first?.string else { return }
      variables.insert(name)
      if arguments.count > 1 { defaulted.insert(name) }
      if name == "targetingKey" { needsIdentity = true }
    }
  }
}
