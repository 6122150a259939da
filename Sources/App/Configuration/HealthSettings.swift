import HTTP
import JSON
package import Streams
import Time

extension HealthPolicy {
  /// Reads the members of `health`; `check: false` switches an inherited one off.
  mutating func read(_ reader: JSONReader) {
    Self.settings.read(reader, into: &self)
    if ejectionMax < ejection { reader.fault("ejectionMax", "must not be less than \"ejection\"") }
    failureStatuses = reader.statuses("failureStatuses") ?? failureStatuses
    coolDownStatuses = reader.statuses("coolDownStatuses") ?? coolDownStatuses
    clientStatuses = reader.statuses("clientStatuses") ?? clientStatuses
    if reader.value("check")?.bool == false {
      check = nil
    } else if let inner = reader.nested("check") {
      var policy = check ?? HealthCheckPolicy()
      policy.read(inner)
      check = policy
    }
  }

  package static let settings: [Setting<HealthPolicy>] = [
    .number("failures", \.failures, in: 0...1000),
    .time("ejection", \.ejection, in: .milliseconds(10)...Nanoseconds.seconds(86_400)),
    .time("ejectionMax", \.ejectionMax, in: .milliseconds(10)...Nanoseconds.seconds(86_400)),
    .time("slowStart", \.slowStart),
  ]

  var document: JSONValue {
    let others: [JSONObject.Member] = [
      .init(name: "failureStatuses", value: failureStatuses.document),
      .init(name: "coolDownStatuses", value: coolDownStatuses.document),
      .init(name: "clientStatuses", value: clientStatuses.document),
      .init(name: "check", value: check.map(HealthCheckPolicy.settings.document) ?? false),
    ]
    return .object(JSONObject(Self.settings.members(of: self) + others))
  }
}

extension HealthCheckPolicy {
  fileprivate mutating func read(_ reader: JSONReader) { Self.settings.read(reader, into: &self) }

  package static let settings: [Setting<HealthCheckPolicy>] = [
    .text(
      "path", \.path, expected: "a path such as \"/health\"",
      parse: { Target($0)?.form == .origin ? $0 : nil }, text: { $0 }),
    .time("interval", \.interval, in: .milliseconds(100)...Nanoseconds.seconds(86_400)),
    .time("timeout", \.timeout, in: .milliseconds(10)...Nanoseconds.seconds(300)),
    .number("healthyAfter", \.healthyAfter, in: 1...100),
    .number("unhealthyAfter", \.unhealthyAfter, in: 1...100),
    .value(
      "status", \.status, expected: "a status such as 200, or a range such as \"200-299\"",
      { StatusSet.range($0) }, document: { .string("\($0.lowerBound)-\($0.upperBound)") }),
  ]
}
