import Flags
import HTTP
import JSON
import Loop
import Streams
import Time

// What the summary says about telling clients apart.

extension FlagSettings {
  var document: JSONValue {
    [
      "file": file.map { .string($0) } ?? .null, "startWithout": .bool(startsWithoutFile),
      "default": .string(defaultVariant.rawValue),
      "guardState": guardState.map { .string($0) } ?? .null, "guardRedis": guardSharing.document,
      "guard": guardPolicy.document,
    ]
  }
}

extension GuardPolicy {
  fileprivate var document: JSONValue {
    var object: JSONObject = [
      "interval": .string(interval.text), "minSamples": JSONValue(minSamples), "window": JSONValue(window),
      "failLimit": JSONValue(failLimit), "onRegress": .string(onRegress.rawValue),
      "dryRun": .array(GuardMetric.allCases.filter(dryRun.contains).map { .string($0.rawValue) }),
    ]
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
    ["header": header.map { .string($0) } ?? .null, "versions": .array(detector.versionRules.map(\.document))]
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
    [
      "certificate": .string(certificate?.rawValue ?? "none"), "header": header.map { .string($0) } ?? .null,
      "cookie": cookie.map { .string($0) } ?? .null,
      "query": query.map { .string($0) } ?? .null, "tenantHeader": tenantHeader.map { .string($0) } ?? .null,
      "internalHeader": internalHeader.map { .string($0) } ?? .null,
      "headers": .array(exposedHeaders.map { .string($0) }),
    ]
  }
}
