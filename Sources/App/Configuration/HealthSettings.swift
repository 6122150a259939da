import HTTP
import JSON
import Streams
import Time

extension HealthPolicy {
  /// Reads the members of `health`; `check: false` switches an inherited one off.
  mutating func read(_ reader: JSONReader) {
    failures = reader.int("failures", in: 0...1000, default: failures)
    ejection = reader.duration("ejection", in: .milliseconds(10)...Nanoseconds.seconds(86_400)) ?? ejection
    ejectionMax = reader.duration("ejectionMax", in: .milliseconds(10)...Nanoseconds.seconds(86_400)) ?? ejectionMax
    if ejectionMax < ejection { reader.fault("ejectionMax", "must not be less than \"ejection\"") }
    slowStart = reader.duration("slowStart", default: slowStart)
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

  var document: JSONValue {
    [
      "failures": JSONValue(failures), "ejection": .string(ejection.text), "ejectionMax": .string(ejectionMax.text),
      "slowStart": .string(slowStart.text), "failureStatuses": failureStatuses.document,
      "coolDownStatuses": coolDownStatuses.document, "clientStatuses": clientStatuses.document,
      "check": check?.document ?? false,
    ]
  }
}

extension HealthCheckPolicy {
  fileprivate mutating func read(_ reader: JSONReader) {
    path =
      reader.read("path", expected: "a path such as \"/health\"") { value in
        value.string.flatMap { text in Target(text)?.form == .origin ? text : nil }
      } ?? path
    interval = reader.duration("interval", in: .milliseconds(100)...Nanoseconds.seconds(86_400)) ?? interval
    timeout = reader.duration("timeout", in: .milliseconds(10)...Nanoseconds.seconds(300)) ?? timeout
    healthyAfter = reader.int("healthyAfter", in: 1...100, default: healthyAfter)
    unhealthyAfter = reader.int("unhealthyAfter", in: 1...100, default: unhealthyAfter)
    status =
      reader.read("status", expected: "a status such as 200, or a range such as \"200-299\"", StatusSet.range) ?? status
  }

  fileprivate var document: JSONValue {
    [
      "path": .string(path), "interval": .string(interval.text), "timeout": .string(timeout.text),
      "healthyAfter": JSONValue(healthyAfter), "unhealthyAfter": JSONValue(unhealthyAfter),
      "status": .string("\(status.lowerBound)-\(status.upperBound)"),
    ]
  }
}
