import Flags
import HTTP
import JSON
import Loop
import Streams
import Time

// What the summary says about telling clients apart.

extension FlagSettings {
  var document: JSONValue {
    var object = JSONObject(Self.settings.members(of: self))
    object["guardRedis"] = guardSharing.document
    object["guard"] = guardPolicy.document
    return .object(object)
  }
}

extension GuardPolicy {
  fileprivate var document: JSONValue {
    var object = JSONObject(Self.settings.members(of: self))
    object["dryRun"] = .array(GuardMetric.allCases.filter(dryRun.contains).map { .string($0.rawValue) })
    for metric in GuardMetric.allCases {
      var limits = JSONObject()
      limits["margin"] = margins[metric].map { .number($0) }
      limits["absolute"] = absolutes[metric].map { .number($0) }
      if !limits.isEmpty { object[metric.rawValue] = .object(limits) }
    }
    return .object(object)
  }
}

extension CapabilitySettings {
  var document: JSONValue {
    var object = JSONObject(Self.settings.members(of: self))
    object["versions"] = .array(detector.versionRules.map(\.document))
    return .object(object)
  }
}

extension VersionRule {
  fileprivate var document: JSONValue {
    var object: JSONObject = ["header": .string(header)]
    object["product"] = product.map { .string($0) }
    object["since"] = since.map { .string($0.description) }
    object["until"] = until.map { .string($0.description) }
    if !except.isEmpty { object["except"] = .array(except.map { .string($0.description) }) }
    return .object(object)
  }
}

extension IdentitySettings {
  var document: JSONValue {
    var object = JSONObject(Self.settings.members(of: self))
    object["headers"] = .array(exposedHeaders.map { .string($0) })
    return .object(object)
  }
}
